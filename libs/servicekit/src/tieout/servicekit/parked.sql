-- name: claim
-- Due messages, oldest first. Whoever claims them has them in hand for $1 seconds, and keeps them by `hold`; a process that
-- dies leaves them to the next one soon. The claims that came to no end are counted: each is four times as long as the one
-- before, at most an hour, so that a message that ends its process every time does not do so all the time.
UPDATE parked SET attempts = attempts + 1, tries = tries[greatest(1, cardinality(tries) - 18):] || now(),
    claims = claims + 1, due_at = now() + make_interval(secs => least($1 * 4.0 ^ least(claims, 10), 3600))
WHERE (durable, event_id) IN (
    SELECT durable, event_id FROM parked WHERE due_at <= now() ORDER BY due_at LIMIT 200 FOR UPDATE SKIP LOCKED)
RETURNING durable, event_id, subject, body, stream, stream_sequence, attempts, headers, tries, parked_at;

-- name: hold
-- Still in hand. Not what was parked again or given back meanwhile, nor what was woken and is due; what a transaction has
-- locked is at its end.
UPDATE parked p SET due_at = greatest(due_at, now() + make_interval(secs => $1))
WHERE (durable, event_id) IN (
    SELECT h.durable, h.event_id FROM unnest($2::text[], $3::text[]) AS h (durable, event_id)
    JOIN parked q ON q.durable = h.durable AND q.event_id = h.event_id
    WHERE q.claims > 0 AND q.due_at > now() FOR UPDATE OF q SKIP LOCKED);

-- name: give_back
-- A try that ended for a cause that passes was none: the message is due again soon, with as many attempts as before.
UPDATE parked SET attempts = attempts - 1, tries = tries[:cardinality(tries) - 1], claims = 0,
    due_at = now() + make_interval(secs => $3)
WHERE durable = $1 AND event_id = ANY($2::text[]) AND attempts > 0;

-- name: waiting
-- What of a chain waits, and what waits for it.
SELECT event_id, reason, order_no, parked_at, attempts FROM parked WHERE chain = $1 OR key = $1 ORDER BY parked_at LIMIT 100;
