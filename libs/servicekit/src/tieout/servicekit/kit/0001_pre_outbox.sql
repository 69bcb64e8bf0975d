-- What every service's database has, whoever owns it. Applied before the service's own migrations.
-- The roles come from `migrate`: tieout.app_role may not change facts, tieout.auditor_role reads.

CREATE TABLE kit_role (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    app     text NOT NULL,
    auditor text NOT NULL
);
INSERT INTO kit_role (app, auditor) VALUES (current_setting('tieout.app_role'), current_setting('tieout.auditor_role'));

-- Grants in one place; a role that does not exist (a test without an auditor) is passed over.
CREATE PROCEDURE kit_grant(privileges text, object text) LANGUAGE plpgsql AS $$
DECLARE
    grantee kit_role;
BEGIN
    SELECT * INTO grantee FROM kit_role;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = grantee.app) THEN
        EXECUTE format('GRANT %s ON %s TO %I', privileges, object, grantee.app);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = grantee.auditor) THEN
        EXECUTE format('GRANT %s ON %s TO %I', CASE WHEN object LIKE 'SCHEMA %' THEN 'USAGE' ELSE 'SELECT' END, object, grantee.auditor);
    END IF;
END $$;
CALL kit_grant('USAGE', 'SCHEMA public');

-- The outbox: one row is what one transaction announced. Element k of the arrays is one event; the last one is the notice, which has
-- no position. Events of one subject travel together: message[k] says in which message (1, 2 …) element k does, and its
-- sequence is seqs[message[k]], or first_seq + message[k] - 1 where they are consecutive (nearly always).
CREATE TABLE outbox (
    batch          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream         text NOT NULL,
    pos            bigint[] NOT NULL,
    first_pos      bigint,
    last_pos       bigint,
    ids            uuid[] NOT NULL,
    subjects       text[] NOT NULL,
    bodies         bytea[] NOT NULL,
    message        integer[] NOT NULL,
    written_at     timestamptz NOT NULL DEFAULT now(),
    stream_created timestamptz,
    first_seq      bigint,
    last_seq       bigint,
    seqs           bigint[]
) WITH (autovacuum_vacuum_scale_factor = 0.05);
-- Random ids and bodies that are read once are not worth a compressor's time.
ALTER TABLE outbox ALTER pos SET STORAGE EXTERNAL, ALTER ids SET STORAGE EXTERNAL, ALTER bodies SET STORAGE EXTERNAL;
CREATE INDEX outbox_unsent ON outbox (batch) WHERE first_seq IS NULL;
CREATE INDEX outbox_first_pos ON outbox (first_pos);
CREATE INDEX outbox_dead ON outbox (batch) WHERE stream = 'DEAD';
CALL kit_grant('SELECT, INSERT, UPDATE, DELETE', 'outbox');
CALL kit_grant('USAGE', 'SEQUENCE outbox_batch_seq');  -- A transaction that writes no row draws its turn as well.

CREATE SEQUENCE outbox_pos CACHE 1;  -- A cache above 1 hands out numbers out of order and breaks the mark.
REVOKE ALL ON SEQUENCE outbox_pos FROM public;

-- The only way to a position: own transaction id first, then the numbers. Whoever reads the last number and then takes
-- an id of his own knows: everyone with a number up to that one has an older id.
CREATE FUNCTION next_pos(k integer) RETURNS bigint[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_current_xact_id();
    RETURN ARRAY(SELECT nextval('outbox_pos') FROM generate_series(1, k));
END $$;

CREATE TABLE mark (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    last    bigint NOT NULL DEFAULT 0,   -- The number that is being closed,
    horizon xid8 NOT NULL DEFAULT '0',   -- and the id that must have no older one running before it is.
    m       bigint NOT NULL DEFAULT 0,   -- Every event with pos <= m is committed and published, for ever.
    q       bigint NOT NULL DEFAULT 0    -- The highest stream sequence among them.
);
INSERT INTO mark DEFAULT VALUES;
CALL kit_grant('SELECT', 'mark');

-- Must be alone in its transaction: the order of the two reads (number, then id) is what makes it exact.
CREATE FUNCTION take_mark(OUT m bigint, OUT q bigint, OUT last_position bigint, OUT closed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    before mark;
    closed_to bigint;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'take_mark needs a transaction of its own';
    END IF;
    -- A fresh sequence says 1 before it has given 1.
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO last_position FROM outbox_pos;
    SELECT * INTO before FROM mark FOR UPDATE;  -- The lock assigns our id, newer than everyone's who drew a number <= last_position.
    closed_to := before.m;
    IF pg_snapshot_xmin(pg_current_snapshot()) > before.horizon THEN
        closed_to := greatest(closed_to, before.last);
    END IF;
    SELECT coalesce(min(o.first_pos) - 1, closed_to) INTO m FROM outbox o WHERE o.first_seq IS NULL AND o.first_pos <= closed_to;
    m := greatest(m, before.m);
    SELECT greatest(before.q, max(o.last_seq)) INTO q FROM outbox o WHERE o.last_pos > before.m AND o.first_pos <= m;
    q := coalesce(q, before.q);
    closed := m >= last_position;
    IF closed_to >= before.last AND last_position > before.last THEN
        UPDATE mark SET last = last_position, horizon = pg_current_xact_id(), m = take_mark.m, q = take_mark.q;
    ELSIF m > before.m OR q > before.q THEN
        UPDATE mark SET m = take_mark.m, q = take_mark.q;
    END IF;
END $$;

-- After an audit has rewritten sequences (the broker lost and re-used some), the highest one is looked up again.
CREATE FUNCTION restate_mark() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE mark SET q = coalesce((SELECT max(last_seq) FROM outbox WHERE first_pos <= mark.m), 0);
$$;

-- Messages that wait: for a partner document (key), or for another try (due_at).
CREATE TABLE parked (
    durable         text NOT NULL,
    event_id        text NOT NULL,
    key             text NOT NULL,
    reason          text NOT NULL,
    chain           text NOT NULL DEFAULT '',  -- Of the message itself; the key is of what it waits for.
    order_no        text NOT NULL DEFAULT '',
    subject         text NOT NULL,
    body            bytea NOT NULL,
    stream          text NOT NULL,
    stream_sequence bigint NOT NULL,
    position        bigint NOT NULL,
    attempts        integer NOT NULL,
    claims          integer NOT NULL DEFAULT 0,  -- Taken in hand so often since its last try came to an end.
    parked_at       timestamptz NOT NULL DEFAULT now(),
    due_at          timestamptz NOT NULL,  -- While it is in hand: when another process may take it.
    PRIMARY KEY (durable, event_id)
);
CREATE INDEX parked_key ON parked (key);
CREATE INDEX parked_chain ON parked (chain);
CREATE INDEX parked_due ON parked (due_at);
CALL kit_grant('SELECT, INSERT, UPDATE, DELETE', 'parked');
