-- name: members
-- All of them: there are tens, and each is asked for many times a second.
SELECT satellite, companies, zone, authentication, default_warehouse, due_days, control_passes, held, key_hash, secret
FROM satellite LEFT JOIN satellite_secret USING (satellite);
