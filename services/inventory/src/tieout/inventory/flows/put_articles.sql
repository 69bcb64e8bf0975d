-- name: put_articles
-- Sorted, so that two uploads of the same articles wait for each other instead of deadlocking.
INSERT INTO article AS a (company, sku, name, uom, standard_cost_minor, standard_quantity_micro)
SELECT $1, sku, name, uom, cost, quantity
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]) AS n (sku, name, uom, cost, quantity)
ORDER BY sku
ON CONFLICT (company, sku) DO UPDATE SET
    name = excluded.name, uom = excluded.uom, standard_cost_minor = excluded.standard_cost_minor,
    standard_quantity_micro = excluded.standard_quantity_micro
RETURNING a.sku, old.sku IS NULL AS added;
