-- name: accepted
-- What each credit number was accepted with.
SELECT position, version, fingerprint FROM credit_note WHERE position = ANY($1::bigint[]);

-- name: conditional
-- Credit lines whose goods had not left when the credit came, by the request to stop them. Inventory may correct its
-- decision (goods left although cancelled), so part of a line may have come back as a credit already.
SELECT l.cancel_position, l.line_no, l.order_line_no, l.sku, l.quantity_micro, l.net_minor, l.tax_minor,
    l.credited_micro + late.micro AS credited_micro, l.asked_micro - late.micro AS asked_micro,
    l.warehouse, l.kind, l.account, l.part, l.scrap,
    n.position, n.rate_micro, n.occurred_at, n.credit_id, n.intake_id, n.business_date, n.company, n.source,
    n.credit_no, n.version, n.fingerprint, n.customer, n.currency, n.zone, n.reason
FROM conditional_line l
JOIN credit_note n ON n.position = l.position
CROSS JOIN LATERAL (
    SELECT coalesce(sum(x.quantity_micro), 0)::bigint AS micro
    FROM credit_note m JOIN credit_line x USING (position)
    WHERE m.credit_no = n.credit_no AND m.company = n.company AND m.source = n.source AND m.position <> n.position
        AND x.order_position = l.order_position AND x.line_no = l.line_no
) late
WHERE l.cancel_position = ANY($1::bigint[])
ORDER BY l.cancel_position, l.line_no;
