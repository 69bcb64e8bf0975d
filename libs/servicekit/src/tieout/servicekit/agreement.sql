-- name: is_migrated
-- A service that is started before its first migration says so, instead of naming a table that nobody knows.
SELECT to_regclass('digest_book') IS NOT NULL;

-- name: known_answer
-- Weights are Postgres' own hash, which is not promised across major versions: ask for one whose answer we know.
SELECT hashint8extended(100003 * 7 + 1, 1);

-- name: books
SELECT book, measure, tab, position, line, chain, order_no, a, b, condition, currency FROM digest_book;

-- name: take_mark
SELECT m, q, last_position, closed FROM take_mark();

-- name: held_back
-- What the broker has not taken for seconds, and who else holds the mark back: other databases' transactions count, as
-- ids are given out per cluster.
SELECT coalesce(sum(cardinality(pos)), 0)::bigint AS events,
       coalesce(extract(epoch FROM clock_timestamp() - min(written_at)), 0)::float8 AS seconds,
       (SELECT format('pid %s in %s, %s s, %s', pid, datname, round(extract(epoch FROM clock_timestamp() - xact_start)), coalesce(nullif(application_name, ''), usename))
        FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start < clock_timestamp() - interval '1 second'
        ORDER BY xact_start LIMIT 1) AS oldest_writer
FROM outbox WHERE first_seq IS NULL AND stream <> 'DEAD' AND written_at < clock_timestamp() - interval '5 seconds';

-- name: sequences
SELECT p.position, coalesce(o.seqs[p.message], o.first_seq + p.message - 1, 0) AS sequence
FROM outbox o CROSS JOIN LATERAL unnest(o.pos, o.message) AS p (position, message)
WHERE o.first_pos <= $2 AND o.last_pos >= $1 AND p.position = ANY($3::bigint[]);

-- name: parked_positions
SELECT position, durable, key, reason, parked_at FROM parked WHERE stream = $1 AND position = ANY($2::bigint[]) ORDER BY position;

-- name: any_touched
-- Hardly ever: so nobody pays for looking closer.
SELECT EXISTS (SELECT FROM tamper WHERE tab = $1);

-- name: deltas_waiting
SELECT EXISTS (SELECT FROM digest_delta);

-- name: fold
SELECT fold_digest();
