-- Who guards the guards: triggers that were switched off and armed again look as they did before, but the catalog's own row of
-- them has another transaction since. What migrations made is written down here, and anything else is a finding. Nobody who
-- writes facts pays for it, no crash and no reset of statistics loses it.

CREATE TABLE guard (
    kind text NOT NULL,  -- See guards_now.
    tab  text NOT NULL,  -- Empty: of the whole database.
    name text NOT NULL,
    mark text NOT NULL,  -- Which row of the catalog, and which transaction wrote it; or what it says, where that is all that counts.
    PRIMARY KEY (kind, tab, name)
);
-- A copy in another server or database. One by files has the guards as they were recorded; one by a dump or an upgrade has a new
-- catalog, all of it, and is told until somebody says that it was meant. What is written here alone excuses nothing.
CREATE TABLE guard_home (one boolean PRIMARY KEY DEFAULT true CHECK (one), server text NOT NULL, database oid NOT NULL);

-- Every time that the record was brought up to date without a migration: by whom, and why.
CREATE TABLE guard_trusted (
    number   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind     text        NOT NULL,
    tab      text        NOT NULL,
    name     text        NOT NULL,
    recorded text,
    found    text,
    who      text        NOT NULL,
    reason   text        NOT NULL
);

-- The log of edits and these records are facts as well: what is written by the kit's own functions comes at a depth, or says so.
CALL fact_table('tamper');
CALL fact_table('guard');
CALL fact_table('guard_trusted');
-- What excuses a transaction is guarded as well. A row that was inserted is compared with the files of the release.
CALL fact_table('schema_migration');
DROP TRIGGER tamper_insert ON schema_migration;
CREATE TRIGGER tamper_insert AFTER INSERT ON schema_migration REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (false) EXECUTE FUNCTION note_tamper('schema_migration');
ALTER TABLE schema_migration ENABLE ALWAYS TRIGGER tamper_insert;
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT tab, app FROM unnest(ARRAY['tamper', 'guard', 'guard_trusted', 'schema_migration']) tab, kit_role LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = one.app) THEN
            EXECUTE format('REVOKE INSERT ON %I FROM %I', one.tab, one.app);
        END IF;
    END LOOP;
    FOR one IN SELECT tab, event, rows FROM unnest(ARRAY['tamper', 'guard', 'guard_trusted']) tab, (VALUES
            ('insert', 'REFERENCING NEW TABLE AS new_rows'), ('update', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
            ('delete', 'REFERENCING OLD TABLE AS old_rows')) e (event, rows) LOOP
        CONTINUE WHEN one.tab = 'tamper' AND one.event <> 'insert';
        EXECUTE format('DROP TRIGGER tamper_%2$s ON %1$I; CREATE TRIGGER tamper_%2$s AFTER %2$s ON %1$I %3$s FOR EACH STATEMENT
            WHEN (pg_trigger_depth() = 0 %4$s) EXECUTE FUNCTION note_tamper(%1$L);
            ALTER TABLE %1$I ENABLE ALWAYS TRIGGER tamper_%2$s', one.tab, one.event, one.rows,
            CASE WHEN one.tab <> 'tamper' THEN 'AND coalesce(current_setting(''tieout.guarding'', true), '''') <> ''on''' END);
    END LOOP;
END $$;

-- What guards the facts as it stands now. Of triggers, rules, functions, policies and columns xmin is of the catalog's row: who alters them and
-- alters them back leaves another, as what was done meanwhile is unknown. Of constraints, indexes, rights and settings it is what they say:
-- put back as they were, they hold for all that was done meanwhile (a constraint is checked by whoever adds it, else it says NOT VALID),
-- and REINDEX or a second GRANT is no finding. Rows of a table's columns and of each role that has rights are told one by one, so that a
-- migration vouches for no more than it did.
CREATE FUNCTION guards_now() RETURNS TABLE (kind text, tab text, name text, mark text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH guarded AS MATERIALIZED (
        SELECT DISTINCT p.part::oid AS oid, p.part::text AS tab, t.fact
        FROM (SELECT f.tab, true AS fact FROM fact_tables f UNION SELECT s.tab, true FROM state_tables s UNION SELECT s.tab, false FROM settings_tables s) t, parts_of(t.tab) p
    ), relation AS MATERIALIZED (
        SELECT c.oid, quote_ident(c.relname) AS tab, c.relkind, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'S', 'v', 'm')
    ), here AS MATERIALIZED (
        SELECT d.oid, r.oid AS role FROM pg_database d, kit_role k, pg_roles r WHERE d.datname = current_database() AND (r.oid = d.datdba OR r.rolname IN (k.app, k.auditor))
    ), allowed AS (
        SELECT r.tab, i::text AS item FROM relation r, unnest(coalesce(r.relacl, acldefault(CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner))) i
        UNION ALL
        SELECT r.tab, format('(%s) %s', a.attname, i) FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid, unnest(a.attacl) i WHERE a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT '', format('(schema) %s', i) FROM pg_namespace n, unnest(coalesce(n.nspacl, acldefault('n', n.nspowner))) i WHERE n.nspname = 'public'
        UNION ALL  -- Of what is made from now on.
        SELECT '', format('(new %s of %s) %s', d.defaclobjtype, pg_get_userbyid(d.defaclrole), i) FROM pg_default_acl d, unnest(d.defaclacl) i
    )
    SELECT 'trigger', g.tab, t.tgname::text, format('%s written by %s, %s', t.oid, t.xmin, t.tgenabled)
    FROM guarded g JOIN pg_trigger t ON t.tgrelid = g.oid WHERE NOT t.tgisinternal OR t.tgenabled <> 'O'
    UNION ALL
    SELECT 'rule', g.tab, r.rulename::text, format('%s written by %s, %s', r.oid, r.xmin, r.ev_enabled) FROM guarded g JOIN pg_rewrite r ON r.ev_class = g.oid
    UNION ALL
    SELECT 'function', '', format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), format('%s written by %s', p.oid, p.xmin)
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'columns', g.tab, '', string_agg(format('%s:%s', a.attnum, a.xmin), ' ' ORDER BY a.attnum)
    FROM guarded g JOIN pg_attribute a ON a.attrelid = g.oid AND a.attnum > 0 WHERE g.fact GROUP BY g.tab
    UNION ALL
    SELECT 'file', g.tab, '', coalesce(pg_relation_filenode(g.oid)::text, '') FROM guarded g WHERE g.fact
    UNION ALL
    SELECT 'constraint', r.tab, c.conname::text, format('%I %s', c.conname, pg_get_constraintdef(c.oid))
    FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid WHERE c.contype <> 'n'
    UNION ALL  -- What a column must hold, and what it holds where nobody says anything.
    SELECT 'column', r.tab, a.attname::text, concat_ws(' ', quote_ident(a.attname), CASE WHEN a.attnotnull THEN 'NOT NULL' END, 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), CASE a.attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY' WHEN 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY' END,
        CASE WHEN a.attgenerated <> '' THEN 'GENERATED' END)
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    WHERE r.relkind IN ('r', 'p') AND (a.attnotnull OR d.oid IS NOT NULL)
    UNION ALL
    SELECT 'index', r.tab, c.relname::text, concat_ws(', ', pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN 'invalid' END, CASE WHEN i.indexprs IS NOT NULL OR i.indpred IS NOT NULL THEN 'computed' END)
    FROM relation r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid
    UNION ALL
    SELECT 'rights', r.tab, '', concat_ws(', ', 'owner ' || pg_get_userbyid(r.relowner), CASE WHEN r.relrowsecurity THEN 'row security' END, CASE WHEN r.relforcerowsecurity THEN 'forced' END) FROM relation r
    UNION ALL
    SELECT 'rights', a.tab, split_part(a.item, '=', 1) || '=', string_agg(a.item, ' ' ORDER BY a.item COLLATE "C") FROM allowed a GROUP BY 2, 3
    UNION ALL
    SELECT 'rights', '', '', 'owner of the schema ' || pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE n.nspname = 'public'
    UNION ALL  -- What a role may beyond what it was granted here. Statistics of the server are everybody's who runs it.
    SELECT 'rights', '', r.rolname::text, concat_ws(' ', r.rolname, CASE WHEN r.rolsuper THEN 'superuser' END, CASE WHEN r.rolbypassrls THEN 'bypassrls' END, CASE WHEN r.rolcreaterole THEN 'createrole' END,
        (SELECT 'member of ' || string_agg(quote_ident(pg_get_userbyid(m.roleid)), ', ' ORDER BY pg_get_userbyid(m.roleid)) FROM pg_auth_members m
         WHERE m.member = r.oid AND pg_get_userbyid(m.roleid) NOT IN ('pg_read_all_stats', 'pg_monitor', 'pg_read_all_settings', 'pg_stat_scan_tables')))
    FROM here h JOIN pg_roles r ON r.oid = h.role
    UNION ALL
    SELECT 'policy', r.tab, p.polname::text, format('%s written by %s', p.oid, p.xmin) FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
    UNION ALL  -- Whose rows every look at the table shows, past its triggers. No migration makes any; partitions are guarded themselves.
    SELECT 'child', r.tab, i.inhrelid::regclass::text, i.inhrelid::text FROM relation r JOIN pg_inherits i ON i.inhparent = r.oid JOIN pg_class c ON c.oid = i.inhrelid
    WHERE NOT c.relispartition
    UNION ALL  -- What each session begins with: of the database, of its roles, and of both. How much memory a sort may have is nobody's business here.
    SELECT 'setting', '', format('%s of %s in %s', split_part(s.one, '=', 1), coalesce(nullif(s.setrole, 0)::regrole::text, 'all'), CASE s.setdatabase WHEN 0 THEN 'all databases' ELSE 'this database' END), s.one
    FROM (SELECT x.setrole, x.setdatabase, unnest(x.setconfig) AS one FROM pg_db_role_setting x
          WHERE x.setdatabase IN (0, (SELECT DISTINCT h.oid FROM here h)) AND (x.setrole = 0 OR x.setrole IN (SELECT h.role FROM here h))) s
    WHERE split_part(s.one, '=', 1) ~* '^(synchronous_commit|search_path|session_replication_role|row_security|role|default_transaction_.*|zero_damaged_pages|ignore_.*|.*_preload_libraries|event_triggers|DateStyle|IntervalStyle|TimeZone|bytea_output|transform_null_equals|commit_delay|default_table_access_method|temp_tablespaces|default_tablespace|extra_float_digits|check_function_bodies|tieout\..*)$';
$$;

-- Around each migration: what it makes or alters is recorded, and what a hand had altered before stays a finding.
CREATE PROCEDURE begin_guarding() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMPORARY TABLE guards_before ON COMMIT DROP AS SELECT * FROM guards_now();
END $$;
CREATE PROCEDURE end_guarding() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('tieout.guarding', 'on', true);
    DELETE FROM guard g USING guards_before b
    WHERE (g.kind, g.tab, g.name) = (b.kind, b.tab, b.name) AND NOT EXISTS (SELECT FROM guards_now() n WHERE (n.kind, n.tab, n.name) = (b.kind, b.tab, b.name));
    INSERT INTO guard SELECT n.* FROM guards_now() n
    LEFT JOIN guards_before b ON (n.kind, n.tab, n.name) = (b.kind, b.tab, b.name) WHERE n.mark IS DISTINCT FROM b.mark
    ON CONFLICT (kind, tab, name) DO UPDATE SET mark = excluded.mark;
    PERFORM set_config('tieout.guarding', '', true);
END $$;

-- A partition that a service makes or lets go of while it runs, in the transaction that does so.
CREATE FUNCTION guard_part(part text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM set_config('tieout.guarding', 'on', true);
    INSERT INTO guard SELECT n.* FROM guards_now() n WHERE n.tab = part;
    PERFORM set_config('tieout.guarding', '', true);
END $$;
CREATE FUNCTION unguard_part(part text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM set_config('tieout.guarding', 'on', true);
    DELETE FROM guard WHERE tab = part;
    PERFORM set_config('tieout.guarding', '', true);
END $$;
REVOKE ALL ON FUNCTION guard_part, unguard_part FROM public;

-- CALL trust_guards('voucher_line', 'rebuilt an index by hand, ticket 812'): the owner has looked, and takes what stands there now for right.
-- '' is what belongs to no table: functions, rights of the schema and of roles, settings.
CREATE PROCEDURE trust_guards(tab text, reason text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('tieout.guarding', 'on', true);
    IF trim(coalesce(trust_guards.reason, '')) = '' THEN
        RAISE EXCEPTION 'say why: whoever audits these books reads it';
    END IF;
    INSERT INTO guard_trusted (kind, tab, name, recorded, found, who, reason)
    SELECT kind, tab, name, g.mark, n.mark, session_user, trust_guards.reason
    FROM (SELECT * FROM guard WHERE guard.tab = trust_guards.tab) g FULL JOIN (SELECT * FROM guards_now() x WHERE x.tab = trust_guards.tab) n USING (kind, tab, name)
    WHERE g.mark IS DISTINCT FROM n.mark;
    DELETE FROM guard WHERE guard.tab = trust_guards.tab;
    INSERT INTO guard SELECT * FROM guards_now() x WHERE x.tab = trust_guards.tab;
    PERFORM set_config('tieout.guarding', '', true);
END $$;

-- CALL trust_copy('restored from Monday''s dump, ticket 812'): the owner knows of the copy whose guards were recorded anew.
CREATE PROCEDURE trust_copy(reason text) LANGUAGE plpgsql AS $$
BEGIN
    IF trim(coalesce(trust_copy.reason, '')) = '' THEN
        RAISE EXCEPTION 'say why: whoever audits these books reads it';
    END IF;
    PERFORM look_at_guards();  -- Of a copy that nobody has looked at yet, too.
    PERFORM set_config('tieout.guarding', 'on', true);
    INSERT INTO guard_trusted (kind, tab, name, who, reason) SELECT 'copy_meant', '', '', session_user, trust_copy.reason WHERE EXISTS (SELECT FROM copies_to_be_told());
    PERFORM set_config('tieout.guarding', '', true);
END $$;
-- Copies whose guards were recorded anew, and of which nobody has said that they were meant.
CREATE FUNCTION copies_to_be_told() RETURNS TABLE (number bigint, at timestamptz, recorded text, found text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.number, c.at, c.recorded, c.found FROM guard_trusted c
    WHERE c.kind = 'copy' AND c.number > coalesce((SELECT max(m.number) FROM guard_trusted m WHERE m.kind = 'copy_meant'), 0);
$$;

-- CALL trust_touched('sales_order', 'customer of order 1001 moved, ticket 812'): all edits by hand of this state so far were meant. Of a
-- fact that other books are compared with: all rows that hands took out so far should not have been there. What else was done to a fact
-- is not for trusting, and where the books differ the hand is named all the same.
CREATE PROCEDURE trust_touched(tab text, reason text) LANGUAGE plpgsql AS $$
BEGIN
    IF trim(coalesce(trust_touched.reason, '')) = '' THEN
        RAISE EXCEPTION 'say why: whoever audits these books reads it';
    END IF;
    IF NOT EXISTS (SELECT FROM state_tables s WHERE s.tab = trust_touched.tab) AND NOT EXISTS (
        SELECT FROM digest_book d JOIN touched_by_hand() h ON h.tab = d.tab WHERE d.tab = trust_touched.tab AND h.now IS NULL
    ) THEN
        RAISE EXCEPTION '% is no state, and nothing was taken out of it: a fact is put back as tamper has it, or corrected by a repair', trust_touched.tab;
    END IF;
    PERFORM set_config('tieout.guarding', 'on', true);
    INSERT INTO guard_trusted (kind, tab, name, recorded, found, who, reason)
    SELECT 'row', t.tab, t.key::text, t.before::text, t.last_id::text, session_user, trust_touched.reason
    FROM (SELECT DISTINCT ON (x.key) x.tab, x.key, x.before, max(x.id) OVER (PARTITION BY x.key) AS last_id FROM tamper x WHERE x.tab = trust_touched.tab
          ORDER BY x.key, x.id) t
    WHERE trust_touched.tab IN (SELECT s.tab FROM state_tables s) OR t.key IN (SELECT h.key FROM touched_by_hand() h WHERE h.tab = trust_touched.tab AND h.now IS NULL);
    PERFORM set_config('tieout.guarding', '', true);
END $$;
REVOKE ALL ON PROCEDURE trust_touched, trust_copy, trust_guards, begin_guarding, end_guarding FROM public;

-- Which guards are not as they were recorded. What somebody has made besides may stay: functions; tables of his own; an index that only
-- makes reading faster, or is being built.
CREATE FUNCTION altered_guards() RETURNS TABLE (kind text, tab text, name text, recorded text, found text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT kind, tab, name, g.mark, n.mark FROM guard g FULL JOIN guards_now() n USING (kind, tab, name)
    WHERE g.mark IS DISTINCT FROM n.mark
      AND NOT (g.mark IS NULL AND (kind = 'function'
        OR kind IN ('constraint', 'column', 'index', 'rights', 'policy', 'child') AND NOT EXISTS (SELECT FROM guard k WHERE k.kind = 'rights' AND k.tab = n.tab)
        OR kind = 'index' AND (n.mark LIKE 'CREATE INDEX %' AND n.mark NOT LIKE '%, computed' OR n.mark LIKE '%, invalid%')));
$$;

-- The same, and brought up to date by itself: a restored dump, where no trigger at all is the one that was recorded; a table's file alone (VACUUM FULL), or its
-- columns alone (a statistics target). Both at once are a table that was rewritten with other values.
CREATE FUNCTION look_at_guards() RETURNS TABLE (kind text, tab text, name text, recorded text, found text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    altered guard[];
    here guard_home;
    home guard_home;
    moved boolean;
BEGIN
    PERFORM set_config('tieout.guarding', 'on', true);
    SELECT true, (SELECT system_identifier::text FROM pg_control_system()), oid INTO here FROM pg_database WHERE datname = current_database();
    SELECT * INTO home FROM guard_home;
    moved := (home.server, home.database) IS DISTINCT FROM (here.server, here.database);
    IF moved AND NOT EXISTS (SELECT FROM guard g JOIN guards_now() n USING (kind, tab, name)
                             WHERE kind = 'trigger' AND split_part(g.mark, ' ', 1) = split_part(n.mark, ' ', 1)) THEN
        INSERT INTO guard_trusted (kind, tab, name, recorded, found, who, reason)
        SELECT 'copy', '', '', format('server %s, database %s', home.server, home.database), format('server %s, database %s', here.server, here.database),
               session_user, 'a copy in another server or database'
        UNION ALL
        SELECT a.kind, a.tab, a.name, a.recorded, a.found, session_user, 'a copy in another server or database' FROM altered_guards() a;
        DELETE FROM guard;
        INSERT INTO guard SELECT * FROM guards_now();
        UPDATE guard_home SET server = here.server, database = here.database;
        PERFORM set_config('tieout.guarding', '', true);
        RETURN;
    END IF;
    -- One look at the catalog for both: what follows must not judge by another one.
    SELECT array_agg(ROW(a.kind, a.tab, a.name, a.found)::guard) INTO altered FROM altered_guards() a;
    IF altered IS NOT NULL THEN  -- A definition is of this moment, its row of when the look began: what was altered in between is judged by another look.
        SELECT array_agg(ROW(a.kind, a.tab, a.name, a.found)::guard) INTO altered FROM altered_guards() a
        WHERE EXISTS (SELECT FROM unnest(altered) o WHERE (o.kind, o.tab, o.name) = (a.kind, a.tab, a.name) AND o.mark IS NOT DISTINCT FROM a.found);
    END IF;
    IF altered IS NULL THEN
        IF moved THEN  -- A copy by files.
            UPDATE guard_home SET server = here.server, database = here.database;
        END IF;
        PERFORM set_config('tieout.guarding', '', true);
        RETURN;
    END IF;
    UPDATE guard SET mark = a.mark FROM unnest(altered) a
    WHERE (guard.kind, guard.tab, guard.name) = (a.kind, a.tab, a.name) AND a.mark IS NOT NULL
      AND (a.kind = 'file' AND NOT EXISTS (SELECT FROM unnest(altered) o WHERE o.tab = a.tab AND o.kind = 'columns')
        OR a.kind = 'columns' AND NOT EXISTS (SELECT FROM unnest(altered) o WHERE o.tab = a.tab AND o.kind = 'file'));
    RETURN QUERY SELECT a.kind, a.tab, a.name, g.mark, a.mark FROM unnest(altered) a LEFT JOIN guard g USING (kind, tab, name)
    WHERE g.mark IS DISTINCT FROM a.mark AND a.kind <> 'file';
    PERFORM set_config('tieout.guarding', '', true);
END $$;

-- Positions that lie above all that the sequence has given out: it was set back, or somebody wrote the mark or the outbox. The
-- sequence is read last: nobody's position is visible before it was given out.
CREATE FUNCTION positions_set_back() RETURNS TABLE (what text, held_at bigint, given_out bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    held record;
BEGIN
    SELECT (SELECT greatest(m, last) FROM mark) AS mark, (SELECT max(last_pos) FROM outbox) AS outbox INTO held;
    RETURN QUERY SELECT v.w, v.p, s.last FROM (SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS last FROM outbox_pos) s,
        (VALUES ('mark', held.mark), ('outbox', held.outbox)) v (w, p) WHERE v.p > s.last;
END $$;

INSERT INTO guard_home (server, database) SELECT (SELECT system_identifier::text FROM pg_control_system()), oid FROM pg_database WHERE datname = current_database();
SELECT set_config('tieout.guarding', 'on', true);
INSERT INTO guard SELECT * FROM guards_now();
SELECT set_config('tieout.guarding', '', true);
