-- name: named
SELECT id FROM command WHERE order_no = ANY($1::text[])
UNION SELECT id FROM refusal WHERE number = ANY($1::text[]);

-- name: choose
-- Ids ascend in the order of arrival.
SELECT r.id, r.received_at, coalesce(f.number, '') AS number, coalesce(f.company, '') AS company
FROM raw_document r
LEFT JOIN LATERAL (SELECT number, company FROM refusal f WHERE f.id = r.id ORDER BY entry DESC LIMIT 1) f ON true
WHERE ($1 = '' OR r.satellite = $1) AND ($2::timestamptz IS NULL OR r.received_at >= $2)
  AND ($3::timestamptz IS NULL OR r.received_at <= $3) AND ($4::uuid[] IS NULL OR r.id = ANY($4::uuid[]))
  AND ($5::uuid IS NULL OR r.id > $5)
ORDER BY r.id LIMIT $6;

-- name: states
-- As reads.states, with the chain of the first command and the reason of the newest refusal.
SELECT r.id, c.chain_id, coalesce(f.reason, '') AS reason, coalesce(f.field, '') AS field, coalesce(f.detail, '') AS detail,
    CASE WHEN c.chain_id IS NOT NULL THEN 'mapped'
         WHEN EXISTS (SELECT FROM ignored i WHERE i.id = r.id) THEN 'ignored'
         WHEN EXISTS (SELECT FROM waiting w WHERE w.id = r.id) THEN 'waiting'
         WHEN f.entry IS NULL OR f.decision = 'resubmitted' THEN 'pending'
         WHEN f.decision IS NULL THEN 'quarantined'
         ELSE f.decision END AS state
FROM unnest($1::uuid[], $2::uuid[]) AS a (id, upto) JOIN raw_document r ON r.id = a.id
LEFT JOIN LATERAL (SELECT chain_id FROM command c WHERE c.id > a.id AND c.id < a.upto ORDER BY c.id LIMIT 1) c ON true
LEFT JOIN LATERAL (
    SELECT f.entry, f.reason, f.field, f.detail, d.decision FROM refusal f LEFT JOIN decision d USING (entry)
    WHERE f.id = a.id ORDER BY f.entry DESC LIMIT 1
) f ON true;

-- name: resubmit
-- The newest refusal of each; what somebody else decides at this moment is his.
INSERT INTO decision (entry, decision, decided_by, note)
SELECT max(f.entry), 'resubmitted', $2, $3 FROM refusal f WHERE f.id = ANY($1::uuid[]) GROUP BY f.id
ON CONFLICT DO NOTHING
RETURNING (SELECT id FROM refusal f WHERE f.entry = decision.entry);

-- name: queue_again
INSERT INTO pending (satellite, documents, bytes, ids)
SELECT satellite, count(*), sum(octet_length(body)), array_agg(id ORDER BY id)
FROM (SELECT *, (row_number() OVER (PARTITION BY satellite ORDER BY id) - 1) / 500 AS part FROM raw_document WHERE id = ANY($1::uuid[])) r
GROUP BY satellite, part ORDER BY satellite, part;
