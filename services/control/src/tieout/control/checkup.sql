-- name: counts
SELECT (SELECT count(*) FROM dead_letter) AS dead_letters,
       (SELECT count(*) FROM dead_letter WHERE at > clock_timestamp() - $1::integer * interval '1 minute') AS recent,
       (SELECT count(*) FROM disagreement WHERE gone_at IS NULL) AS disagreements,
       (SELECT count(*) FROM ticket WHERE state <> 'resolved') AS tickets,
       (SELECT count(*) FROM ticket WHERE due_at < clock_timestamp() AND priority = 1 AND state IN ('open', 'acknowledged')) AS urgent;
