-- name: to_rehearse
SELECT item, wave, flow, subject, producer, position, sequence, event_id, letter, edited FROM replay_item
WHERE replay = $1 AND rehearsed = '' ORDER BY item LIMIT $2;

-- name: to_run
SELECT item, wave, flow, subject, producer, position, sequence, event_id, letter, edited FROM replay_item
WHERE replay = $1 AND outcome = '' ORDER BY item LIMIT $2;

-- name: note_rehearsed
UPDATE replay_item i SET rehearsed = n.outcome, reason = n.reason, field = n.field, detail = n.detail
FROM unnest($2::integer[], $3::text[], $4::text[], $5::text[], $6::text[]) AS n (item, outcome, reason, field, detail)
WHERE i.replay = $1 AND i.item = n.item;

-- name: note_outcomes
UPDATE replay_item i SET outcome = n.outcome, reason = n.reason, field = n.field, detail = n.detail, done_at = clock_timestamp()
FROM unnest($2::integer[], $3::text[], $4::text[], $5::text[], $6::text[]) AS n (item, outcome, reason, field, detail)
WHERE i.replay = $1 AND i.item = n.item;

-- name: add_effects
-- Two flows of one service may tell at once; sorted, they cannot wait for each other in a circle.
INSERT INTO replay_effect AS e (replay, service, figure, value_a, value_b, currency, rows, a, b)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::numeric[], $9::numeric[])
    AS n (service, figure, value_a, value_b, currency, rows, a, b)
ORDER BY service, figure, currency
ON CONFLICT (replay, service, figure, currency)
DO UPDATE SET rows = e.rows + excluded.rows, a = e.a + excluded.a, b = e.b + excluded.b;

-- name: note_chains
-- What a raw document has led to, so that the proof at the end knows it.
UPDATE replay_item i SET chain_id = n.chain_id FROM unnest($2::integer[], $3::text[]) AS n (item, chain_id)
WHERE i.replay = $1 AND i.item = n.item AND n.chain_id <> '';

-- name: keep
-- One row, locked for moments: progress, and whether somebody wants it to hold. No row where another process has taken it.
UPDATE replay SET done = done + $3, seconds = seconds + $4, sentence = CASE WHEN $3 > 0 THEN '' ELSE sentence END
WHERE replay = $1 AND taken = $2 RETURNING state;

-- name: lease
UPDATE replay SET leased_until = clock_timestamp() + make_interval(secs => $3)
WHERE replay = $1 AND taken = $2 AND state IN ('rehearsing', 'running', 'proving');

-- name: say
UPDATE replay SET sentence = $3 WHERE replay = $1 AND taken = $2 AND state IN ('rehearsing', 'running', 'proving');

-- name: let_go
UPDATE replay SET leased_until = '-infinity' WHERE replay = $1 AND taken = $2;

-- name: prove
UPDATE replay SET state = CASE WHEN state = 'running' THEN 'proving' ELSE state END
WHERE replay = $1 AND taken = $2 RETURNING state;

-- name: count_rehearsed
SELECT rehearsed AS outcome, count(*) AS items FROM replay_item WHERE replay = $1 GROUP BY 1;

-- name: count_outcomes
SELECT outcome, count(*) AS items FROM replay_item WHERE replay = $1 GROUP BY 1;

-- name: touched
SELECT DISTINCT chain_id FROM replay_item WHERE replay = $1 AND chain_id = ANY($2::text[]);

-- name: end
UPDATE replay SET state = $3, sentence = $4, seconds = seconds + $5, ended_at = clock_timestamp(), leased_until = '-infinity'
WHERE replay = $1 AND taken = $2 AND state IN ('rehearsing', 'running', 'proving') RETURNING replay;

-- name: log
INSERT INTO replay_log (replay, actor, action, note) VALUES ($1, $2, $3, $4);

-- name: whole_tickets
-- Of this replay's letters; only where no other dead letter of the ticket is left.
SELECT t.fingerprint FROM ticket t
WHERE t.number IN (SELECT d.ticket FROM replay_item i JOIN dead_letter d ON d.number = i.letter WHERE i.replay = $1)
  AND NOT EXISTS (
    SELECT FROM dead_letter d WHERE d.ticket = t.number AND NOT EXISTS (
        SELECT FROM replay_item i JOIN replay r USING (replay)
        WHERE i.letter = d.number AND i.outcome IN ('booked', 'already_there', 'conflict') AND (r.state = 'succeeded' OR r.replay = $1)))
ORDER BY t.fingerprint;
