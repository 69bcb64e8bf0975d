-- name: lock_warehouses
-- Two people who describe the warehouses of one company do so one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('warehouse:' || $1, 0));

-- name: rules
SELECT warehouse, name, stock_policy, fulfilment, method FROM warehouse WHERE company = $1;

-- name: has_moved
-- MAIN also speaks for the warehouses that nobody has described.
SELECT EXISTS (
    SELECT FROM stock s
    WHERE s.company = $1 AND s.valuation_seq > 0
      AND (s.warehouse = $2 OR ($2 = 'MAIN' AND NOT EXISTS (
          SELECT FROM warehouse w WHERE w.company = s.company AND w.warehouse = s.warehouse)))
);

-- name: put_warehouse
INSERT INTO warehouse (company, warehouse, name, stock_policy, fulfilment, method) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (company, warehouse) DO UPDATE SET
    name = excluded.name, stock_policy = excluded.stock_policy, fulfilment = excluded.fulfilment, method = excluded.method;
