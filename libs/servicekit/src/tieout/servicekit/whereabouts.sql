-- name: moved
-- A restored dump has another oid, a server made anew another identifier, and one that was restored to a point in time another timeline;
-- so has a standby that took over.
SELECT NOT EXISTS (
    SELECT FROM database_home h, pg_control_system() s, pg_control_checkpoint() c, pg_database d
    WHERE d.datname = current_database() AND (h.server, h.database, h.timeline) = (s.system_identifier::text, d.oid, c.timeline_id)
) AS moved, EXISTS (SELECT FROM database_home WHERE recovering) AS recovering,
    (SELECT format('%s set it by hand at %s', t.who, t.at) FROM tamper t
     WHERE t.tab = 'database_home' AND t.after ->> 'recovering' = 'true' AND t.before ->> 'recovering' = 'false' ORDER BY t.id DESC LIMIT 1) AS by_hand;

-- name: settle
INSERT INTO database_home (server, database, timeline)
SELECT s.system_identifier::text, d.oid, c.timeline_id
FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d WHERE d.datname = current_database()
ON CONFLICT (one) DO UPDATE SET (server, database, timeline, recovering) = (excluded.server, excluded.database, excluded.timeline, false);

-- name: begin_recovery
-- Where it stands is written at its end.
INSERT INTO database_home (server, database, timeline, recovering) VALUES ('', 0, 0, true) ON CONFLICT (one) DO UPDATE SET recovering = true;

-- name: lose_runs
UPDATE process_run SET ended = 'lost', ended_at = clock_timestamp() WHERE ended = '';

-- name: letters
SELECT coalesce(array_agg(id::text), '{}'::text[]) FROM outbox, unnest(ids) AS id WHERE stream = 'DEAD' AND id::text = ANY($1::text[]);
