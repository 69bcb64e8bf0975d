-- Settings say how everything else is read: which account plays a role, what an article costs, who may deliver. They may
-- change, but each change is written down, and one that did not come from the service's own role is a finding.

CREATE TABLE settings_tables (
    tab         text PRIMARY KEY,
    key_columns text[] NOT NULL,
    hidden      text[] NOT NULL  -- Secrets: of these the log holds a fingerprint only.
);
CALL kit_grant('SELECT', 'settings_tables');
CALL registry_table('settings_tables');

CREATE TABLE settings_change (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tab    text NOT NULL,
    op     text NOT NULL,  -- INSERT, UPDATE, DELETE; FIRST: was there when the log began; UNSEEN: no trigger saw it.
    source text NOT NULL CHECK (source IN ('service', 'migration', 'hand')),
    key    jsonb NOT NULL,
    before jsonb,
    after  jsonb,
    who    text NOT NULL,  -- The database role.
    actor  text NOT NULL,  -- Whom the service did it for, where it said so: tieout.actor.
    app    text NOT NULL,
    addr   inet
);
CREATE INDEX settings_change_key ON settings_change (tab, key, number);
CREATE INDEX settings_change_hand ON settings_change (tab, key) WHERE source = 'hand';

-- The log is a fact like others: only its own triggers insert, and who edits it is named.
CALL fact_table('settings_change');
DROP TRIGGER tamper_insert ON settings_change;
CREATE TRIGGER tamper_insert AFTER INSERT ON settings_change REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION note_tamper('settings_change');
ALTER TABLE settings_change ENABLE ALWAYS TRIGGER tamper_insert;
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles JOIN kit_role ON rolname = app) THEN
        EXECUTE format('REVOKE INSERT ON settings_change FROM %I', (SELECT app FROM kit_role));
    END IF;
END $$;

-- Makes a secret's fingerprint useless to whoever may read the log. Nobody but the owner reads this, and nobody changes it: with another
-- salt each secret would look as if a hand had changed it. Its own fingerprint is the first entry of the log.
CREATE TABLE settings_salt (one boolean PRIMARY KEY DEFAULT true CHECK (one), salt text NOT NULL);
INSERT INTO settings_salt (salt) VALUES (gen_random_uuid()::text || gen_random_uuid()::text);

-- A row as the log holds it.
CREATE FUNCTION settings_content(content jsonb, hidden text[]) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN content IS NULL OR hidden = '{}' THEN content ELSE content || (
        SELECT jsonb_object_agg(name, CASE WHEN content ->> name IS NULL THEN NULL ELSE
            'hidden:' || left(encode(sha256(convert_to(salt || name || (content ->> name), 'UTF8')), 'hex'), 16) END)
        FROM unnest(hidden) name, settings_salt WHERE content ? name) END;
$$;

CREATE FUNCTION refuse_salt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'settings_salt is never changed: the log of settings could no longer tell whether a secret is what it was';
END $$;
INSERT INTO state_tables (tab, key_columns) VALUES ('settings_salt', '{one}');
CREATE TRIGGER state_insert BEFORE INSERT ON settings_salt FOR EACH STATEMENT EXECUTE FUNCTION refuse_salt();
CREATE TRIGGER state_delete BEFORE DELETE ON settings_salt FOR EACH STATEMENT EXECUTE FUNCTION refuse_salt();
CREATE TRIGGER state_update BEFORE UPDATE ON settings_salt FOR EACH STATEMENT EXECUTE FUNCTION refuse_salt();
CREATE TRIGGER state_truncate BEFORE TRUNCATE ON settings_salt FOR EACH STATEMENT EXECUTE FUNCTION refuse_salt();
ALTER TABLE settings_salt ENABLE ALWAYS TRIGGER state_insert, ENABLE ALWAYS TRIGGER state_delete, ENABLE ALWAYS TRIGGER state_update, ENABLE ALWAYS TRIGGER state_truncate;
INSERT INTO settings_change (tab, op, source, key, after, who, actor, app)
SELECT 'settings_salt', 'FIRST', 'migration', '{"one": true}', settings_content(to_jsonb(s), '{salt}'), session_user, '', current_setting('application_name') FROM settings_salt s;

-- Columns of `now` that are not as in `before`.
CREATE FUNCTION changed_columns(before jsonb, now jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(now) WHERE before -> key IS DISTINCT FROM value;
$$;

-- A row that is not as it was last logged was changed while no trigger looked: that is logged first. Who the service is stands in the
-- trigger itself, where nobody rewrites it for the length of one transaction.
CREATE FUNCTION note_setting() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    known settings_tables;
    origin text;
    changed record;
    logged jsonb;
BEGIN
    SELECT * INTO known FROM settings_tables WHERE tab = TG_ARGV[0];
    origin := CASE WHEN session_user = TG_ARGV[1] THEN 'service' WHEN migrating() THEN 'migration' ELSE 'hand' END;
    FOR changed IN EXECUTE CASE TG_OP
        WHEN 'INSERT' THEN 'SELECT NULL::jsonb AS before, to_jsonb(n) AS after FROM new_rows n'
        WHEN 'DELETE' THEN 'SELECT to_jsonb(o) AS before, NULL::jsonb AS after FROM old_rows o'
        ELSE 'SELECT o.content AS before, n.content AS after
              FROM (SELECT to_jsonb(r) AS content FROM old_rows r) o FULL JOIN (SELECT to_jsonb(r) AS content FROM new_rows r) n
              ON row_key($1, o.content) = row_key($1, n.content)' END
        USING known.key_columns
    LOOP
        CONTINUE WHEN changed.before = changed.after;  -- An upsert that only took the lock.
        changed.before := settings_content(changed.before, known.hidden);
        changed.after := settings_content(changed.after, known.hidden);
        SELECT c.after INTO logged FROM settings_change c
        WHERE c.tab = known.tab AND c.key = row_key(known.key_columns, coalesce(changed.before, changed.after)) ORDER BY c.number DESC LIMIT 1;
        IF logged IS DISTINCT FROM changed.before THEN
            INSERT INTO settings_change (tab, op, source, key, before, after, who, actor, app)
            VALUES (known.tab, 'UNSEEN', 'hand', row_key(known.key_columns, coalesce(changed.before, changed.after)), logged, changed.before, '(unknown)', '', '');
        END IF;
        INSERT INTO settings_change (tab, op, source, key, before, after, who, actor, app, addr)
        VALUES (known.tab, CASE WHEN changed.before IS NULL THEN 'INSERT' WHEN changed.after IS NULL THEN 'DELETE' ELSE 'UPDATE' END, origin,
            row_key(known.key_columns, coalesce(changed.before, changed.after)), changed.before, changed.after,
            session_user, coalesce(current_setting('tieout.actor', true), ''), current_setting('application_name'), inet_client_addr());
    END LOOP;
    RETURN NULL;
END $$;

CREATE FUNCTION refuse_truncate_of_settings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'settings are never truncated: %. DELETE what is wrong, so that the log can name it', TG_TABLE_NAME;
END $$;

-- CALL settings_table('satellite_secret', '{key_hash, secret}')
-- A state table whose changes are kept. For tables that people change, not for those that every document changes.
CREATE PROCEDURE settings_table(tab text, hidden text[] DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
    names text[];
    wrong text;
    app_role text := (SELECT app FROM kit_role);
BEGIN
    SELECT array_agg(a.attname ORDER BY a.attnum) INTO names
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = tab::regclass AND i.indisprimary;
    IF names IS NULL THEN
        RAISE EXCEPTION 'settings table % needs a primary key: without one a changed row cannot be named', tab;
    END IF;
    SELECT name INTO wrong FROM unnest(hidden) name
    WHERE name = ANY (names) OR NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = tab::regclass AND attname = name AND attnum > 0 AND NOT attisdropped) LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'settings table %: % cannot be hidden, it is part of the key or no column', tab, wrong;
    END IF;
    CALL state_table(tab, watched => false);  -- It has triggers of its own, which note the service as well.
    INSERT INTO settings_tables (tab, key_columns, hidden) VALUES (tab, names, settings_table.hidden);
    EXECUTE format(
        'INSERT INTO settings_change (tab, op, source, key, after, who, actor, app)
         SELECT %1$L, ''FIRST'', ''migration'', row_key($1, to_jsonb(r)), settings_content(to_jsonb(r), $2), session_user, '''', current_setting(''application_name'') FROM %2$s r',
        tab, tab::regclass) USING names, settings_table.hidden;
    EXECUTE format('CREATE TRIGGER settings_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_setting(%L, %L)', tab::regclass, tab, app_role);
    EXECUTE format('CREATE TRIGGER settings_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_setting(%L, %L)', tab::regclass, tab, app_role);
    EXECUTE format('CREATE TRIGGER settings_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_setting(%L, %L)', tab::regclass, tab, app_role);
    EXECUTE format('CREATE TRIGGER settings_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate_of_settings()', tab::regclass);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER settings_insert, ENABLE ALWAYS TRIGGER settings_delete, '
        'ENABLE ALWAYS TRIGGER settings_update, ENABLE ALWAYS TRIGGER settings_truncate', tab::regclass);
END $$;

-- Settings that hold what a hand wrote. Forgiven is what was put back, and what the service has itself written since.
CREATE FUNCTION settings_by_hand() RETURNS TABLE (tab text, key jsonb, expected jsonb, now jsonb, op text, who text, at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    touched record;
    step settings_change;
    begun boolean;
BEGIN
    FOR touched IN SELECT DISTINCT c.tab, c.key FROM settings_change c WHERE c.source = 'hand' LOOP
        tab := touched.tab;
        key := touched.key;
        begun := false;
        FOR step IN SELECT * FROM settings_change c WHERE c.tab = touched.tab AND c.key = touched.key ORDER BY c.number LOOP
            IF step.source = 'hand' THEN
                IF NOT begun THEN
                    expected := step.before;
                END IF;
                op := step.op;
                who := step.who;
                at := step.at;
            ELSIF expected IS NULL OR NOT begun OR step.after IS NULL THEN
                expected := step.after;
            ELSE
                expected := expected || changed_columns(step.before, step.after);
            END IF;
            begun := true;
            now := step.after;
        END LOOP;
        IF expected IS DISTINCT FROM now THEN
            IF expected IS NOT NULL AND now IS NOT NULL THEN  -- Only what differs: the rest of the row hides it.
                step.before := changed_columns(now, expected);
                now := changed_columns(expected, now);
                expected := step.before;
            END IF;
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- Settings that are not as they were last logged: what was done behind disabled triggers. Where the salt is another one, it is named and
-- no secret is: of none can be said whether it is what it was.
CREATE FUNCTION settings_unlogged() RETURNS TABLE (tab text, key jsonb, logged jsonb, now jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    one settings_tables;
    salt_then jsonb := (SELECT c.after FROM settings_change c WHERE c.tab = 'settings_salt' ORDER BY c.number LIMIT 1);
    salt_now jsonb := (SELECT settings_content(to_jsonb(s), '{salt}') FROM settings_salt s);
    unsure text[] := '{}';
BEGIN
    IF salt_now IS DISTINCT FROM salt_then THEN
        RETURN QUERY SELECT 'settings_salt'::text, '{"one": true}'::jsonb, salt_then, salt_now;
    END IF;
    FOR one IN SELECT * FROM settings_tables ORDER BY settings_tables.tab LOOP
        IF salt_now IS DISTINCT FROM salt_then THEN
            unsure := one.hidden;
        END IF;
        RETURN QUERY EXECUTE format(
            'SELECT %1$L::text, coalesce(l.key, r.key), CASE WHEN r.content IS NULL OR l.after IS NULL THEN l.after ELSE changed_columns(r.content, l.after) END,
                    CASE WHEN r.content IS NULL OR l.after IS NULL THEN r.content ELSE changed_columns(l.after, r.content) END
             FROM (SELECT DISTINCT ON (key) key, after - $3 AS after FROM settings_change WHERE tab = %1$L ORDER BY key, number DESC) l
             FULL JOIN (SELECT row_key($1, to_jsonb(t)) AS key, settings_content(to_jsonb(t), $2) - $3 AS content FROM %2$s t) r ON r.key = l.key
             WHERE l.after IS DISTINCT FROM r.content', one.tab, one.tab::regclass)
        USING one.key_columns, one.hidden, unsure;
    END LOOP;
END $$;

-- Tables and partitions whose triggers are missing or not ENABLE ALWAYS.
CREATE FUNCTION unarmed_tables() RETURNS TABLE (tab text, missing text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT part.part::text, wanted.name
    FROM (SELECT f.tab, name FROM fact_tables f, unnest(ARRAY['tamper_insert', 'tamper_delete', 'tamper_update', 'tamper_truncate']) name
          UNION SELECT s.tab, name FROM state_tables s, unnest(ARRAY['state_insert', 'state_delete', 'state_update', 'state_truncate']) name
          UNION SELECT s.tab, name FROM settings_tables s, unnest(ARRAY['settings_insert', 'settings_delete', 'settings_update', 'settings_truncate']) name
          UNION SELECT d.tab, name FROM digest_book d, unnest(ARRAY['digest_insert', 'digest_delete', 'digest_update', 'digest_truncate']) name) wanted
    CROSS JOIN LATERAL parts_of(wanted.tab) part
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = part.part AND t.tgname = wanted.name AND t.tgenabled = 'A')
    ORDER BY 1, 2;
$$;
