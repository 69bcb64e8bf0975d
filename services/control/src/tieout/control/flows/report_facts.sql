-- name: note
-- An event may come twice and is counted once. Returned: those that are new.
INSERT INTO ticketed (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id::text;

-- name: counted_by
-- Whose tickets these refunds may end. One that is told at this moment by another replica is missing here, and its ticket
-- is locked by `standing`.
SELECT DISTINCT fingerprint FROM refund_claim WHERE document_id = ANY ($1::uuid[]) AND fingerprint <> '';

-- name: note_claims
-- What is told of a refund and what ends its claim meet here, in whatever order they come.
INSERT INTO refund_claim AS c (document_id, fingerprint, settled)
SELECT n.document_id, n.fingerprint, n.settled FROM unnest($1::uuid[], $2::text[], $3::boolean[]) AS n (document_id, fingerprint, settled)
ON CONFLICT (document_id) DO UPDATE SET
    fingerprint = coalesce(nullif(excluded.fingerprint, ''), c.fingerprint),
    settled = c.settled OR excluded.settled
RETURNING document_id, settled;

-- name: set_aside
-- Somebody resolved their ticket without them; this time it was opened for others. Its end does not wait for them.
UPDATE refund_claim SET settled = true WHERE fingerprint = ANY ($1::text[]) AND NOT settled AND document_id <> ALL ($2::uuid[]);

-- name: standing
-- Tickets that stand because of these refunds. Locked before anybody counts what is left: two that end at once would each
-- find the other's claim. One that a recovery brought back stands for refunds that are not played yet, perhaps.
SELECT t.number, t.fingerprint, ARRAY(SELECT c.document_id FROM refund_claim c WHERE c.fingerprint = t.fingerprint AND c.document_id = ANY ($1::uuid[])) AS documents
FROM ticket t
WHERE t.state <> 'resolved' AND NOT t.rebuilding AND t.fingerprint IN (SELECT fingerprint FROM refund_claim WHERE document_id = ANY ($1::uuid[]))
ORDER BY t.fingerprint FOR UPDATE OF t;

-- name: claims_left
SELECT count(*) FROM refund_claim WHERE fingerprint = $1 AND NOT settled;

-- name: note_ended
INSERT INTO ticket_history (ticket, what, actor, note) VALUES ($1, 'commented', 'control', $2);
