-- name: note_companies
-- Late and repeated announcements change nothing: the highest revisions stand, and of one revision the latest period.
-- Answers which of a company's two parts are other than before: its terms, its calendar.
WITH before AS (
    SELECT company, revision, calendar, first_open FROM company WHERE company = ANY($1::text[])
), now AS (
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
                          WHEN excluded.calendar = c.calendar THEN greatest(c.first_open, excluded.first_open) ELSE c.first_open END
    RETURNING c.company, c.revision, c.calendar, c.first_open
)
SELECT company, now.revision IS DISTINCT FROM before.revision AS opened,
       (now.calendar, now.first_open) IS DISTINCT FROM (before.calendar, before.first_open) AS moved
FROM now LEFT JOIN before USING (company);
