-- name: claim
-- Due messages, oldest first. Claiming moves their due time on, so that a crash or a failure tries again later, and two
-- replicas do not run the same one at once.
UPDATE parked SET attempts = attempts + 1, due_at = now() + make_interval(secs => least(60.0 * 2 ^ least(attempts, 6), 3600))
WHERE (durable, event_id) IN (
    SELECT durable, event_id FROM parked WHERE due_at <= now() ORDER BY due_at LIMIT 200 FOR UPDATE SKIP LOCKED)
RETURNING durable, event_id, subject, body, stream, stream_sequence, attempts, parked_at;

-- name: waiting
-- What of a chain waits, and what waits for it.
SELECT event_id, reason, order_no, parked_at, attempts FROM parked WHERE chain = $1 OR key = $1 ORDER BY parked_at LIMIT 100;
