-- name: billed_before
-- Asked under the locks of their orders: whoever held them before us has committed by now.
SELECT shipment_id FROM receivable WHERE shipment_id = ANY ($1::uuid[]);

-- name: send_once
-- Shipments that are not delivered yet have no receivable that would tell: the document is what makes T02 happen once.
INSERT INTO stock_document (kind, document_id, position, company, source, document_no, business_date)
SELECT 'sent', * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::date[])
ON CONFLICT DO NOTHING RETURNING document_id;
