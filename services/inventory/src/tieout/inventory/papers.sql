-- name: anchor_documents
-- Locks each number and answers who holds it: the first paper that came under it, this batch's where it is new.
INSERT INTO document AS d (document_id, kind, intake_id, company, source, number, version, fingerprint)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
     AS n (document_id, kind, intake_id, company, source, number, version, fingerprint)
ORDER BY n.document_id
ON CONFLICT (document_id) DO UPDATE SET document_id = excluded.document_id
RETURNING d.document_id, d.intake_id, d.version, d.fingerprint;

-- name: settled
-- A paper whose fate is known was delivered again; one that waits has none yet.
SELECT intake_id, outcome FROM submission WHERE intake_id = ANY($1::uuid[]);

-- name: give_numbers_back
-- A paper that could not be obeyed must not stand in the way of the corrected one.
DELETE FROM document WHERE document_id = ANY($1::uuid[]);
