-- name: note
INSERT INTO rhythm (satellite, minute) SELECT * FROM unnest($1::text[], $2::timestamptz[]) ON CONFLICT DO NOTHING;

-- name: forget
DELETE FROM rhythm WHERE minute < now() - make_interval(days => $1);

-- name: rhythms
-- The silence since the last minute with documents, and the same hours of each earlier day.
WITH seen AS (
    SELECT s.satellite, s.held, min(r.minute) AS first, max(r.minute) AS last, count(*) AS active
    FROM satellite s JOIN rhythm r USING (satellite) WHERE $1 = '' OR s.satellite = $1 GROUP BY s.satellite, s.held
), silence AS (
    SELECT *, greatest(last + interval '1 minute', now() - make_interval(secs => $3)) AS begun FROM seen
)
SELECT satellite, held, last, active::integer AS active,
       extract(epoch FROM greatest(now() - last - interval '1 minute', interval '0'))::float8 AS silent,
       extract(epoch FROM last - first)::float8 AS history,
       (SELECT array_agg((SELECT count(*)::integer FROM rhythm r
                          WHERE r.satellite = x.satellite AND r.minute >= x.begun - day * interval '1 day' AND r.minute < now() - day * interval '1 day')
                         ORDER BY day)
        FROM generate_series(1, $2::integer) AS day) AS earlier
FROM silence x ORDER BY satellite;
