-- name: waiting
-- All orders of each payment that waits for one of these; they are spread over again together.
SELECT w.document_id, w.item_id, w.customer_item, w.taken_minor, d.number, d.currency
FROM waiting_claim w JOIN money_document d USING (document_id)
WHERE w.document_id IN (
    SELECT c.document_id FROM unnest($1::uuid[], $2::text[]) o (item_id, currency)
    JOIN waiting_claim c USING (item_id) JOIN money_document m ON m.document_id = c.document_id AND m.currency = o.currency)
ORDER BY w.document_id, w.place;

-- name: keep
UPDATE waiting_claim w SET taken_minor = n.taken
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS n (document_id, item_id, taken)
WHERE w.document_id = n.document_id AND w.item_id = n.item_id;

-- name: settled
-- All orders of it are known: what it brought them is final.
DELETE FROM waiting_claim WHERE document_id = ANY ($1::uuid[]);
