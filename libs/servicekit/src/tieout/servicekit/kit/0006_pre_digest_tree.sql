-- The tree of digests: 256 leaves make a branch, so the total of a book of any size is a few branches, the leaves of the
-- begun branch, and the rows of the begun leaf. And corrections: what undoes an edit by hand without another edit.

CREATE TABLE digest_branch (
    book text NOT NULL, branch bigint NOT NULL,
    n bigint NOT NULL, a numeric NOT NULL, b numeric NOT NULL, h numeric NOT NULL,
    PRIMARY KEY (book, branch)
) WITH (fillfactor = 70);
INSERT INTO digest_branch SELECT book, leaf >> 8, sum(n)::bigint, sum(a), sum(b), sum(h) FROM digest GROUP BY 1, 2;
CALL kit_grant('SELECT', 'digest_branch');

-- As before, and the same deltas are added to the branches. One statement, so whoever reads sees both or neither.
CREATE FUNCTION fold_digest() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH taken AS (
        DELETE FROM digest_delta WHERE id IN (SELECT id FROM digest_delta ORDER BY id LIMIT 5000 FOR UPDATE SKIP LOCKED)
        RETURNING book, leaf, n, a, b, h
    ), leaves AS (
        INSERT INTO digest AS d (book, leaf, n, a, b, h)
        SELECT book, leaf, sum(n)::bigint, sum(a), sum(b), sum(h) FROM taken GROUP BY book, leaf ORDER BY book, leaf
        ON CONFLICT (book, leaf) DO UPDATE SET n = d.n + excluded.n, a = d.a + excluded.a, b = d.b + excluded.b, h = d.h + excluded.h
    )
    INSERT INTO digest_branch AS d (book, branch, n, a, b, h)
    SELECT book, leaf >> 8, sum(n)::bigint, sum(a), sum(b), sum(h) FROM taken GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (book, branch) DO UPDATE SET n = d.n + excluded.n, a = d.a + excluded.a, b = d.b + excluded.b, h = d.h + excluded.h;
$$;

-- Facts: an edit by hand, reversed and booked again as it was. Rows of a book that came from no event: what stands in the
-- table is taken out (n = -1) and what stood there before is put in (n = 1), under the same position and line, so that
-- the digests add up to the original. The edited row stays as the hand left it, for whoever looks into it.
CREATE TABLE correction (
    number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    book      text NOT NULL,
    position  bigint NOT NULL,
    line_no   bigint NOT NULL,
    n         integer NOT NULL CHECK (n IN (-1, 1)),
    a         bigint NOT NULL,  -- Of the row that is taken out or put in.
    b         bigint NOT NULL,
    chain     text NOT NULL,
    order_no  text NOT NULL,
    currency  text NOT NULL,
    repair_id uuid NOT NULL,
    booked_at timestamptz NOT NULL DEFAULT now(),
    surplus   boolean NOT NULL DEFAULT false        -- Takes out a row that no event has: nothing stood there before it.
);
CREATE INDEX correction_place ON correction (book, position);
CALL fact_table('correction');

-- Which touched rows a correction has settled: up to this entry of `tamper`. A later edit of the same row is found again.
CREATE TABLE settled_tamper (
    tab       text NOT NULL,
    key       jsonb NOT NULL,
    tamper_id bigint NOT NULL,
    repair_id uuid NOT NULL,
    actor     text NOT NULL,
    reason    text NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tab, key, tamper_id)
);
CALL fact_table('settled_tamper');

CREATE FUNCTION digest_correction() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO digest_delta (book, leaf, n, a, b, h)
    SELECT book, position >> 8, sum(n), sum(n * a), sum(n * b), sum(n * row_hash(position, line_no, a, b)::numeric)
    FROM new_rows GROUP BY 1, 2;
    RETURN NULL;
END $$;
CREATE TRIGGER digest_insert AFTER INSERT ON correction REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION digest_correction();
ALTER TABLE correction ENABLE ALWAYS TRIGGER digest_insert;

CREATE FUNCTION number_of(content jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(content) = 'number' THEN content::numeric ELSE 0 END;
$$;

-- Rows that were touched by hand, are not as they were before, and were not corrected since; of those taken out, not trusted since.
CREATE FUNCTION touched_by_hand() RETURNS TABLE (tab text, key jsonb, before jsonb, now jsonb, op text, who text, at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    touched record;
BEGIN
    FOR touched IN
        SELECT f.tab, string_agg(format('r.%1$I = k.%1$I', name), ' AND ') AS same
        FROM fact_tables f, unnest(f.key_columns) name
        WHERE f.tab IN (SELECT DISTINCT t.tab FROM tamper t) GROUP BY f.tab
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT t.tab, t.key, t.before, to_jsonb(r), t.op, t.who, t.at
             FROM (SELECT DISTINCT ON (key) *, max(id) OVER (PARTITION BY key) AS last_id FROM tamper WHERE tab = %1$L ORDER BY key, id) t
             CROSS JOIN LATERAL jsonb_populate_record(NULL::%1$I, t.key) k
             LEFT JOIN %1$I r ON %2$s
             WHERE t.before IS DISTINCT FROM to_jsonb(r)
               AND NOT EXISTS (SELECT FROM settled_tamper s WHERE s.tab = t.tab AND s.key = t.key AND s.tamper_id >= t.last_id)
               AND NOT (to_jsonb(r) IS NULL AND EXISTS (SELECT FROM guard_trusted g
                    WHERE g.kind = ''row'' AND g.tab = t.tab AND g.name = t.key::text AND g.found::bigint >= t.last_id))', touched.tab, touched.same);
    END LOOP;
    -- State goes on to change, so what hands did to it is added up from their log, of the columns that they changed: a number that
    -- was put back by as much, another column that is again what it was, or what the service wrote there since; a row that came and
    -- went. What the guards go by (registry_table) is never put back: while it said something else, so did they.
    RETURN QUERY
    WITH step AS MATERIALIZED (
        SELECT t.*, t.tab IN ('kit_role', 'fact_tables', 'state_tables', 'settings_tables', 'digest_book') AS registry FROM tamper t
        WHERE (t.tab IN (SELECT s.tab FROM state_tables s) OR t.tab IN ('kit_role', 'fact_tables', 'state_tables', 'settings_tables', 'digest_book'))
          AND t.id > coalesce((SELECT max(g.found::bigint) FROM guard_trusted g WHERE g.kind = 'row' AND g.tab = t.tab AND g.name = t.key::text), 0)
    ), hand AS (
        SELECT s.tab, s.key, (array_agg(s.before ORDER BY s.id))[1] AS first, (array_agg(s.after ORDER BY s.id DESC))[1] AS last,
               (array_agg(s.op ORDER BY s.id))[1] AS op, (array_agg(s.who ORDER BY s.id))[1] AS who, min(s.at) AS at, bool_or(s.registry) AS registry
        FROM step s GROUP BY s.tab, s.key
    ), change AS (
        SELECT s.tab, s.key, s.id, name, s.before -> name AS before, s.after -> name AS after, lag(s.after -> name) OVER by_hand AS left_as,
               row_number() OVER by_hand AS number
        FROM step s, jsonb_object_keys(coalesce(s.after, s.before)) name
        WHERE s.before -> name IS DISTINCT FROM s.after -> name
        WINDOW by_hand AS (PARTITION BY s.tab, s.key, name ORDER BY s.id)
    ), net AS (
        SELECT n.tab, n.key, n.name, coalesce(bool_and(jsonb_typeof(n.before) = 'number' AND jsonb_typeof(n.after) = 'number')
                   AND count(n.before) = count(*) AND count(n.after) = count(*), false) AS counts,
               sum(number_of(n.after) - number_of(n.before)) AS moved,
               -- As it was when hands began, or began again after the service had written it.
               (array_agg(n.before ORDER BY n.id DESC) FILTER (WHERE n.number = 1 OR n.before IS DISTINCT FROM n.left_as))[1] AS before,
               (array_agg(n.after ORDER BY n.id DESC))[1] AS after
        FROM change n GROUP BY 1, 2, 3
    ), differing AS (
        SELECT n.tab, n.key, jsonb_object_agg(n.name, CASE WHEN n.counts THEN to_jsonb(number_of(n.after) - n.moved) ELSE n.before END) AS before,
               jsonb_object_agg(n.name, n.after) AS now
        FROM net n WHERE CASE WHEN n.counts THEN n.moved <> 0 ELSE n.before IS DISTINCT FROM n.after END GROUP BY 1, 2
    )
    SELECT h.tab, h.key, CASE WHEN whole THEN h.first ELSE c.before END, CASE WHEN whole THEN h.last ELSE c.now END, h.op, h.who, h.at
    FROM hand h
    LEFT JOIN differing c ON c.tab = h.tab AND c.key = h.key
    CROSS JOIN LATERAL (SELECT h.registry OR h.first IS NULL OR h.last IS NULL) w (whole)
    WHERE h.registry OR (h.first IS NULL) <> (h.last IS NULL) OR h.first IS NOT NULL AND c.now IS NOT NULL;
END $$;

-- Where a scrub cuts: every so many leaves that digests, deltas or corrections name, however far they lie from one another.
CREATE FUNCTION scrub_cuts(leaves integer) RETURNS TABLE (leaf bigint) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT n.leaf FROM (
        SELECT k.leaf, row_number() OVER (ORDER BY k.leaf) AS place FROM (
            SELECT d.leaf FROM digest d UNION SELECT d.leaf FROM digest_delta d UNION SELECT c.position >> 8 FROM correction c) k) n
    WHERE n.place % leaves = 0 ORDER BY 1;
$$;

-- Leaves whose digest is not what the rows and corrections give, and branches that are not the sum of their leaves. A book that
-- cannot be computed at all (a hand wrote numbers beyond all bounds) is one finding, and hides no other book.
CREATE FUNCTION scrub_digest(first_leaf bigint, last_leaf bigint) RETURNS TABLE (book text, leaf bigint, kept text, facts text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    one digest_book;
    first_position bigint := greatest(first_leaf, -(1::bigint << 55)) << 8;  -- Leaves beyond hold no position at all.
    last_position bigint := (least(last_leaf, (1::bigint << 55) - 1) << 8) + 255;
BEGIN
    FOR one IN SELECT * FROM digest_book ORDER BY digest_book.book LOOP
        BEGIN
            RETURN QUERY EXECUTE format(
                'SELECT %1$L::text, coalesce(d.leaf, r.leaf), format(''%%s rows, a=%%s, b=%%s'', coalesce(d.n, 0), coalesce(d.a, 0), coalesce(d.b, 0)),
                        format(''%%s rows, a=%%s, b=%%s'', coalesce(r.n, 0), coalesce(r.a, 0), coalesce(r.b, 0))
                 FROM (SELECT leaf, sum(n) AS n, sum(a) AS a, sum(b) AS b, sum(h) AS h
                       FROM (SELECT leaf, n, a, b, h FROM digest WHERE book = %1$L AND leaf BETWEEN $1 AND $2
                             UNION ALL SELECT leaf, n, a, b, h FROM digest_delta WHERE book = %1$L AND leaf BETWEEN $1 AND $2
                             UNION ALL SELECT position >> 8, -n, -n * a, -n * b, -n * row_hash(position, line_no, a, b)::numeric
                             FROM correction WHERE book = %1$L AND position BETWEEN $3 AND $4) x GROUP BY leaf) d
                 FULL JOIN (%2$s) r (book, leaf, n, a, b, h) ON r.leaf = d.leaf
                 WHERE (coalesce(d.n, 0), coalesce(d.a, 0), coalesce(d.b, 0), coalesce(d.h, 0))
                    IS DISTINCT FROM (coalesce(r.n, 0), coalesce(r.a, 0), coalesce(r.b, 0), coalesce(r.h, 0))',
                one.book, digest_select(one, quote_ident(one.tab), '', format('(%s) BETWEEN $3 AND $4', one.position)))
            USING first_leaf, last_leaf, first_position, last_position;
        EXCEPTION WHEN data_exception THEN
            book := one.book;
            leaf := first_leaf;
            kept := 'cannot be computed: ' || SQLERRM;
            facts := format('leaves %s to %s', first_leaf, last_leaf);
            RETURN NEXT;
        END;
    END LOOP;
END $$;

CREATE FUNCTION scrub_branches() RETURNS TABLE (book text, branch bigint, kept text, leaves text) LANGUAGE sql STABLE AS $$
    SELECT coalesce(d.book, s.book), coalesce(d.branch, s.branch),
           format('%s rows, a=%s, b=%s', coalesce(d.n, 0), coalesce(d.a, 0), coalesce(d.b, 0)),
           format('%s rows, a=%s, b=%s', coalesce(s.n, 0), coalesce(s.a, 0), coalesce(s.b, 0))
    FROM digest_branch d
    FULL JOIN (SELECT g.book, g.leaf >> 8 AS branch, sum(g.n) AS n, sum(g.a) AS a, sum(g.b) AS b, sum(g.h) AS h FROM digest g GROUP BY 1, 2) s
        ON s.book = d.book AND s.branch = d.branch
    WHERE (coalesce(d.n, 0), coalesce(d.a, 0), coalesce(d.b, 0), coalesce(d.h, 0))
       IS DISTINCT FROM (coalesce(s.n, 0), coalesce(s.a, 0), coalesce(s.b, 0), coalesce(s.h, 0));
$$;

-- The mark looks for what was published since the last one.
CREATE INDEX outbox_last_pos ON outbox (last_pos);
