-- name: outbox_positions
-- What this database still knows that it announced.
SELECT coalesce(array_agg(DISTINCT p), '{}'::bigint[]) FROM outbox, unnest(pos) AS p WHERE stream = $1;

-- name: floor
-- Everything up to here was committed and published, also where its row has been pruned since.
SELECT m FROM mark;

-- name: letters
SELECT coalesce(array_agg(id::text), '{}'::text[]) FROM outbox, unnest(ids) AS id WHERE stream = 'DEAD';

-- name: newest
-- When the backup was made, as near as the database can tell: it has written nothing later.
SELECT max(written_at) FROM outbox;

-- name: highest
SELECT coalesce(max(last_pos), 0) FROM outbox;

-- name: parked
SELECT durable, event_id, subject, body, stream, stream_sequence FROM parked ORDER BY parked_at;

-- name: advance
-- As owner. No position is given out twice: neither one that the stream holds nor one that was given anew meanwhile.
SELECT setval('outbox_pos', greatest($1::bigint, (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox_pos), (SELECT coalesce(max(last_pos), 0) FROM outbox)));

-- name: advance_turns
-- As owner, before anything is written: what comes now has its turn after all that the stream tells of.
SELECT setval('outbox_batch_seq', greatest($1::bigint, last_value)) FROM outbox_batch_seq;

-- name: trust_copy
-- As owner. Who recovers a database knows that it was restored.
CALL trust_copy('tieout recover');

-- name: reset_mark
-- As owner. Transaction numbers of the cluster that the backup was made in say nothing in this one.
UPDATE mark SET horizon = '0', last = m, q = greatest(q, coalesce((SELECT max(last_seq) FROM outbox WHERE first_pos <= m), 0));
