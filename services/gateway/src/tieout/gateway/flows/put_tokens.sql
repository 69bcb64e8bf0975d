-- name: lock
SELECT revoked_at FROM api_token WHERE name = $1 FOR UPDATE;

-- name: one_at_a_time
SELECT pg_advisory_xact_lock(hashtext('api_token'));

-- name: actors
-- Also of tokens that are revoked: what they did stands in the books under that name.
SELECT DISTINCT actor FROM api_token;

-- name: create
-- Nothing comes back where the name was used before.
INSERT INTO api_token (name, actor, scopes, key_hash, created_by, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (name) DO NOTHING
RETURNING name, actor, scopes, created_at, created_by, expires_at, rotated_at, rotated_by, revoked_at, revoked_by;

-- name: revoke
-- The first revocation stands.
UPDATE api_token SET revoked_by = CASE WHEN revoked_at IS NULL THEN $2 ELSE revoked_by END, revoked_at = coalesce(revoked_at, now())
WHERE name = $1
RETURNING name, actor, scopes, created_at, created_by, expires_at, rotated_at, rotated_by, revoked_at, revoked_by;

-- name: rotate
UPDATE api_token SET key_hash = $2, rotated_by = $3, rotated_at = now(), expires_at = coalesce($4, expires_at) WHERE name = $1
RETURNING name, actor, scopes, created_at, created_by, expires_at, rotated_at, rotated_by, revoked_at, revoked_by;

-- name: list
SELECT name, actor, scopes, created_at, created_by, expires_at, rotated_at, rotated_by, revoked_at, revoked_by
FROM api_token
WHERE ($1 = '' OR actor = $1) AND ($2 OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())))
ORDER BY name;
