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

-- name: touched
-- Short enough to be read: what stood in an outbox is in `tamper`.
SELECT tab, key::text, left(before::text, 4000) AS before, left(now::text, 4000) AS now, op, who, at::text FROM touched_by_hand();

-- name: settings_by_hand
SELECT tab, key::text, coalesce(expected::text, '(was not there)') AS expected, coalesce(now::text, '(gone)') AS now, op, who, at::text FROM settings_by_hand();

-- name: settings_unlogged
SELECT tab, key::text, coalesce(logged::text, '(was not there)') AS logged, coalesce(now::text, '(gone)') AS now FROM settings_unlogged();

-- name: settings_changes
-- The newest first.
SELECT number, at, tab, op, source, key::text, coalesce(before::text, '') AS before, coalesce(after::text, '') AS after, who, actor
FROM settings_change
WHERE ($1::timestamptz IS NULL OR at < $1) AND ($2::text = '' OR tab = $2) AND (NOT $3::boolean OR source = 'hand')
ORDER BY at DESC, number DESC LIMIT $4;

-- name: settings_tables
SELECT tab FROM settings_tables ORDER BY tab;

-- name: moved
-- What the server itself has counted, whatever triggers saw: rows that changed at all, facts that were edited, which the
-- service never does, and triggers that are armed, by the transactions that armed them.
SELECT coalesce(sum(pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid)), 0)::bigint AS moved,
       coalesce(sum(pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid))
           FILTER (WHERE c.oid IN (SELECT p.part FROM fact_tables f, parts_of(f.tab) p)), 0)::bigint AS edited,
       (SELECT coalesce(sum(hashint8extended(xmin::text::bigint, oid::bigint) >> 16), 0)::bigint FROM pg_trigger WHERE tgenabled = 'A') AS armed
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r';

-- name: unarmed
SELECT tab, missing FROM unarmed_tables();

-- name: migrations
-- What was ever applied here, or is said to have been.
SELECT owner, name, checksum, applied_at, applied_at > now() - interval '1 hour' AND applied_at <= now() AS fresh FROM schema_migration ORDER BY owner, name;

-- name: guards
-- One row for each table. A trigger that is off now has a rule of its own, unless its table was struck from the list. With what the server has counted of edits and what
-- their log knows, which is only told: statistics may be lost or reset.
SELECT kind, tab, string_agg(name, ', ' ORDER BY name) AS names,
       string_agg(DISTINCT coalesce(recorded, '(was not there)'), '; ') AS recorded, string_agg(DISTINCT coalesce(found, '(gone)'), '; ') AS found,
       coalesce((SELECT sum(pg_stat_get_tuples_updated(p.part) + pg_stat_get_tuples_deleted(p.part)) FROM parts_of(to_regclass(nullif(tab, ''))::text) p), 0)::bigint AS edits,
       (SELECT count(*) FROM tamper t WHERE t.tab = g.tab AND t.op <> 'INSERT') AS logged
FROM look_at_guards() g
WHERE NOT (kind = 'trigger' AND (tab, name) IN (SELECT u.tab, u.missing FROM unarmed_tables() u))
GROUP BY kind, tab ORDER BY kind DESC, tab;

-- name: copies
SELECT at::text, recorded, found FROM copies_to_be_told() ORDER BY number;

-- name: set_back
SELECT what, held_at, given_out FROM positions_set_back();

-- name: scrub
SELECT book, leaf, kept, facts FROM scrub_digest($1, $2);

-- name: scrub_branches
-- Both are written by one statement, so they differ only by a hand.
SELECT book, branch, kept, leaves FROM scrub_branches();

-- name: scrub_cuts
-- Whatever positions there are, also forged ones: a scrub takes as many statements as there are leaves, not as far as they lie apart.
SELECT leaf FROM scrub_cuts($1);

-- name: deltas_waiting
SELECT EXISTS (SELECT FROM digest_delta);

-- name: fold
SELECT fold_digest();

-- name: parked_and_dead
SELECT (SELECT count(*) FROM parked) AS parked,
       (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(parked_at)), 0)::float8 FROM parked) AS parked_oldest_seconds,
       (SELECT coalesce(sum(cardinality(ids)), 0) FROM outbox WHERE stream = 'DEAD') AS dead;
