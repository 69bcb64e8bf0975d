-- name: one_at_a_time
-- Two repairs of the same rows must not both take them out. Rare, so one lock for all of them.
SELECT pg_advisory_xact_lock(hashtext('tieout.correction'));

-- name: settle
-- Up to this touch the row is settled; a later one is found again.
INSERT INTO settled_tamper (tab, key, tamper_id, repair_id, actor, reason)
SELECT $1, key::jsonb, tamper_id, $4::uuid, $5, $6 FROM unnest($2::text[], $3::bigint[]) AS s (key, tamper_id)
ON CONFLICT DO NOTHING;
