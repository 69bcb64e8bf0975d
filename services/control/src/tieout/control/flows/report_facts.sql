-- name: note
-- An event may come twice and is counted once. Returned: those that are new.
INSERT INTO ticketed (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id::text;

-- name: counted_by
-- Whose tickets these refunds may end. One that is told at this moment by another replica is missing here, and its ticket
-- is locked by `standing`.
SELECT DISTINCT fingerprint FROM refund_claim WHERE document_id = ANY ($1::uuid[]) AND fingerprint <> '';

-- name: note_claims
-- What is told of a refund, what ends its claim and what opens it again meet here, in whatever order they come: the latest end
-- or reopening stands, and an opening (position 0) is before them all.
INSERT INTO refund_claim AS c (document_id, fingerprint, settled, position)
SELECT n.document_id, n.fingerprint, n.settled, n.position
FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::bigint[]) AS n (document_id, fingerprint, settled, position)
ON CONFLICT (document_id) DO UPDATE SET
    fingerprint = coalesce(nullif(excluded.fingerprint, ''), c.fingerprint),
    settled = CASE WHEN excluded.position > c.position THEN excluded.settled ELSE c.settled END,
    position = greatest(c.position, excluded.position)
RETURNING document_id, settled;

-- name: set_aside
-- Somebody resolved their ticket without them; this time it was opened for others. Its end does not wait for them.
UPDATE refund_claim SET settled = true WHERE fingerprint = ANY ($1::text[]) AND NOT settled AND document_id <> ALL ($2::uuid[])
RETURNING fingerprint, document_id, position;

-- name: resolved_times
SELECT fingerprint, number, times FROM ticket WHERE fingerprint = ANY ($1::text[]);

-- name: standing
-- Tickets that stand because of these refunds. Locked before anybody counts what is left: two that end at once would each
-- find the other's claim. Not for what was opened again after the end that is heard of just now. One that a recovery brought
-- back stands for refunds that are not played yet, perhaps.
SELECT t.number, t.fingerprint, ARRAY(SELECT c.document_id FROM refund_claim c WHERE c.fingerprint = t.fingerprint AND c.settled AND c.document_id = ANY ($1::uuid[])) AS documents
FROM ticket t
WHERE t.state <> 'resolved' AND NOT t.rebuilding AND t.fingerprint IN (SELECT fingerprint FROM refund_claim WHERE document_id = ANY ($1::uuid[]) AND settled)
ORDER BY t.fingerprint FOR UPDATE OF t;

-- name: claims_left
SELECT count(*) FROM refund_claim WHERE fingerprint = $1 AND NOT settled;

-- name: note_ended
INSERT INTO ticket_history (ticket, what, actor, note) VALUES ($1, 'commented', 'control', $2);
