-- name: counts
SELECT (SELECT count(*) FROM dead_letter) AS dead_letters,
       (SELECT count(*) FROM dead_letter WHERE at > clock_timestamp() - $1::integer * interval '1 minute') AS recent,
       (SELECT count(*) FROM disagreement WHERE gone_at IS NULL) AS disagreements;
