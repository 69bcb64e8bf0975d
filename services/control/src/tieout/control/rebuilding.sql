-- name: now
SELECT clock_timestamp();

-- name: newest
-- The last that this database knows of anything.
SELECT greatest((SELECT max(heard_at) FROM notice), (SELECT max(written_at) FROM outbox), (SELECT max(at) FROM ticket_history));

-- name: rebuild_tickets
-- As they were announced, the last opening of each. Those that letters and facts open are counted when these are played.
INSERT INTO ticket AS t (number, fingerprint, kind, service, flow, reason, field, title_en, title_zh, detail, runbook, priority, owner,
                         count, first_at, last_at, opened_at, due_at, times, rebuilding)
OVERRIDING SYSTEM VALUE
SELECT DISTINCT ON (fingerprint) number, fingerprint, kind, service, flow, '', '', title_en, title_zh,
       'Rebuilt from its announcement after the database was restored; its history is lost.', runbook, priority, owner,
       CASE WHEN kind IN ('dead_letter', 'conflict', 'cancelled_but_shipped') THEN 0 ELSE 1 END, at, at, at, due_at, times, true
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::smallint[],
            $10::text[], $11::timestamptz[], $12::timestamptz[], $13::integer[])
     AS o (number, fingerprint, kind, service, flow, title_en, title_zh, runbook, priority, owner, at, due_at, times)
ORDER BY fingerprint, times DESC
ON CONFLICT (fingerprint) DO UPDATE SET state = 'open', resolved_at = NULL, acknowledged_at = NULL, opened_at = excluded.opened_at,
    due_at = excluded.due_at, last_at = greatest(t.last_at, excluded.last_at), times = excluded.times, paused_seconds = 0, overdue_told = false,
    rebuilding = true
WHERE t.times < excluded.times;

-- name: note_rebuilt
INSERT INTO ticket_history (ticket, what, actor, note)
SELECT DISTINCT n, 'opened', 'control', 'Rebuilt from its announcement after the database was restored.' FROM unnest($1::bigint[]) AS n;

-- name: draw_tickets
-- Rolled back: only the numbers are used up. We may insert, but not set the sequence.
WITH drawn AS (
    INSERT INTO ticket (fingerprint, kind, service, flow, reason, field, title_en, title_zh, detail, runbook, priority, owner, count,
                        first_at, last_at, due_at)
    SELECT 'drawn:' || n, 'finding', '', '', '', '', '', '', '', '', 4, '', 1, now(), now(), now() FROM generate_series(1, $1::integer) n
    RETURNING number
)
SELECT max(number) FROM drawn;

-- name: newest_notices
SELECT DISTINCT ON (producer) producer, body FROM notice ORDER BY producer, first_position DESC;

-- name: newest_letter
SELECT max(at) FROM dead_letter;

-- name: told_of_tickets
-- Also of those that an earlier attempt of this recovery restored: that one may have died before it told the tickets.
SELECT e.subject, e.body FROM outbox o CROSS JOIN LATERAL unnest(o.subjects, o.bodies) AS e (subject, body)
WHERE o.stream = $1 AND e.subject = ANY ($2::text[]);

-- name: resolve_again
-- One that was opened again since was opened more often.
UPDATE ticket t SET state = 'resolved', resolved_at = r.at, waiting_since = NULL, muted_until = NULL
FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[]) AS r (number, times, at)
WHERE t.number = r.number AND t.times = r.times AND t.state <> 'resolved';

-- name: set_aside_again
-- After their refunds were played and counted. What opened such a claim again later stands.
UPDATE refund_claim c SET settled = true
FROM unnest($1::uuid[], $2::bigint[]) AS a (document_id, position)
WHERE c.document_id = a.document_id AND c.position <= a.position AND NOT c.settled;

-- name: ended_meanwhile
-- The end of their last claim was played, and had not come to its ticket before the database was lost.
SELECT t.fingerprint FROM ticket t
WHERE t.rebuilding AND t.state <> 'resolved' AND EXISTS (SELECT FROM refund_claim c WHERE c.fingerprint = t.fingerprint)
  AND NOT EXISTS (SELECT FROM refund_claim c WHERE c.fingerprint = t.fingerprint AND NOT c.settled)
ORDER BY t.fingerprint;

-- name: count_once
-- Its letters are in no stream any more; it struck at least once.
UPDATE ticket SET count = 1 WHERE count = 0;

-- name: rebuilt
-- What ends from now on ends them.
UPDATE ticket SET rebuilding = false WHERE rebuilding;

-- name: heard_since
SELECT count(*) FROM notice WHERE heard_at >= $1;
