-- name: hold
SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1));

-- name: known
SELECT document_id, number, market_minor, tax_minor, business_date, voucher_no FROM free_goods WHERE item_id = $1 OR document_id = $2;

-- name: given_away
-- Its cost was posted as an expense, because the order was free altogether.
SELECT EXISTS (SELECT FROM voucher v JOIN voucher_line l USING (position) WHERE v.chain_id = $1 AND l.role = 'sample' AND l.side = 'D' AND l.functional_minor > 0);

-- name: note
INSERT INTO free_goods (document_id, item_id, market_minor, tax_minor, business_date, voucher_no, company, number, declared_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);
