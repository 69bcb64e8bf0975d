-- name: lock
-- With the minutes of the wished priority, or of its own.
SELECT t.*, p.due_minutes FROM ticket AS t
JOIN ticket_priority AS p ON p.priority = CASE $2::integer WHEN 0 THEN t.priority ELSE $2 END
WHERE number = $1 FOR UPDATE OF t;

-- name: save
-- In the order of the fields of Standing. Whoever opens a ticket again, opens it once more.
UPDATE ticket SET state = $2, priority = $3, owner = $4, assignee = $5, opened_at = $6, due_at = $7, waiting_since = $8,
    muted_until = $9, acknowledged_at = $10, resolved_at = $11, times = times + $12::boolean::integer,
    overdue_told = overdue_told AND $7 <= now()
WHERE number = $1;
