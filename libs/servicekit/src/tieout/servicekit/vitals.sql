-- name: open_runs
SELECT run, pid, memory_bytes, memory_limit_bytes, oom_kills FROM process_run WHERE host = $1 AND ended = '' FOR UPDATE;

-- name: end_run
UPDATE process_run SET ended = $2, ended_at = clock_timestamp() WHERE run = $1 AND ended = '';

-- name: begin_run
INSERT INTO process_run (host, pid, version, memory_bytes, memory_limit_bytes, oom_kills, holds)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING run;

-- name: note_run
-- Who was given up for lost and is there after all (suspended, cut off) stands among the living again.
UPDATE process_run SET memory_bytes = $2, oom_kills = $3, ready = $4, stopped = $5, seen_at = clock_timestamp(),
    ended = CASE ended WHEN 'lost' THEN '' ELSE ended END, ended_at = CASE ended WHEN 'lost' THEN NULL ELSE ended_at END
WHERE run = $1;

-- name: give_up_lost
-- What ran on another host is not ours to look at, and nobody may start there again.
UPDATE process_run SET ended = 'lost', ended_at = clock_timestamp()
WHERE ended = '' AND host <> $1 AND seen_at < clock_timestamp() - $2 * interval '1 second';

-- name: replicas
SELECT run, host, pid, version, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started_at,
       greatest(0, extract(epoch FROM clock_timestamp() - seen_at))::float8 AS unseen_seconds, memory_bytes, memory_limit_bytes, ready, stopped
FROM process_run WHERE ended = '' ORDER BY started_at, run LIMIT 100;

-- name: forget_runs
DELETE FROM process_run WHERE started_at < clock_timestamp() - interval '30 days' AND ended <> '';

-- name: wait_little
-- A look must not stand in the queue that it looks for.
SET LOCAL lock_timeout = '300ms';

-- name: endings
SELECT to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), ended, pid, memory_bytes, memory_limit_bytes
FROM process_run WHERE ended IN ('killed', 'out_of_memory') AND ended_at > clock_timestamp() - interval '1 hour'
ORDER BY ended_at DESC LIMIT 50;

-- name: blocked
-- Who waits for whom. Of a session of another role we may see the role only, unless ours is a member of pg_read_all_stats.
SELECT a.pid, round(extract(epoch FROM clock_timestamp() - coalesce(l.waitstart, a.query_start)), 1)::float8, left(a.query, 80),
       b.pid, b.usename::text, coalesce(b.application_name, ''), coalesce(b.state, ''),
       coalesce(round(extract(epoch FROM clock_timestamp() - b.xact_start), 1), 0)::float8, left(coalesce(b.query, ''), 80)
FROM pg_stat_activity a
JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted
CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) AS by (pid)
JOIN pg_stat_activity b ON b.pid = by.pid
WHERE a.datname = current_database() AND a.usename = current_user
ORDER BY 2 DESC LIMIT 20;

-- name: unsafe
-- As sessions have it that write documents; who set it (the server's file, the database, a role) is in pg_settings.
SELECT array_remove(ARRAY[CASE current_setting('fsync') WHEN 'off' THEN 'fsync' END, CASE current_setting('full_page_writes') WHEN 'off' THEN 'full_page_writes' END,
    CASE current_setting('synchronous_commit') WHEN 'off' THEN 'synchronous_commit' END], NULL);

-- name: parked_oldest
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(parked_at)), 0)::float8 FROM parked;

-- name: tables
-- With what lies in their partitions.
SELECT t.name, sum(pg_total_relation_size(c.oid))::bigint AS bytes, sum(pg_stat_get_live_tuples(c.oid))::bigint, sum(pg_stat_get_dead_tuples(c.oid))::bigint
FROM pg_class c CROSS JOIN LATERAL (SELECT coalesce(pg_partition_root(c.oid), c.oid)::regclass::text AS name) t
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
GROUP BY t.name ORDER BY bytes DESC LIMIT $1;
