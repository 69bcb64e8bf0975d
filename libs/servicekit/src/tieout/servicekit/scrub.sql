-- name: moved
-- What the server itself has counted, whatever triggers saw: rows that changed at all, facts that were edited, which the
-- service never does, and triggers that are armed, by the transactions that armed them.
SELECT coalesce(sum(pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid)), 0)::bigint AS moved,
       coalesce(sum(pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid))
           FILTER (WHERE c.oid IN (SELECT p.part FROM fact_tables f, parts_of(f.tab) p)), 0)::bigint AS edited,
       (SELECT coalesce(sum(hashint8extended(xmin::text::bigint, oid::bigint) >> 16), 0)::bigint FROM pg_trigger WHERE tgenabled = 'A') AS armed
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r';
