-- name: parked_and_dead
SELECT (SELECT count(*) FROM parked) AS parked,
       (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(parked_at)), 0)::float8 FROM parked) AS parked_oldest_seconds,
       (SELECT coalesce(sum(cardinality(ids)), 0) FROM outbox WHERE stream = 'DEAD') AS dead;
