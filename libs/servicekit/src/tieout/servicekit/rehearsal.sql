-- name: announced
-- Message by message, in the order in which they would be published.
SELECT m.subject, m.body FROM outbox o CROSS JOIN LATERAL unnest(o.subjects, o.bodies) WITH ORDINALITY AS m (subject, body, n)
WHERE o.stream = $1 ORDER BY o.batch, m.n;
