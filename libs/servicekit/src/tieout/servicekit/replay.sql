-- name: kept_at
-- Rows are told apart by their positions before a body is read: bodies are large, and lie elsewhere. As many as fit into
-- one answer; the first always does.
SELECT e.position, e.sequence, e.subject, CASE WHEN e.fits THEN e.body END AS body, e.fits
FROM (
    SELECT m.position, coalesce(o.seqs[m.message], o.first_seq + m.message - 1, 0) AS sequence, m.subject, m.body,
           sum(octet_length(m.body)) OVER before <= $4 OR row_number() OVER before = 1 AS fits
    FROM outbox o
    CROSS JOIN LATERAL unnest(o.pos, o.message, o.subjects, o.bodies) AS m (position, message, subject, body)
    WHERE o.first_pos <= $2 AND o.last_pos >= $1 AND o.pos && $3::bigint[] AND m.position = ANY($3::bigint[])
    WINDOW before AS (ORDER BY m.position)
) e ORDER BY e.position;

-- name: kept_in_range
-- By place in the stream. Notices stand there too, and have no position.
SELECT * FROM (
    SELECT m.position, coalesce(o.seqs[m.message], o.first_seq + m.message - 1) AS sequence, m.subject
    FROM outbox o CROSS JOIN LATERAL unnest(o.pos, o.message, o.subjects) AS m (position, message, subject)
    WHERE o.stream = $1 AND o.first_seq <= $3 AND o.last_seq >= $2
) e
WHERE e.position > $4 AND e.sequence BETWEEN $2 AND $3 ORDER BY e.position LIMIT 5000;
