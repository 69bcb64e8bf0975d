-- name: insert_documents
-- A document that is there already was posted; the insert waits for whoever is posting it right now.
INSERT INTO stock_document (kind, document_id, position, company, source, document_no, business_date)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::date[])
ON CONFLICT DO NOTHING RETURNING kind, document_id;
