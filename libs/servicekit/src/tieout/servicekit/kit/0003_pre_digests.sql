-- Digests: per book and leaf (256 positions) count, two sums, and the sum of a hash of each row (its place and its values),
-- so that the order does not matter and an edit is new minus old. Triggers append deltas (an upsert would make writers queue); a folder
-- merges them each second; a scrub recomputes leaves from the rows and so finds what no trigger can see.

CREATE TABLE digest_book (
    book      text PRIMARY KEY,
    measure   integer NOT NULL,
    tab       text NOT NULL,
    position  text NOT NULL,  -- A column; it needs an index that begins with it.
    line      text NOT NULL,
    chain     text NOT NULL,
    order_no  text NOT NULL,
    a         text NOT NULL,
    b         text NOT NULL,
    condition text NOT NULL,
    currency  text NOT NULL   -- Of a row's sums, for those who show them; '' where they are no money.
);
CREATE TABLE digest (
    book text NOT NULL, leaf bigint NOT NULL,
    n bigint NOT NULL, a numeric NOT NULL, b numeric NOT NULL, h numeric NOT NULL,
    PRIMARY KEY (book, leaf)
) WITH (fillfactor = 70);
CREATE TABLE digest_delta (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    book text NOT NULL, leaf bigint NOT NULL,
    n bigint NOT NULL, a numeric NOT NULL, b numeric NOT NULL, h numeric NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CALL kit_grant('SELECT', 'digest_book');
CALL registry_table('digest_book');
CALL kit_grant('SELECT', 'digest');
CALL kit_grant('SELECT', 'digest_delta');

-- One row's part of a digest: 64 bits of its place and its values. Sums of it are exact, as numeric. A place that no service
-- ever gives out (a hand does) has a hash as well: an error would hide whatever else there is to be found.
CREATE FUNCTION row_hash(place bigint, line bigint, a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashint8extended(b, hashint8extended(a, CASE WHEN place >> 46 = 0 AND line BETWEEN 0 AND 100002 THEN hashint8extended(place * 100003 + line, 1)
    ELSE hashint8extended(line, hashint8extended(place, 2)) END));

-- One SELECT over `source` (a transition table or the table itself) for one book.
CREATE FUNCTION digest_select(book digest_book, source text, sign text, extra text DEFAULT 'true') RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format(
        'SELECT %L::text, (%s) >> 8, %scount(*), %scoalesce(sum(%s), 0)::numeric, %s, %ssum(row_hash((%s)::bigint, (%s)::bigint, (%s)::bigint, (%s)::bigint))
         FROM %s WHERE (%s) AND (%s) GROUP BY (%s) >> 8',
        book.book, book.position, sign, sign, book.a,
        CASE WHEN book.b = '0' THEN '0::numeric' ELSE format('%scoalesce(sum(%s), 0)::numeric', sign, book.b) END,
        sign, book.position, book.line, book.a, book.b, source, book.condition, extra, book.position);
$$;

-- CALL digest_attach('shipped_line', '[{"measure": 4, "book": "shipped_line", "a": "to_micro - from_micro", "b": "0", "where": "kind = ''goods''", "currency": "''EUR''"}, …]')
-- A trigger function of its own per table: dynamic SQL inside a trigger would be planned at every statement.
CREATE PROCEDURE digest_attach(tab text, books jsonb) LANGUAGE plpgsql AS $$
DECLARE
    entry jsonb;
    book digest_book;
    plus text;
    minus text;
    part regclass;
BEGIN
    FOR entry IN SELECT jsonb_array_elements(books) LOOP
        INSERT INTO digest_book (book, measure, tab, position, line, chain, order_no, a, b, condition, currency)
        VALUES (entry ->> 'book', (entry ->> 'measure')::integer, tab,
            coalesce(entry ->> 'position', 'position'), coalesce(entry ->> 'line', 'line_no'),
            coalesce(entry ->> 'chain', 'order_id::text'), coalesce(entry ->> 'order_no', 'order_no'),
            entry ->> 'a', coalesce(entry ->> 'b', '0'), coalesce(entry ->> 'where', 'true'), coalesce(entry ->> 'currency', ''))
        RETURNING * INTO book;
        -- A wrong name shall fail here, in the migration, and not at the first order.
        EXECUTE format('SELECT (%s)::bigint, (%s)::bigint, (%s)::text, (%s)::text, (%s)::bigint, (%s)::bigint, (%s)::text FROM %I WHERE %s LIMIT 0',
            book.position, book.line, book.chain, book.order_no, book.a, book.b, coalesce(nullif(book.currency, ''), quote_literal('')), tab, book.condition);
    END LOOP;
    SELECT string_agg(digest_select(d, 'new_rows', ''), ' UNION ALL '), string_agg(digest_select(d, 'old_rows', '-'), ' UNION ALL ')
    INTO plus, minus FROM digest_book d WHERE d.tab = digest_attach.tab;
    EXECUTE format('CREATE FUNCTION %I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS %L', 'digest_insert_' || tab,
        'BEGIN INSERT INTO digest_delta (book, leaf, n, a, b, h) ' || plus || '; RETURN NULL; END');
    EXECUTE format('CREATE FUNCTION %I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS %L', 'digest_delete_' || tab,
        'BEGIN INSERT INTO digest_delta (book, leaf, n, a, b, h) ' || minus || '; RETURN NULL; END');
    EXECUTE format('CREATE FUNCTION %I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS %L', 'digest_update_' || tab,
        'BEGIN INSERT INTO digest_delta (book, leaf, n, a, b, h) ' || plus || ' UNION ALL ' || minus || '; RETURN NULL; END');
    FOR part IN SELECT p.part FROM parts_of(tab) p LOOP
        EXECUTE format('CREATE TRIGGER digest_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION %I()', part, 'digest_insert_' || tab);
        EXECUTE format('CREATE TRIGGER digest_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION %I()', part, 'digest_delete_' || tab);
        EXECUTE format('CREATE TRIGGER digest_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION %I()', part, 'digest_update_' || tab);
        EXECUTE format('CREATE TRIGGER digest_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()', part);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER digest_insert, ENABLE ALWAYS TRIGGER digest_delete, '
            'ENABLE ALWAYS TRIGGER digest_update, ENABLE ALWAYS TRIGGER digest_truncate', part);
    END LOOP;
END $$;
