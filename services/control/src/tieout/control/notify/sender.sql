-- name: due
-- Cheap, and no transaction of its own: most looks find nothing.
SELECT EXISTS (SELECT FROM notification WHERE NOT spread) AS fresh,
       EXISTS (SELECT FROM delivery WHERE sent_at IS NULL AND channel = ANY($1::text[])) AS waiting;

-- name: spread
-- Each fresh notification becomes a delivery for every channel that wants it. SKIP LOCKED: replicas share the work.
WITH fresh AS (
    UPDATE notification SET spread = true
    WHERE number IN (SELECT number FROM notification WHERE NOT spread ORDER BY number LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING number, ticket
)
INSERT INTO delivery (notification, channel)
SELECT fresh.number, c.channel
FROM fresh JOIN ticket AS t ON t.number = fresh.ticket
JOIN unnest($1::text[], $2::smallint[], $3::text[]) AS c (channel, priority_max, owners)
  ON t.priority <= c.priority_max AND (c.owners = '' OR t.owner = ANY (string_to_array(c.owners, ',')))
ON CONFLICT DO NOTHING;

-- name: note_channels
INSERT INTO notify_channel (channel) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING;

-- name: take
-- The channel is ours for half a minute, if something waits, its pause is over, and nobody else has it.
UPDATE notify_channel SET attempted_at = clock_timestamp(), busy_until = clock_timestamp() + interval '30 seconds'
WHERE channel = (
    SELECT channel FROM notify_channel
    WHERE channel = $1 AND busy_until < clock_timestamp() AND retry_at < clock_timestamp()
      AND attempted_at < clock_timestamp() - make_interval(secs => $2)
      AND EXISTS (SELECT FROM delivery d WHERE d.channel = $1 AND d.sent_at IS NULL)
    FOR UPDATE SKIP LOCKED)
RETURNING failures;

-- name: waiting
-- Oldest first; all of them share one message.
SELECT n.number, n.what, n.note, n.ticket FROM delivery AS d JOIN notification AS n ON n.number = d.notification
WHERE d.channel = $1 AND d.sent_at IS NULL ORDER BY n.number LIMIT 200;

-- name: sent
UPDATE delivery SET sent_at = clock_timestamp() WHERE channel = $1 AND notification = ANY($2::bigint[]);

-- name: worked
-- The pause begins with the answer: so no two messages arrive closer than it, however long one was under way.
UPDATE notify_channel SET busy_until = '-infinity', attempted_at = clock_timestamp(), retry_at = '-infinity', failures = 0, error = ''
WHERE channel = $1;

-- name: failed
UPDATE notify_channel SET busy_until = '-infinity', attempted_at = clock_timestamp(), retry_at = clock_timestamp() + make_interval(secs => $2),
    failures = failures + 1, error = $3
WHERE channel = $1 RETURNING failures;

-- name: forget
-- A week is long enough for a channel that is away; what it missed stands in the tickets.
DELETE FROM notification AS n WHERE at < now() - interval '7 days' AND spread;

-- name: forget_deliveries
DELETE FROM delivery AS d WHERE NOT EXISTS (SELECT FROM notification n WHERE n.number = d.notification);
