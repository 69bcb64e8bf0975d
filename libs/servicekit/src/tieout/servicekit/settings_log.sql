-- name: settings_changes
-- The newest first; the fingerprint of the salt is nobody's setting.
SELECT number, at, tab, op, source, key::text, coalesce(before::text, '') AS before, coalesce(after::text, '') AS after, who, actor
FROM settings_change
WHERE ($1::timestamptz IS NULL OR at < $1) AND ($2::text = '' OR tab = $2) AND (NOT $3::boolean OR source = 'hand') AND tab <> 'settings_salt'
ORDER BY at DESC, number DESC LIMIT $4;

-- name: settings_tables
SELECT tab FROM settings_tables ORDER BY tab;
