-- name: claim
-- Due messages, oldest first. Claiming moves their due time on, so that a crash or a failure tries again later, and two
-- replicas do not run the same one at once. Some spread, so that what failed together does not come back together.
UPDATE parked SET attempts = attempts + 1, tries = tries[greatest(1, cardinality(tries) - 18):] || now(),
    due_at = now() + make_interval(secs => least(60.0 * 2 ^ least(attempts, 6), 3600) * (0.9 + 0.2 * random()))
WHERE (durable, event_id) IN (
    SELECT durable, event_id FROM parked WHERE due_at <= now() ORDER BY due_at LIMIT 200 FOR UPDATE SKIP LOCKED)
RETURNING durable, event_id, subject, body, stream, stream_sequence, attempts, headers, tries, parked_at;

-- name: give_back
-- A try that ended for a cause that passes was none: the message is due again soon, with as many attempts as before.
UPDATE parked SET attempts = attempts - 1, tries = tries[:cardinality(tries) - 1], due_at = now() + make_interval(secs => $3)
WHERE durable = $1 AND event_id = ANY($2::text[]) AND attempts > 0;

-- name: waiting
-- What of a chain waits, and what waits for it.
SELECT event_id, reason, order_no, parked_at, attempts FROM parked WHERE chain = $1 OR key = $1 ORDER BY parked_at LIMIT 100;
