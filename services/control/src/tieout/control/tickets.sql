-- name: lock
-- Sorted, so that whoever opens several queues instead of deadlocking. What they were before says what becomes of them.
SELECT fingerprint, state FROM ticket WHERE fingerprint = ANY($1::text[]) ORDER BY fingerprint FOR UPDATE;

-- name: stands
SELECT EXISTS (SELECT FROM ticket WHERE fingerprint = $1 AND state <> 'resolved');

-- name: open
-- A cause that has its ticket is counted there. One that was resolved is open again, with a clock that starts anew.
INSERT INTO ticket AS t (fingerprint, kind, service, flow, reason, field, title_en, title_zh, detail, runbook, priority,
                         owner, count, first_at, last_at, due_at)
SELECT o.fingerprint, o.kind, o.service, o.flow, o.reason, o.field, o.title_en, o.title_zh, o.detail, o.runbook, o.priority,
       coalesce(team.team, 'control'), o.count, o.first_at, o.last_at, o.due_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::text[], $11::smallint[], $12::bigint[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[])
     AS o (fingerprint, kind, service, flow, reason, field, title_en, title_zh, detail, runbook, priority, count, first_at, last_at, due_at)
LEFT JOIN team ON team.service = o.service
ORDER BY o.fingerprint
ON CONFLICT (fingerprint) DO UPDATE SET
    count = t.count + excluded.count,
    first_at = least(t.first_at, excluded.first_at),
    last_at = greatest(t.last_at, excluded.last_at),
    title_en = excluded.title_en,
    title_zh = excluded.title_zh,
    detail = excluded.detail,
    state = CASE t.state WHEN 'resolved' THEN 'open' ELSE t.state END,
    times = t.times + (t.state = 'resolved')::integer,
    opened_at = CASE t.state WHEN 'resolved' THEN now() ELSE t.opened_at END,
    due_at = CASE t.state WHEN 'resolved' THEN excluded.due_at ELSE t.due_at END,
    paused_seconds = CASE t.state WHEN 'resolved' THEN 0 ELSE t.paused_seconds END,
    acknowledged_at = CASE t.state WHEN 'resolved' THEN NULL ELSE t.acknowledged_at END,
    resolved_at = NULL,
    overdue_told = t.overdue_told AND t.state <> 'resolved'
RETURNING number, fingerprint, kind, service, flow, title_en, title_zh, detail, priority, owner, due_at, times, count;

-- name: note_orders
-- An order counts once, with the largest amount that was seen.
INSERT INTO ticket_order AS t (ticket, company, order_no, currency, amount_minor, paper)
SELECT DISTINCT ON (ticket, company, order_no, paper) ticket, company, order_no, currency, amount_minor, paper
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::boolean[])
     AS o (ticket, company, order_no, currency, amount_minor, paper)
ORDER BY ticket, company, order_no, paper, abs(amount_minor) DESC
ON CONFLICT (ticket, company, order_no, paper) DO UPDATE SET currency = excluded.currency, amount_minor = excluded.amount_minor
WHERE abs(excluded.amount_minor) > abs(t.amount_minor);

-- name: note_history
INSERT INTO ticket_history (ticket, what, actor, note)
SELECT ticket, what, actor, note FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS h (ticket, what, actor, note);

-- name: tell
INSERT INTO notification (ticket, what, note)
SELECT ticket, what, note FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n (ticket, what, note);

-- name: settle
-- A cause that ended by itself; what is resolved already stays as somebody left it.
UPDATE ticket SET state = 'resolved', resolved_at = now(), waiting_since = NULL, muted_until = NULL
WHERE fingerprint = $1 AND state <> 'resolved'
RETURNING number, kind, fingerprint, times;
