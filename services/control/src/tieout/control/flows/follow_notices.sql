-- name: note_steps
-- One round trip for all events of a batch. A conflict means that a notice came twice; it changes nothing but `repeats`.
WITH heard AS (
    INSERT INTO step (producer, position, chain_id, event_id, event_type, at, order_no, company, cause_id)
    SELECT $1, position, chain_id::uuid, event_id::uuid, event_type, at::timestamptz, order_no, company,
           nullif(cause_id, '')::uuid
    FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
         AS n (position, chain_id, event_id, event_type, at, order_no, company, cause_id)
    ON CONFLICT (producer, position) DO UPDATE SET repeats = step.repeats + 1
    RETURNING repeats
)
SELECT count(*) FILTER (WHERE repeats > 0) FROM heard;

-- name: note_memberships
-- Sorted, because four flows meet here and must queue instead of deadlocking.
INSERT INTO membership (order_no, company, chain_id)
SELECT order_no, company, chain_id::uuid
FROM unnest($1::text[], $2::text[], $3::text[]) AS m (order_no, company, chain_id)
ORDER BY order_no, company, chain_id
ON CONFLICT DO NOTHING;

-- name: count_latencies
-- Added up per ten seconds of the effect's own time, so a backlog that is read late is counted when it happened.
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
