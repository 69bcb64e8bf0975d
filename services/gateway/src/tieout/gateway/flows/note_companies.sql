-- name: note
-- Late and repeated announcements change nothing: the highest revision stands.
INSERT INTO known_company AS k (company, currency, zone, revision, control_passes)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[])
ON CONFLICT (company) DO UPDATE SET currency = excluded.currency, zone = excluded.zone, revision = excluded.revision,
    control_passes = excluded.control_passes
WHERE k.revision < excluded.revision
RETURNING company;
