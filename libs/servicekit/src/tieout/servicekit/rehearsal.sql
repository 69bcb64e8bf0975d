-- name: announced
-- Message by message, in the order in which they would be published.
SELECT m.subject, m.body FROM outbox o CROSS JOIN LATERAL unnest(o.subjects, o.bodies) WITH ORDINALITY AS m (subject, body, n)
WHERE o.stream = $1 ORDER BY o.batch, m.n;

-- name: own_tables
-- Not the kit's: announcements, marks and digests follow what is in these.
SELECT quote_ident(relname) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND has_table_privilege(oid, 'SELECT')
  AND relname NOT IN ('outbox', 'parked', 'mark', 'digest', 'digest_delta', 'digest_branch', 'tamper')
ORDER BY 1;

-- name: content
SELECT '{table}', count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {table} t;
