-- name: queue
-- Two at once must not make two secrets of which each believes that it stands. A new one has no row to lock yet.
SELECT pg_advisory_xact_lock(hashtextextended('satellite ' || $1::text, 0));

-- name: lock
SELECT authentication FROM satellite WHERE satellite = $1 FOR UPDATE;

-- name: put
-- What nobody named comes as NULL: of a new satellite it is the default, of a known one it stays.
INSERT INTO satellite AS s (satellite, name, companies, zone, authentication, default_warehouse, due_days, control_passes, changed_by)
VALUES ($1, coalesce($2, ''), coalesce($3::text[], '{}'), coalesce($4, 'UTC'), coalesce($5, 'key'), coalesce($6, 'MAIN'),
    coalesce($7::integer, 30), coalesce($8, ''), $9)
ON CONFLICT (satellite) DO UPDATE SET name = coalesce($2, s.name), companies = coalesce($3::text[], s.companies),
    zone = coalesce($4, s.zone), authentication = coalesce($5, s.authentication),
    default_warehouse = coalesce($6, s.default_warehouse), due_days = coalesce($7::integer, s.due_days),
    control_passes = coalesce($8, s.control_passes), changed_by = excluded.changed_by, changed_at = now()
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

-- name: known_companies
SELECT company FROM known_company WHERE company = ANY($1::text[]);

-- name: speaks_for
SELECT companies, default_warehouse FROM satellite WHERE satellite = $1;

-- name: described
-- Of these companies; of all where none is named.
SELECT company, warehouse FROM known_warehouse
WHERE $1::text[] = '{}' OR company = ANY($1::text[]) ORDER BY company, warehouse;
