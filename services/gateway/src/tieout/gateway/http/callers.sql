-- name: tokens
-- Those that still let somebody in: there are tens, and each is asked for with every request.
SELECT name, actor, scopes, key_hash, expires_at FROM api_token
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now());
