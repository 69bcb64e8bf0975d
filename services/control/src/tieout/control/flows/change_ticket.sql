-- name: lock
SELECT * FROM ticket WHERE number = $1 FOR UPDATE;

-- name: save
-- In the order of the fields of Standing. Whoever opens a ticket again, opens it once more.
UPDATE ticket SET state = $2, priority = $3, owner = $4, assignee = $5, opened_at = $6, due_at = $7, waiting_since = $8,
    muted_until = $9, acknowledged_at = $10, resolved_at = $11, paused_seconds = $12, times = times + $13::boolean::integer,
    overdue_told = overdue_told AND $7 <= now()
WHERE number = $1;
