-- name: note_companies
-- Late and repeated announcements change nothing: the highest revision and the latest first open period stand.
INSERT INTO company AS c (company, currency, zone, revision, first_open)
SELECT company, currency, zone, revision, first_open
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[]) AS n (company, currency, zone, revision, first_open)
ORDER BY company
ON CONFLICT (company) DO UPDATE SET
    currency = CASE WHEN excluded.revision > c.revision THEN excluded.currency ELSE c.currency END,
    zone = CASE WHEN excluded.revision > c.revision THEN excluded.zone ELSE c.zone END,
    revision = greatest(c.revision, excluded.revision),
    first_open = greatest(c.first_open, excluded.first_open);
