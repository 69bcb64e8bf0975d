-- name: known_answer
-- Weights are Postgres' own hash, which is not promised across major versions: ask for one whose answer we know.
SELECT hashint8extended(100003 * 7 + 1, 1);

-- name: books
SELECT book, measure, tab, position, line, chain, order_no, a, b, condition FROM digest_book;

-- name: take_mark
SELECT m, q, last_position, closed FROM take_mark();

-- name: oldest_writer
-- Whoever holds the mark back; other databases' transactions count, as ids are given out per cluster.
SELECT format('pid %s in %s, %s s, %s', pid, datname, round(extract(epoch FROM clock_timestamp() - xact_start)), coalesce(nullif(application_name, ''), usename))
FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start < clock_timestamp() - interval '1 second'
ORDER BY xact_start LIMIT 1;

-- name: sequences
SELECT p.position, coalesce(o.seqs[p.ordinal], o.first_seq + p.ordinal - 1, 0) AS sequence
FROM outbox o CROSS JOIN LATERAL unnest(o.pos) WITH ORDINALITY AS p (position, ordinal)
WHERE o.first_pos <= $2 AND o.last_pos >= $1 AND p.position = ANY($3::bigint[]);

-- name: parked_positions
SELECT position FROM parked WHERE stream = $1 AND position <= $2 AND position >> 8 = ANY($3::bigint[]) ORDER BY position;

-- name: touched
SELECT tab, key::text, before::text, now::text, op, who, at::text FROM touched_by_hand();

-- name: unarmed
SELECT tab, missing FROM unarmed_tables();

-- name: scrub
SELECT book, leaf, kept, facts FROM scrub_digest($1, $2);

-- name: last_leaf
SELECT coalesce(max(leaf), 0) FROM (SELECT max(leaf) AS leaf FROM digest UNION ALL SELECT max(leaf) FROM digest_delta) x;

-- name: deltas_waiting
SELECT EXISTS (SELECT FROM digest_delta);

-- name: fold
SELECT fold_digest();

-- name: parked_and_dead
SELECT (SELECT count(*) FROM parked) AS parked, (SELECT coalesce(sum(cardinality(ids)), 0) FROM outbox WHERE stream = 'DEAD') AS dead;
