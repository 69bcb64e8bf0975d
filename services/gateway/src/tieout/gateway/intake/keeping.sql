-- name: note_deliveries
-- Sorted by key; those that were there before come back from find_deliveries.
INSERT INTO delivery (satellite, key, digest, first_id, documents)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[], $5::integer[])
ON CONFLICT DO NOTHING RETURNING satellite, key;

-- name: find_deliveries
-- Asked after the insert: whoever held the key has committed by now.
SELECT d.satellite, d.key, d.digest, d.first_id, d.documents
FROM delivery d JOIN unnest($1::text[], $2::text[]) AS k (satellite, key) USING (satellite, key);

-- name: queue
-- One row for up to 500 documents: the queue costs next to nothing per document.
INSERT INTO pending (satellite, documents, bytes, ids) VALUES ($1, $2, $3, $4);
