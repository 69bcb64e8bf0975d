-- name: standing
SELECT fingerprint, kind FROM ticket WHERE (kind IN ('flow_stopped', 'deadline') OR fingerprint LIKE 'finding:unchecked:%') AND state <> 'resolved';

-- name: unmuted
-- Its time is over: it stands open again, and is told where it struck meanwhile.
UPDATE ticket AS t SET state = 'open', muted_until = NULL
WHERE number IN (SELECT number FROM ticket WHERE state = 'muted' AND muted_until <= now() FOR UPDATE SKIP LOCKED)
RETURNING number, last_at > (SELECT max(at) FROM ticket_history h WHERE h.ticket = t.number AND h.what = 'muted') AS struck;

-- name: overdue
-- Told once per deadline, and one step more urgent. A ticket that waits or is muted has no running clock.
UPDATE ticket SET overdue_told = true, priority = greatest(1, priority - 1)
WHERE number IN (SELECT number FROM ticket WHERE state IN ('open', 'acknowledged') AND due_at < now() AND NOT overdue_told
                 FOR UPDATE SKIP LOCKED)
RETURNING number, priority;

-- name: clocks
-- What stands by priority; `over`: a mute that has ended, or a deadline that has passed and was not told.
SELECT p.priority, count(t.number) AS standing,
       count(*) FILTER (WHERE state IN ('open', 'acknowledged') AND due_at < now()) AS overdue,
       count(*) FILTER (WHERE state = 'muted' AND muted_until <= now()
                        OR state IN ('open', 'acknowledged') AND due_at < now() AND NOT overdue_told) AS over
FROM ticket_priority p LEFT JOIN ticket t ON t.priority = p.priority AND t.state <> 'resolved'
GROUP BY p.priority ORDER BY p.priority;
