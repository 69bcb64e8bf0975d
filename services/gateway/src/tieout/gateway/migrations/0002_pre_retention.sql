-- Raw documents by week of arrival: their ids begin with the time, so the key stays the key, and a week that is old
-- enough is let go as a whole, which costs nothing, where deleting its rows would cost as much as writing them did.

DROP TRIGGER tamper_insert ON raw_document;
DROP TRIGGER tamper_update ON raw_document;
DROP TRIGGER tamper_delete ON raw_document;
DROP TRIGGER tamper_truncate ON raw_document;
DELETE FROM fact_tables WHERE tab = 'raw_document';
ALTER TABLE raw_document RENAME TO raw_document_first;
ALTER INDEX raw_document_pkey RENAME TO raw_document_first_pkey;

CREATE TABLE raw_document (
    id          uuid PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    corrects    uuid,
    satellite   text COLLATE "C" NOT NULL,
    channel     text COLLATE "C" NOT NULL,
    topic       text NOT NULL,
    body        bytea NOT NULL
) PARTITION BY RANGE (id);
ALTER TABLE raw_document ALTER body SET STORAGE EXTERNAL;

-- The lowest id that a document of this instant can have.
CREATE FUNCTION first_id(at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
$$;
CREATE FUNCTION instant_of(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT to_timestamp(('x' || lpad(left(replace(id::text, '-', ''), 12), 16, '0'))::bit(64)::bigint / 1000.0);
$$;

DO $$
BEGIN
    EXECUTE format('ALTER TABLE raw_document ATTACH PARTITION raw_document_first FOR VALUES FROM (MINVALUE) TO (%L)',
        first_id(date_trunc('week', now(), 'UTC') + interval '7 days'));
END $$;
-- A clock far ahead, or a month in which nobody made partitions: documents are taken in all the same.
CREATE TABLE raw_document_rest PARTITION OF raw_document DEFAULT WITH (toast_tuple_target = 8160);
ALTER TABLE raw_document_rest ALTER body SET STORAGE EXTERNAL;
CALL fact_table('raw_document');

-- What was let go, and that it was let go by age: a week that is missing without a row here was taken by hand.
CREATE TABLE forgotten_documents (
    part         text        PRIMARY KEY,
    from_at      timestamptz,          -- NULL: from the first one.
    to_at        timestamptz NOT NULL,
    documents    bigint      NOT NULL,
    bytes        bigint      NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT now()
);
CALL fact_table('forgotten_documents');

-- Partitions for so many weeks from now. Attached, not created as such: nobody who writes has to wait.
CREATE FUNCTION prepare_document_weeks(weeks integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    week timestamptz;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('raw_document weeks'));
    PERFORM set_config('lock_timeout', '1s', true);
    FOR week IN SELECT date_trunc('week', now(), 'UTC') + n * interval '7 days' FROM generate_series(1, weeks) n LOOP
        name := 'raw_document_' || to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD');
        CONTINUE WHEN to_regclass(name) IS NOT NULL
            OR first_id(week) < (SELECT max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([0-9a-f-]+)''\)'))::uuid
                                 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'raw_document'::regclass);
        EXECUTE format('CREATE TABLE %I (LIKE raw_document INCLUDING DEFAULTS INCLUDING STORAGE, PRIMARY KEY (id)) WITH (toast_tuple_target = 8160)', name);
        EXECUTE format('ALTER TABLE raw_document ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first_id(week), first_id(week + interval '7 days'));
        CALL fact_part('raw_document', name::regclass);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Let go of the oldest weeks: those that ended so many days ago (0: none), and further ones while all together have more bytes than
-- allowed (0: any number), of these only what is older than a month. A week with a document that is not settled stays:
-- in the queue, waiting for its order, or in quarantine without a decision. Answers the names of what went.
CREATE FUNCTION forget_document_weeks(days integer, bytes_max bigint) RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part record;
    total bigint;
    counted bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('raw_document weeks'));
    PERFORM set_config('lock_timeout', '1s', true);
    SELECT sum(pg_total_relation_size(inhrelid)) INTO total FROM pg_inherits WHERE inhparent = 'raw_document'::regclass;
    FOR part IN
        SELECT c.oid, c.relname, pg_total_relation_size(c.oid) AS bytes, b.from_id, b.to_id
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound) e
        CROSS JOIN LATERAL (SELECT substring(e.bound FROM 'FROM \(''([0-9a-f-]+)''\)')::uuid AS from_id, substring(e.bound FROM 'TO \(''([0-9a-f-]+)''\)')::uuid AS to_id) b
        WHERE i.inhparent = 'raw_document'::regclass AND b.to_id IS NOT NULL
        ORDER BY b.to_id
    LOOP
        EXIT WHEN (days = 0 OR part.to_id > first_id(now() - make_interval(days => days)))
              AND NOT (bytes_max > 0 AND total > bytes_max AND part.to_id <= first_id(now() - interval '31 days'));
        CONTINUE WHEN EXISTS (SELECT FROM pending p, unnest(p.ids) id WHERE id < part.to_id AND id >= coalesce(part.from_id, id))
            OR EXISTS (SELECT FROM waiting w WHERE w.id < part.to_id AND w.id >= coalesce(part.from_id, w.id))
            OR EXISTS (SELECT FROM refusal f WHERE f.id < part.to_id AND f.id >= coalesce(part.from_id, f.id)
                       AND NOT EXISTS (SELECT FROM decision d WHERE d.entry = f.entry));
        EXECUTE format('SELECT count(*) FROM %I', part.relname) INTO counted;
        INSERT INTO forgotten_documents (part, from_at, to_at, documents, bytes)
        VALUES (part.relname, instant_of(part.from_id), instant_of(part.to_id), counted, part.bytes);
        EXECUTE format('DROP TABLE %I', part.relname);
        PERFORM unguard_part(quote_ident(part.relname));
        total := total - part.bytes;
        RETURN NEXT part.relname;
    END LOOP;
END $$;
DO $$
DECLARE
    app_role text;
BEGIN
    PERFORM prepare_document_weeks(8);
    SELECT app INTO app_role FROM kit_role;
    REVOKE ALL ON FUNCTION prepare_document_weeks, forget_document_weeks FROM public;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = app_role) THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION prepare_document_weeks, forget_document_weeks TO %I', app_role);
    END IF;
END $$;

-- Each satellite's own rhythm: the minutes of the last two weeks in which something came from it.
CREATE TABLE rhythm (
    satellite text COLLATE "C" NOT NULL,
    minute    timestamptz NOT NULL,
    PRIMARY KEY (satellite, minute)
);
CALL state_table('rhythm', watched => false);
