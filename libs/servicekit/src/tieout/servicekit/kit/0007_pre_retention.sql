-- Retention deletes by age: ranges of pages tell where the old rows are, at next to no cost for who writes.
CREATE INDEX outbox_age ON outbox USING brin (written_at) WITH (pages_per_range = 32);

-- A partition that was made after its fact table: the same grants and the same guards as fact_table gives.
CREATE PROCEDURE fact_part(tab text, part regclass) LANGUAGE plpgsql AS $$
DECLARE
    app_role text;
BEGIN
    SELECT app INTO app_role FROM kit_role;
    CALL kit_grant('SELECT, INSERT', part::text);
    EXECUTE format('CREATE TRIGGER tamper_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT '
        'WHEN (session_user <> %L) EXECUTE FUNCTION note_tamper(%L)', part, app_role, tab);
    EXECUTE format('CREATE TRIGGER tamper_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_tamper(%L)', part, tab);
    EXECUTE format('CREATE TRIGGER tamper_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_tamper(%L)', part, tab);
    EXECUTE format('CREATE TRIGGER tamper_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()', part);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER tamper_insert, ENABLE ALWAYS TRIGGER tamper_delete, '
        'ENABLE ALWAYS TRIGGER tamper_update, ENABLE ALWAYS TRIGGER tamper_truncate', part);
    PERFORM guard_part(part::text);  -- 0009_pre_guards.sql
END $$;
