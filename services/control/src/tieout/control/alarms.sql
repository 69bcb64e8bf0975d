-- name: standing
-- Locked, so that two replicas of control do not tell the same twice.
SELECT kind, about, cause, since FROM alarm WHERE ended_at IS NULL ORDER BY kind, about FOR UPDATE;

-- name: keep
-- One that stands already keeps its beginning; its cause may have become clearer.
INSERT INTO alarm AS a (kind, about, cause, since, told, told_zh, next_step, waiting)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::bigint[])
ORDER BY 1, 2
ON CONFLICT (kind, about) WHERE ended_at IS NULL DO UPDATE
SET cause = excluded.cause, told = excluded.told, told_zh = excluded.told_zh, next_step = excluded.next_step, waiting = excluded.waiting;

-- name: end
UPDATE alarm SET ended_at = clock_timestamp()
WHERE ended_at IS NULL AND (kind, about) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- name: alarms
SELECT kind, about, cause, since, told, told_zh, next_step, ended_at, waiting FROM alarm
WHERE ended_at IS NULL OR ($1 AND ended_at > clock_timestamp() - interval '7 days')
ORDER BY since DESC, number DESC LIMIT $2;
