-- Facts are inserted, never edited; state may change. Whoever touches a fact by hand leaves a trace here.

CREATE TABLE fact_tables (tab text PRIMARY KEY, key_columns text[] NOT NULL);
CALL kit_grant('SELECT', 'fact_tables');

-- State whose edits by hand are noted: all that anything is decided by.
CREATE TABLE state_tables (tab text PRIMARY KEY, key_columns text[] NOT NULL);
CALL kit_grant('SELECT', 'state_tables');

-- Whether this transaction is a migration. `migrate` notes itself first of all, and a note that no file of the release stands for is
-- a finding of its own (migrations_known). A setting would do for nothing: any session may set one.
CREATE FUNCTION migrating() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM schema_migration WHERE xid = pg_current_xact_id_if_assigned() AND applied_at = now());
$$;
CALL kit_grant('SELECT', 'schema_migration');

CREATE TABLE tamper (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tab    text NOT NULL,
    op     text NOT NULL,
    key    jsonb NOT NULL,
    before jsonb,
    after  jsonb,
    who    text NOT NULL,
    app    text NOT NULL,
    addr   inet
);
CREATE INDEX tamper_tab ON tamper (tab, key);
CALL kit_grant('SELECT', 'tamper');

-- The table itself, and its partitions where it has some.
CREATE FUNCTION parts_of(tab text) RETURNS TABLE (part regclass) LANGUAGE sql STABLE AS $$
    SELECT tab::regclass UNION SELECT relid FROM pg_partition_tree(tab::regclass);
$$;

-- Fires on hand edits only (the app role has no UPDATE or DELETE of facts), so it may take its time to name the row. A migration is
-- excused what it inserts, and what it does to state.
CREATE FUNCTION note_tamper() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    names text[];
BEGIN
    IF (TG_OP = 'INSERT' OR TG_NAME ^@ 'state_') AND migrating() THEN
        RETURN NULL;
    END IF;
    SELECT key_columns INTO names FROM (SELECT * FROM fact_tables UNION ALL SELECT * FROM state_tables) t WHERE tab = TG_ARGV[0];
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tamper (tab, op, key, before, after, who, app, addr)
        SELECT TG_ARGV[0], TG_OP, row_key(names, to_jsonb(n)), NULL, to_jsonb(n), session_user, current_setting('application_name'), inet_client_addr()
        FROM new_rows n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tamper (tab, op, key, before, after, who, app, addr)
        SELECT TG_ARGV[0], TG_OP, row_key(names, to_jsonb(o)), to_jsonb(o), NULL, session_user, current_setting('application_name'), inet_client_addr()
        FROM old_rows o;
    ELSE
        INSERT INTO tamper (tab, op, key, before, after, who, app, addr)
        SELECT TG_ARGV[0], TG_OP, coalesce(o.key, n.key), o.content, n.content, session_user, current_setting('application_name'), inet_client_addr()
        FROM (SELECT row_key(names, to_jsonb(r)) AS key, to_jsonb(r) AS content FROM old_rows r) o
        FULL JOIN (SELECT row_key(names, to_jsonb(r)) AS key, to_jsonb(r) AS content FROM new_rows r) n ON o.key = n.key;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION row_key(names text[], content jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_object_agg(name, content -> name) FROM unnest(names) name;
$$;

CREATE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'facts and state are never truncated: %. DELETE what is wrong, so that the log can name it', TG_TABLE_NAME;
END $$;

-- A fact table and each of its partitions: a statement that names a partition fires only that partition's triggers.
CREATE PROCEDURE fact_table(tab text) LANGUAGE plpgsql AS $$
DECLARE
    part regclass;
    names text[];
    app_role text;
BEGIN
    SELECT array_agg(a.attname ORDER BY a.attnum) INTO names
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = tab::regclass AND i.indisprimary;
    IF names IS NULL THEN
        RAISE EXCEPTION 'fact table % needs a primary key: without one a touched row cannot be named', tab;
    END IF;
    INSERT INTO fact_tables (tab, key_columns) VALUES (tab, names);
    SELECT app INTO app_role FROM kit_role;
    FOR part IN SELECT p.part FROM parts_of(tab) p LOOP
        CALL kit_grant('SELECT, INSERT', part::text);
        EXECUTE format('CREATE TRIGGER tamper_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT '
            'WHEN (session_user <> %L) EXECUTE FUNCTION note_tamper(%L)', part, app_role, tab);
        EXECUTE format('CREATE TRIGGER tamper_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_tamper(%L)', part, tab);
        EXECUTE format('CREATE TRIGGER tamper_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_tamper(%L)', part, tab);
        EXECUTE format('CREATE TRIGGER tamper_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()', part);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER tamper_insert, ENABLE ALWAYS TRIGGER tamper_delete, '
            'ENABLE ALWAYS TRIGGER tamper_update, ENABLE ALWAYS TRIGGER tamper_truncate', part);
    END LOOP;
END $$;

-- Kept balances, anchors, projections, queues: they change, and a violation query ties the balances to the facts. The rest of them
-- flows into the books as well (an order's customer, what a document is known by), so whoever edits it by hand is noted; for the
-- service's own role the condition of these triggers is false. `watched` false: nothing is decided by what stands there.
CREATE PROCEDURE state_table(tab text, watched boolean DEFAULT true) LANGUAGE plpgsql AS $$
DECLARE
    part regclass;
    names text[];
    app_role text;
BEGIN
    SELECT array_agg(a.attname ORDER BY a.attnum) INTO names
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = tab::regclass AND i.indisprimary;
    IF watched AND names IS NULL THEN
        RAISE EXCEPTION 'state table % needs a primary key: without one a touched row cannot be named', tab;
    END IF;
    IF watched THEN
        INSERT INTO state_tables (tab, key_columns) VALUES (tab, names);
    END IF;
    SELECT app INTO app_role FROM kit_role;
    FOR part IN SELECT p.part FROM parts_of(tab) p LOOP
        CALL kit_grant('SELECT, INSERT, UPDATE, DELETE', part::text);
        CONTINUE WHEN NOT watched;
        EXECUTE format('CREATE TRIGGER state_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT '
            'WHEN (session_user <> %L) EXECUTE FUNCTION note_tamper(%L)', part, app_role, tab);
        EXECUTE format('CREATE TRIGGER state_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT '
            'WHEN (session_user <> %L) EXECUTE FUNCTION note_tamper(%L)', part, app_role, tab);
        EXECUTE format('CREATE TRIGGER state_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT '
            'WHEN (session_user <> %L) EXECUTE FUNCTION note_tamper(%L)', part, app_role, tab);
        EXECUTE format('CREATE TRIGGER state_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()', part);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER state_insert, ENABLE ALWAYS TRIGGER state_delete, '
            'ENABLE ALWAYS TRIGGER state_update, ENABLE ALWAYS TRIGGER state_truncate', part);
    END LOOP;
END $$;

-- State of which far more is written than of all other: what was heard of each event. The service's own inserts pay for nothing, neither
-- a copy of their rows nor a look at each of them: triggers of rows for what is edited and deleted, and for inserts one of the
-- statement, which finds the rows by the transaction that wrote them, when it was a hand's, and passes over what an earlier statement of
-- it has noted. (Nothing is found in a savepoint, so what is put back there stays a finding until CALL trust_touched.) `names`: what a row is called by, where it has no key.
CREATE FUNCTION note_memory() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    names text[] := (SELECT key_columns FROM state_tables WHERE tab = TG_ARGV[0]);
BEGIN
    IF migrating() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        EXECUTE format('INSERT INTO tamper (tab, op, key, before, after, who, app, addr)
            SELECT $1, $2, w.key, NULL, w.content, session_user, current_setting(''application_name''), inet_client_addr()
            FROM (SELECT row_key($3, to_jsonb(r)) AS key, to_jsonb(r) AS content FROM %1$I.%2$I r WHERE r.xmin = pg_current_xact_id()::xid) w
            WHERE w.content IS DISTINCT FROM (SELECT t.after FROM tamper t WHERE t.tab = $1 AND t.key = w.key ORDER BY t.id DESC LIMIT 1)', TG_TABLE_SCHEMA, TG_TABLE_NAME) USING TG_ARGV[0], TG_OP, names;
    ELSE
        INSERT INTO tamper (tab, op, key, before, after, who, app, addr)
        SELECT TG_ARGV[0], TG_OP, coalesce(row_key(names, o.content), row_key(names, n.content)), o.content, n.content,
               session_user, current_setting('application_name'), inet_client_addr()
        FROM (SELECT row_key(names, to_jsonb(OLD)) AS key, to_jsonb(OLD) AS content) o
        FULL JOIN (SELECT row_key(names, to_jsonb(NEW)) AS key, to_jsonb(NEW) AS content WHERE TG_OP = 'UPDATE') n ON o.key = n.key;
    END IF;
    RETURN NULL;
END $$;
CREATE PROCEDURE memory_table(tab text, names text[]) LANGUAGE plpgsql AS $$
DECLARE
    app_role text := (SELECT app FROM kit_role);
    event text;
BEGIN
    INSERT INTO state_tables (tab, key_columns) VALUES (tab, names);
    CALL kit_grant('SELECT, INSERT, UPDATE, DELETE', tab);
    FOREACH event IN ARRAY ARRAY['insert', 'delete', 'update'] LOOP
        EXECUTE format('CREATE TRIGGER state_%1$s AFTER %1$s ON %2$I FOR EACH %3$s WHEN (session_user <> %4$L) EXECUTE FUNCTION note_memory(%2$L);
            ALTER TABLE %2$I ENABLE ALWAYS TRIGGER state_%1$s', event, tab, CASE event WHEN 'insert' THEN 'STATEMENT' ELSE 'ROW' END, app_role);
    END LOOP;
    EXECUTE format('CREATE TRIGGER state_truncate BEFORE TRUNCATE ON %1$I FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
        ALTER TABLE %1$I ENABLE ALWAYS TRIGGER state_truncate', tab);
END $$;

-- What waits is state as well: whoever takes a row away takes a document away.
CALL state_table('parked');

-- What the guards go by: which tables are guarded, and who the service is. Only migrations write here, and any other touch is a
-- finding, also where it was put back: meanwhile the guards were told something else (touched_by_hand).
CREATE PROCEDURE registry_table(tab text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO state_tables (tab, key_columns) SELECT tab, array_agg(a.attname ORDER BY a.attnum)
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE i.indrelid = tab::regclass AND i.indisprimary;
    EXECUTE format('CREATE TRIGGER state_insert AFTER INSERT ON %1$I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_tamper(%1$L)', tab);
    EXECUTE format('CREATE TRIGGER state_delete AFTER DELETE ON %1$I REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_tamper(%1$L)', tab);
    EXECUTE format('CREATE TRIGGER state_update AFTER UPDATE ON %1$I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT '
        'EXECUTE FUNCTION note_tamper(%1$L)', tab);
    EXECUTE format('CREATE TRIGGER state_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()', tab);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER state_insert, ENABLE ALWAYS TRIGGER state_delete, '
        'ENABLE ALWAYS TRIGGER state_update, ENABLE ALWAYS TRIGGER state_truncate', tab);
END $$;
CALL registry_table('kit_role');
CALL registry_table('fact_tables');
CALL registry_table('state_tables');

-- The outbox: whoever edits a row that is not sent yet takes back what was said, or says it otherwise. Row triggers: with transition
-- tables each batch of the service's own would be copied before anybody looked who wrote it.
CREATE FUNCTION note_outbox() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT migrating() THEN
        INSERT INTO tamper (tab, op, key, before, after, who, app, addr)
        VALUES ('outbox', TG_OP, jsonb_build_object('batch', CASE WHEN TG_OP = 'INSERT' THEN NEW.batch ELSE OLD.batch END),
            CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END,
            session_user, current_setting('application_name'), inet_client_addr());
    END IF;
    RETURN NULL;
END $$;
INSERT INTO state_tables (tab, key_columns) VALUES ('outbox', '{batch}');
DO $$
DECLARE
    app_role text := (SELECT app FROM kit_role);
    event text;
BEGIN
    FOREACH event IN ARRAY ARRAY['insert', 'delete', 'update'] LOOP
        EXECUTE format('CREATE TRIGGER state_%1$s AFTER %1$s ON outbox FOR EACH ROW WHEN (session_user <> %2$L) EXECUTE FUNCTION note_outbox();
            ALTER TABLE outbox ENABLE ALWAYS TRIGGER state_%1$s', event, app_role);
    END LOOP;
END $$;
CREATE TRIGGER state_truncate BEFORE TRUNCATE ON outbox FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
ALTER TABLE outbox ENABLE ALWAYS TRIGGER state_truncate;
