-- name: touched
-- Short enough to be read: what stood in an outbox is in `tamper`.
SELECT tab, key::text, left(before::text, 4000) AS before, left(now::text, 4000) AS now, op, who, at::text FROM touched_by_hand();

-- name: settings_by_hand
SELECT tab, key::text, coalesce(expected::text, '(was not there)') AS expected, coalesce(now::text, '(gone)') AS now, op, who, at::text FROM settings_by_hand();

-- name: settings_unlogged
SELECT tab, key::text, coalesce(logged::text, '(was not there)') AS logged, coalesce(now::text, '(gone)') AS now FROM settings_unlogged();

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

-- name: mark_is_gone
SELECT NOT EXISTS (SELECT FROM mark);

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
