-- name: hold
-- An invoice that does not exist yet cannot be locked; its id can.
SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1));

-- name: known
SELECT item_id, currency, net_minor, tax_minor, business_date, voucher_no FROM invoice WHERE document_id = $1;

-- name: invoiced
SELECT coalesce(sum(tax_minor), 0)::bigint FROM invoice WHERE item_id = $1 AND currency = $2;

-- name: taxed
-- Billed minus credited, for orders whose tax point nobody keeps: by their vouchers, which have an index.
SELECT coalesce((SELECT sum(p.tax_minor) FROM voucher v JOIN receivable r USING (position) JOIN posted_line p ON p.position = r.cause_position
        WHERE v.chain_id = $1 AND r.currency = $2 AND p.kind IN ('shipped', 'service')), 0)::bigint
    - coalesce((SELECT sum(l.tax_minor) FROM credit_line l JOIN credit_note n USING (position) WHERE l.item_id = $1 AND n.currency = $2), 0)::bigint;

-- name: note
INSERT INTO invoice (document_id, item_id, net_minor, tax_minor, voucher_no, business_date, company, number, currency, issued_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);
