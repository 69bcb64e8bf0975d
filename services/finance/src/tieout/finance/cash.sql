-- name: hold_documents
-- A document that does not exist yet cannot be locked; its id can. Sorted, and before any open item.
SELECT pg_advisory_xact_lock(hashtextextended(id::text, 1)) FROM unnest($1::uuid[]) id ORDER BY id;

-- name: submitted
SELECT intake_id FROM money_submission WHERE intake_id = ANY ($1::uuid[]);

-- name: documents
SELECT document_id, version, fingerprint FROM money_document WHERE document_id = ANY ($1::uuid[]);
