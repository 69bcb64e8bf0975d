-- name: lock_articles
-- Two uploads that each name only some fields of one article: the second builds on what the first has left.
SELECT pg_advisory_xact_lock(hashtextextended('articles:' || $1, 0));

-- name: put_articles
-- What nobody named comes as NULL: of a new article it is the default, of a known one it stays.
-- Sorted, so that two uploads of the same articles wait for each other instead of deadlocking.
INSERT INTO article AS a (company, sku, name, uom, standard_cost_minor, standard_quantity_micro)
SELECT $1, n.sku, coalesce(nullif(n.name, ''), k.name, n.sku), coalesce(n.uom, k.uom, 'PCS'),
    coalesce(n.cost, k.standard_cost_minor, 0), coalesce(n.quantity, k.standard_quantity_micro, 1000000)
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]) AS n (sku, name, uom, cost, quantity)
LEFT JOIN article k ON k.company = $1 AND k.sku = n.sku
ORDER BY n.sku
ON CONFLICT (company, sku) DO UPDATE SET
    name = excluded.name, uom = excluded.uom, standard_cost_minor = excluded.standard_cost_minor,
    standard_quantity_micro = excluded.standard_quantity_micro
RETURNING a.sku, old.sku IS NULL AS added;
