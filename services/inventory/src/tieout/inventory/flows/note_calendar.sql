-- name: note_companies
-- Late and repeated announcements change nothing: the highest revisions stand, and of one revision the latest period.
INSERT INTO company AS c (company, currency, zone, revision, calendar, first_open)
SELECT company, currency, zone, revision, calendar, first_open
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::integer[], $6::text[]) AS n (company, currency, zone, revision, calendar, first_open)
ORDER BY company
ON CONFLICT (company) DO UPDATE SET
    currency = CASE WHEN excluded.revision > c.revision THEN excluded.currency ELSE c.currency END,
    zone = CASE WHEN excluded.revision > c.revision THEN excluded.zone ELSE c.zone END,
    revision = greatest(c.revision, excluded.revision),
    calendar = greatest(c.calendar, excluded.calendar),
    first_open = CASE WHEN excluded.calendar > c.calendar THEN excluded.first_open
                      WHEN excluded.calendar = c.calendar THEN greatest(c.first_open, excluded.first_open) ELSE c.first_open END;
