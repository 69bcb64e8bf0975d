-- name: freeze
INSERT INTO replay (selection, reason, frozen_by, items, documents) VALUES ($1, $2, $3, $4, $5) RETURNING replay;

-- name: lock
SELECT state FROM replay WHERE replay = $1 FOR UPDATE;

-- name: move
UPDATE replay SET state = $2, leased_until = CASE WHEN $2 IN ('rehearsing', 'running') THEN '-infinity' ELSE leased_until END,
    done = CASE WHEN $2 = 'rehearsing' THEN 0 ELSE done END,
    ended_at = CASE WHEN $2 = 'cancelled' THEN clock_timestamp() END,
    sentence = CASE WHEN $2 = 'cancelled' THEN 'It was cancelled. What it had booked stays booked.' ELSE '' END
WHERE replay = $1;

-- name: run
UPDATE replay SET per_second = $2, done = 0, seconds = 0, started_at = clock_timestamp() WHERE replay = $1;

-- name: forget_failed
-- A second run tries again what the first did not get through.
UPDATE replay_item SET outcome = '', done_at = NULL WHERE replay = $1 AND outcome IN ('failed', 'waits');

-- name: forget_rehearsal
UPDATE replay_item SET rehearsed = '', reason = '', field = '', detail = '' WHERE replay = $1 AND rehearsed <> '';

-- name: forget_effects
DELETE FROM replay_effect WHERE replay = $1;

-- name: log
INSERT INTO replay_log (replay, actor, action, note) VALUES ($1, $2, $3, $4);

-- name: edit
UPDATE replay_item SET original = coalesce(original, $3), edited = $4, edited_by = $5, edited_why = $6, rehearsed = '', outcome = ''
WHERE replay = $1 AND item = $2;

-- name: edited
-- What was rehearsed is no longer what would be run.
UPDATE replay SET state = 'frozen', sentence = '' WHERE replay = $1;

-- name: newest
SELECT * FROM replay WHERE replay < $1 ORDER BY replay DESC LIMIT $2;

-- name: show
SELECT * FROM replay WHERE replay = $1;

-- name: rehearsed
SELECT flow, rehearsed, CASE WHEN outcome = '' THEN reason ELSE '' END, count(*)::integer FROM replay_item
WHERE replay = $1 AND rehearsed <> '' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- name: outcomes
SELECT flow, outcome, CASE WHEN outcome = '' THEN '' ELSE reason END, count(*)::integer FROM replay_item
WHERE replay = $1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- name: effects
SELECT service, figure, value_a, value_b, currency, rows, a, b FROM replay_effect WHERE replay = $1 ORDER BY 1, 2, 5;

-- name: entries
SELECT at, actor, action, note FROM replay_log WHERE replay = $1 ORDER BY entry;

-- name: items
SELECT * FROM replay_item
WHERE replay = $1 AND item > $2 AND ($3 = '' OR CASE WHEN outcome = '' THEN rehearsed ELSE outcome END = $3)
ORDER BY item LIMIT $4;

-- name: item
SELECT * FROM replay_item WHERE replay = $1 AND item = $2;
