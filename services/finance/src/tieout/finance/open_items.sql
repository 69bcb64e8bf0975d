-- name: known_items
SELECT o.item_id, o.currency FROM unnest($1::uuid[], $2::text[]) AS k (item_id, currency)
JOIN open_item o ON o.item_id = k.item_id AND o.currency = k.currency COLLATE "C";

-- name: lock_items
-- Sorted, so flows that share orders queue for the locks instead of deadlocking. Columns as in domain.open_item.OpenItem.
SELECT o.item_id, o.currency, o.company, o.customer, o.source, o.order_no, o.of_order, o.awaited, o.order_net, o.order_tax,
    o.rate_micro, o.billed, o.credited, o.received, o.refunded, o.stopped, o.settled, o.deposit_net, o.deposit_tax,
    o.refundable, o.unapplied, coalesce(o.forgiven, 0), o.tax_point, coalesce(o.tax_billed, 0), coalesce(o.tax_invoiced, 0),
    coalesce(o.tax_due, 0), o.money_date
FROM unnest($1::uuid[], $2::text[]) AS k (item_id, currency)
JOIN open_item o ON o.item_id = k.item_id AND o.currency = k.currency COLLATE "C"
ORDER BY o.item_id, o.currency FOR UPDATE OF o;

-- name: insert_items
-- Money, shipments and credits may come before order.placed; whoever is first makes the row.
INSERT INTO open_item (item_id, currency, company, customer, source, order_no, of_order, rate_micro)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::bigint[])
ORDER BY 1, 2 ON CONFLICT DO NOTHING;

-- name: save_items
UPDATE open_item o SET awaited = n.awaited, order_net = n.order_net, order_tax = n.order_tax, rate_micro = n.rate_micro,
    billed = n.billed, credited = n.credited, received = n.received, refunded = n.refunded, stopped = n.stopped,
    settled = n.settled, deposit_net = n.deposit_net, deposit_tax = n.deposit_tax, refundable = n.refundable, unapplied = n.unapplied,
    order_no = n.order_no, money_date = n.money_date
FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[], $18::date[])
    AS n (item_id, currency, awaited, order_net, order_tax, rate_micro, billed, credited, received, refunded, stopped,
        settled, deposit_net, deposit_tax, refundable, unapplied, order_no, money_date)
WHERE o.item_id = n.item_id AND o.currency = n.currency COLLATE "C";

-- name: save_billed
UPDATE open_item o SET billed = n.billed
FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS n (item_id, currency, billed)
WHERE o.item_id = n.item_id AND o.currency = n.currency COLLATE "C";

-- name: save_seldom
-- Only of items with a discount, a write-off or a later tax point: all others keep null there and cost nothing.
UPDATE open_item o SET forgiven = n.forgiven, tax_point = n.tax_point, tax_billed = n.tax_billed, tax_invoiced = n.tax_invoiced,
    tax_due = n.tax_due
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS n (item_id, currency, forgiven, tax_point, tax_billed, tax_invoiced, tax_due)
WHERE o.item_id = n.item_id AND o.currency = n.currency COLLATE "C";

-- name: any_currency
SELECT currency FROM open_item WHERE item_id = $1 ORDER BY billed DESC, currency LIMIT 1;
