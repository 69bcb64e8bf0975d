-- name: restore_row
-- As it was published, and as the stream holds it: nothing of it goes out again.
INSERT INTO outbox (stream, pos, first_pos, last_pos, ids, subjects, bodies, message, written_at, first_seq, last_seq, seqs, stream_created)
SELECT $1, $2::bigint[], $3, $4, $5::uuid[], $6::text[], $7::bytea[], $8::integer[], $9, $10, $11, $12::bigint[], $13
WHERE NOT EXISTS (SELECT FROM outbox WHERE stream = $1 AND first_pos = $3);
