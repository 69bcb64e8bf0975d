-- name: lock_document
-- Facts cannot be locked by a role that may not update them, so the id itself is: two decisions queue here.
SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0));

-- name: newest_refusal
SELECT f.entry, r.satellite, r.channel, r.topic, d.decision, d.at AS decided_at, d.corrected_by
FROM refusal f JOIN raw_document r ON r.id = f.id LEFT JOIN decision d ON d.entry = f.entry
WHERE f.id = $1 ORDER BY f.entry DESC LIMIT 1;

-- name: same_body
SELECT body = $2 FROM raw_document WHERE id = $1;

-- name: decide
-- Whoever decides many holds no document: his decision, made after we looked, stands.
INSERT INTO decision (entry, decision, decided_by, note, corrected_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING entry;

-- name: resubmit_many
-- A row that somebody else decides at this moment is his.
INSERT INTO decision (entry, decision, decided_by, note)
SELECT f.entry, 'resubmitted', $4, $5 FROM refusal f
WHERE NOT EXISTS (SELECT FROM decision d WHERE d.entry = f.entry)
  AND ($1 = '' OR f.satellite = $1) AND ($2 = '' OR f.reason = $2) AND ($6 = '' OR $6 IN (f.field, of_any_line(f.field)))
ORDER BY f.entry LIMIT $3
ON CONFLICT DO NOTHING
RETURNING (SELECT id FROM refusal f WHERE f.entry = decision.entry);

-- name: dismiss_many
-- Nothing that was refused after somebody looked ($7). A row that somebody else decides at this moment is his.
INSERT INTO decision (entry, decision, decided_by, note)
SELECT f.entry, 'dismissed', $4, $5 FROM refusal f
WHERE f.entry <= $7 AND NOT EXISTS (SELECT FROM decision d WHERE d.entry = f.entry)
  AND ($1 = '' OR f.satellite = $1) AND ($2 = '' OR f.reason = $2) AND ($6 = '' OR $6 IN (f.field, of_any_line(f.field)))
ORDER BY f.entry LIMIT $3
ON CONFLICT DO NOTHING
RETURNING entry;

-- name: queue_again
INSERT INTO pending (satellite, documents, bytes, ids)
SELECT satellite, count(*), sum(octet_length(body)), array_agg(id ORDER BY id)
FROM (SELECT *, (row_number() OVER (PARTITION BY satellite ORDER BY id) - 1) / 500 AS part FROM raw_document WHERE id = ANY($1::uuid[])) r
GROUP BY satellite, part ORDER BY satellite, part;
