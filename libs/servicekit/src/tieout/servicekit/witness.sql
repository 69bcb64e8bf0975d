-- name: books
SELECT book, measure, quote_ident(tab) AS tab, position, a, b, condition, currency
FROM digest_book ORDER BY book;

-- name: facts_of_orders
-- Facts with an index that begins with their order.
SELECT DISTINCT quote_ident(f.tab) AS tab FROM fact_tables f
JOIN pg_attribute a ON a.attrelid = f.tab::regclass AND a.attname = 'order_id' AND a.atttypid = 'uuid'::regtype
JOIN pg_index i ON i.indrelid = a.attrelid AND i.indkey[0] = a.attnum
ORDER BY 1;

-- name: moved
-- Rows that this connection has inserted or removed, of all but the kit's own tables. The server may still count earlier
-- transactions in here, so it is asked twice. Updates do not count: anchors are locked by them.
SELECT coalesce(sum(moved), 0)::bigint AS rows, coalesce(sum(moved) FILTER (WHERE fact), 0)::bigint AS facts
FROM (
    SELECT pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid) AS moved,
           c.relname IN (SELECT tab FROM fact_tables) OR c.relispartition AS fact
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
      AND c.relname NOT IN ('outbox', 'parked', 'mark', 'digest', 'digest_delta', 'tamper')
) t;
