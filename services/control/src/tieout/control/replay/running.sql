-- name: claim
-- One process at a time: the lease is taken with the row. Who ends or gives up lets go of it; one that is over belonged to
-- a process that died.
WITH next AS (
    SELECT replay, leased_until > '-infinity' AS abandoned FROM replay
    WHERE state IN ('rehearsing', 'running', 'proving') AND leased_until < clock_timestamp()
    ORDER BY replay LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE replay r SET leased_until = clock_timestamp() + make_interval(secs => $1), taken = r.taken + 1
FROM next WHERE r.replay = next.replay
RETURNING r.replay, r.state, r.per_second, r.selection, r.reason, r.items, r.done, r.taken, next.abandoned;
