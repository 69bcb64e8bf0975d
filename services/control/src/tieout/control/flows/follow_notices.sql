-- name: note_notices
-- A conflict means that a notice came twice; it changes nothing but `repeats`. Returned: which are new.
INSERT INTO notice AS n (producer, first_position, last_position, body)
SELECT $1, first_position, last_position, body
FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]) AS h (first_position, last_position, body)
ON CONFLICT (producer, first_position) DO UPDATE SET repeats = n.repeats + 1
RETURNING first_position, repeats;

-- name: note_memberships
INSERT INTO membership (order_no, company, chain_id)
SELECT order_no, company, chain_id::uuid
FROM unnest($1::text[], $2::text[], $3::text[]) AS m (order_no, company, chain_id);

-- name: count_latencies
-- Added up per ten seconds of the effect's own time, so a backlog that is read late is counted when it happened.
-- Sorted, because four flows meet here and must queue instead of deadlocking.
INSERT INTO latency (slot, before, after, bucket, n)
SELECT date_bin('10 s', to_timestamp(slot_s), 'epoch'), before, after, bucket, n
FROM unnest($1::double precision[], $2::text[], $3::text[], $4::smallint[], $5::bigint[])
     AS l (slot_s, before, after, bucket, n)
ORDER BY 1, 2, 3, 4
ON CONFLICT (slot, before, after, bucket) DO UPDATE SET n = latency.n + excluded.n;

-- name: count_events
INSERT INTO tally (slot, event_type, n)
SELECT date_bin('10 s', to_timestamp(slot_s), 'epoch'), event_type, n
FROM unnest($1::double precision[], $2::text[], $3::bigint[]) AS t (slot_s, event_type, n)
ORDER BY 1, 2
ON CONFLICT (slot, event_type) DO UPDATE SET n = tally.n + excluded.n;
