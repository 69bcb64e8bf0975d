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

-- One SELECT over the table itself for one book: what the scrub (kit/0006) compares with what digest_of_changes has kept. Two ways to the
-- same sums on purpose: a mistake in one of them is found by the other.
CREATE FUNCTION digest_select(book digest_book, source text, sign text, extra text DEFAULT 'true') RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format(
        'SELECT %L::text, (%s) >> 8, %scount(*), %scoalesce(sum(%s), 0)::numeric, %s, %ssum(row_hash((%s)::bigint, (%s)::bigint, (%s)::bigint, (%s)::bigint))
         FROM %s WHERE (%s) AND (%s) GROUP BY (%s) >> 8',
        book.book, book.position, sign, sign, book.a,
        CASE WHEN book.b = '0' THEN '0::numeric' ELSE format('%scoalesce(sum(%s), 0)::numeric', sign, book.b) END,
        sign, book.position, book.line, book.a, book.b, source, book.condition, extra, book.position);
$$;

-- All books of a table over a transition table: rows of one position are read once, whatever number of books counts them. The scrub
-- compares what it keeps with digest_select.
CREATE FUNCTION digest_of_changes(tab text, source text, sign text) RETURNS text LANGUAGE sql STABLE AS $$
    WITH book AS (
        SELECT d.*, row_number() OVER (PARTITION BY d.position ORDER BY d.book) AS i,
               CASE d.condition WHEN 'true' THEN '' ELSE format(' FILTER (WHERE %s)', d.condition) END AS only
        FROM digest_book d WHERE d.tab = digest_of_changes.tab
    ), counted AS (
        SELECT b.position,
               string_agg(format('count(*)%2$s AS n%1$s, coalesce(sum(%3$s)%2$s, 0)::numeric AS a%1$s, %4$s AS b%1$s,
                   sum(row_hash((%5$s)::bigint, (%6$s)::bigint, (%3$s)::bigint, (%7$s)::bigint))%2$s AS h%1$s',
                   b.i, b.only, b.a, CASE b.b WHEN '0' THEN '0::numeric' ELSE format('coalesce(sum(%s)%s, 0)::numeric', b.b, b.only) END,
                   b.position, b.line, b.b), ', ') AS sums,
               string_agg(format('(%2$L, s.n%1$s, s.a%1$s, s.b%1$s, s.h%1$s)', b.i, b.book), ', ') AS books
        FROM book b GROUP BY b.position
    )
    SELECT string_agg(format(
        'SELECT v.book, s.leaf, %1$sv.n, %1$sv.a, %1$sv.b, %1$sv.h FROM (SELECT (%2$s) >> 8 AS leaf, %3$s FROM %4$s GROUP BY 1) s,
             LATERAL (VALUES %5$s) v (book, n, a, b, h) WHERE v.n > 0', sign, c.position, c.sums, source, c.books), ' UNION ALL ')
    FROM counted c;
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
    plus := digest_of_changes(tab, 'new_rows', '');
    minus := digest_of_changes(tab, 'old_rows', '-');
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
