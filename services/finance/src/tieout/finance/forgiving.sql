-- name: hold
-- A document that does not exist yet cannot be locked; its id can.
SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1));

-- name: known
SELECT item_id, currency, amount_minor, business_date, voucher_no FROM forgiveness WHERE document_id = $1;

-- name: note
INSERT INTO forgiveness (document_id, kind, item_id, amount_minor, voucher_no, business_date, company, number, currency)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);
