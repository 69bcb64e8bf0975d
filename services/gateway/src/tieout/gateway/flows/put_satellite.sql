-- name: lock
-- Two at once must not make two secrets of which each believes that it stands.
SELECT authentication FROM satellite WHERE satellite = $1 FOR UPDATE;

-- name: put
INSERT INTO satellite AS s (satellite, name, companies, zone, authentication, default_warehouse, due_days, control_passes, changed_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (satellite) DO UPDATE SET name = excluded.name, companies = excluded.companies, zone = excluded.zone,
    authentication = excluded.authentication, default_warehouse = excluded.default_warehouse, due_days = excluded.due_days,
    control_passes = excluded.control_passes, changed_by = excluded.changed_by, changed_at = now()
RETURNING satellite, name, companies, zone, authentication, default_warehouse, due_days, held, created_at,
    control_passes, changed_at, changed_by;

-- name: hold
UPDATE satellite SET held = $2, changed_by = $3, changed_at = now() WHERE satellite = $1
RETURNING satellite, name, companies, zone, authentication, default_warehouse, due_days, held, created_at,
    control_passes, changed_at, changed_by;

-- name: put_secret
INSERT INTO satellite_secret (satellite, key_hash, secret) VALUES ($1, $2, $3)
ON CONFLICT (satellite) DO UPDATE SET key_hash = excluded.key_hash, secret = excluded.secret;

-- name: remove_secret
DELETE FROM satellite_secret WHERE satellite = $1;
