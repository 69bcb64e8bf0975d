-- The processes of this service. One that is gone without having said so was killed: the next one finds its row.
CREATE TABLE process_run (
    run                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host               text        NOT NULL,
    pid                integer     NOT NULL,
    version            text        NOT NULL,
    started_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    memory_bytes       bigint      NOT NULL,  -- What it last noted: every few seconds while it works, twice a minute while it is idle.
    memory_limit_bytes bigint      NOT NULL,  -- 0: none.
    oom_kills          bigint      NOT NULL,  -- The machine's own count for this group of processes, where it has one.
    ready              boolean     NOT NULL DEFAULT false,
    stopped            text        NOT NULL DEFAULT '{}',  -- JSON: its flows that have stopped -> where their code fails.
    -- `lost`: nobody can say what became of it. It is of another host and not heard of for long, or this database is a backup of the one
    -- that it worked on.
    ended              text        NOT NULL DEFAULT '' CHECK (ended IN ('', 'stopped', 'killed', 'out_of_memory', 'lost')),
    ended_at           timestamptz,
    holds              text[]      NOT NULL DEFAULT '{}'  -- Post migrations of its package: it works before and after these.
) WITH (fillfactor = 50);
CALL state_table('process_run', watched => false);

-- Which release first came with a post migration, so that `migrate --phase upgrade` leaves it to the next one.
CREATE TABLE post_migration (
    owner    text        NOT NULL,
    name     text        NOT NULL,
    release  text        NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (owner, name)
);
CALL kit_grant('SELECT', 'post_migration');

-- Where the last process that worked here found this database. Elsewhere, or in another timeline, it may be an older backup: the next
-- start looks whether it knows what it confirmed to the broker. Read and written at starts only. A hand that sets `recovering` keeps the
-- service from its start, or lets it start half recovered: it is told as of other state.
CREATE TABLE database_home (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    server   text    NOT NULL,
    database oid     NOT NULL,
    timeline integer NOT NULL,
    -- A recovery has begun and not ended: it knows again what was announced, and may lack the rest. Nobody else may write.
    recovering boolean NOT NULL DEFAULT false
);
CALL state_table('database_home');
