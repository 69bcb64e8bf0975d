-- name: hold
-- A document that does not exist yet cannot be locked; its id can.
SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1));

-- name: known
SELECT item_id, customer_item, currency, amount_minor, business_date, voucher_no FROM application WHERE document_id = $1;

-- name: note
INSERT INTO application (document_id, item_id, customer_item, amount_minor, business_date, voucher_no, company, number, currency, applied_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);
