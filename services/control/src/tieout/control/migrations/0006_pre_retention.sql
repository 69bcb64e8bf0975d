-- Tickets and replays that are over, old enough, and needed by nobody. Their histories are facts, which this service may not
-- delete; so the owner's functions do, by rules that are written down here.

-- What was let go, and that it was let go by age: a ticket or replay that is missing without a row here was taken by hand.
CREATE TABLE forgotten (
    kind         text        NOT NULL CHECK (kind IN ('ticket', 'replay')),
    number       bigint      NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, number)
);
CALL fact_table('forgotten');

-- Rows of a history that are deleted are a finding as all facts' are, unless what they are of is forgotten. Who deletes by
-- hand and writes such a row first leaves that row as a finding: it is a fact too.
CREATE FUNCTION note_tamper_unless_forgotten() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO tamper (tab, op, key, before, after, who, app, addr)
    SELECT f.tab, TG_OP, row_key(f.key_columns, to_jsonb(o)), to_jsonb(o), NULL, session_user, current_setting('application_name'), inet_client_addr()
    FROM old_rows o, fact_tables f
    WHERE f.tab = TG_ARGV[0]
      AND NOT EXISTS (SELECT FROM forgotten g WHERE g.kind = TG_ARGV[1] AND g.number = (to_jsonb(o) ->> TG_ARGV[1])::bigint);
    RETURN NULL;
END $$;
DROP TRIGGER tamper_delete ON ticket_history;
CREATE TRIGGER tamper_delete AFTER DELETE ON ticket_history REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT
    EXECUTE FUNCTION note_tamper_unless_forgotten('ticket_history', 'ticket');
ALTER TABLE ticket_history ENABLE ALWAYS TRIGGER tamper_delete;
DROP TRIGGER tamper_delete ON replay_log;
CREATE TRIGGER tamper_delete AFTER DELETE ON replay_log REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT
    EXECUTE FUNCTION note_tamper_unless_forgotten('replay_log', 'replay');
ALTER TABLE replay_log ENABLE ALWAYS TRIGGER tamper_delete;

CREATE INDEX ticket_over ON ticket (resolved_at) WHERE state = 'resolved';

-- Resolved so many days ago, and nothing rests on it: no dead letter (these go by their own days), no history that hands
-- have touched. A cause that returns later gets a new ticket. Answers how many went.
CREATE FUNCTION forget_tickets(days integer, most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone bigint[];
BEGIN
    IF days < 1 THEN
        RETURN 0;  -- For ever; and nobody has the histories of today deleted.
    END IF;
    gone := ARRAY(
        SELECT t.number FROM ticket t
        WHERE t.state = 'resolved' AND t.resolved_at < now() - make_interval(days => days)
          AND NOT EXISTS (SELECT FROM dead_letter d WHERE d.ticket = t.number)
          AND NOT EXISTS (SELECT FROM tamper x WHERE x.tab = 'ticket_history'
                          AND t.number::text IN (x.before ->> 'ticket', x.after ->> 'ticket'))
        ORDER BY t.number LIMIT most FOR UPDATE SKIP LOCKED);
    INSERT INTO forgotten (kind, number) SELECT 'ticket', unnest(gone) ON CONFLICT DO NOTHING;
    DELETE FROM ticket_order WHERE ticket = ANY(gone);
    DELETE FROM notification WHERE ticket = ANY(gone);
    DELETE FROM ticket_history WHERE ticket = ANY(gone);
    DELETE FROM ticket WHERE number = ANY(gone);
    RETURN cardinality(gone);
END $$;

-- Ended, or chosen and never run, so many days ago. One that runs or is paused stays; so does one whose ticket stands, and
-- one that has run a dead letter of a ticket that stands: that it is through is known from here only. A large one goes in
-- several steps, of `most` items each, and can be neither rehearsed nor run from the first on. Answers how many rows went.
CREATE FUNCTION forget_replays(days integer, most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    one bigint;
    step bigint;
    done bigint := 0;
BEGIN
    IF days < 1 THEN
        RETURN 0;
    END IF;
    FOR one IN
        SELECT r.replay FROM replay r
        WHERE r.state IN ('succeeded', 'unproved', 'cancelled', 'frozen', 'rehearsed')
          AND greatest(r.frozen_at, r.ended_at) < now() - make_interval(days => days)
          AND NOT EXISTS (SELECT FROM ticket t WHERE t.fingerprint = 'replay:' || r.replay AND t.state <> 'resolved')
          AND NOT EXISTS (SELECT FROM replay_item i JOIN dead_letter d ON d.number = i.letter JOIN ticket t ON t.number = d.ticket
                          WHERE i.replay = r.replay AND i.letter > 0 AND t.state <> 'resolved')
          AND NOT EXISTS (SELECT FROM tamper x WHERE x.tab = 'replay_log' AND r.replay::text IN (x.before ->> 'replay', x.after ->> 'replay'))
        ORDER BY r.replay LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
        DELETE FROM replay_item WHERE replay = one AND item IN (SELECT item FROM replay_item WHERE replay = one ORDER BY item LIMIT most - done);
        GET DIAGNOSTICS step = ROW_COUNT;
        done := done + step;
        IF done >= most THEN
            UPDATE replay SET state = 'cancelled', sentence = 'It is older than replays are kept, and is being forgotten.' WHERE replay = one;
            EXIT;
        END IF;
        INSERT INTO forgotten (kind, number) VALUES ('replay', one) ON CONFLICT DO NOTHING;
        DELETE FROM replay_effect WHERE replay = one;
        DELETE FROM replay_log WHERE replay = one;
        DELETE FROM replay WHERE replay = one;
        done := done + 1;
        EXIT WHEN done >= most;
    END LOOP;
    RETURN done;
END $$;

DO $$
DECLARE
    app_role text;
BEGIN
    SELECT app INTO app_role FROM kit_role;
    REVOKE ALL ON FUNCTION forget_tickets, forget_replays FROM public;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = app_role) THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION forget_tickets, forget_replays TO %I', app_role);
    END IF;
END $$;
