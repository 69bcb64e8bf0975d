-- name: forget
-- In small parts, so that nobody waits for it.
DELETE FROM delivery WHERE (satellite, key) IN (
    SELECT satellite, key FROM delivery WHERE received_at < now() - make_interval(days => $1) LIMIT $2
);
