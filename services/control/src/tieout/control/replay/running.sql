-- name: claim
-- One process at a time: the lease is taken with the row.
UPDATE replay SET leased_until = clock_timestamp() + make_interval(secs => $1)
WHERE replay = (
    SELECT replay FROM replay WHERE state IN ('rehearsing', 'running', 'proving') AND leased_until < clock_timestamp()
    ORDER BY replay LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING replay, state, per_second, selection, reason, items;
