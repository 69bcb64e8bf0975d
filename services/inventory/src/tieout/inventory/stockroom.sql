-- name: houses
-- Companies and warehouses are few: one read gives what a batch needs of both. Not locked, a policy may change any time.
SELECT c.company, c.currency, c.first_open, w.warehouse, w.stock_policy, w.fulfilment, w.method
FROM company c LEFT JOIN warehouse w USING (company)
WHERE c.company = ANY($1::text[]);

-- name: await_companies
-- A company that finance has not announced yet: its lock is where the waiting message and the announcement meet.
INSERT INTO company (company) SELECT unnest($1::text[]) AS company ORDER BY company
ON CONFLICT (company) DO UPDATE SET company = excluded.company;

-- name: create_stock
-- A lock needs a row. Sorted, and while no stock is locked, so that two who create the same ones wait for each other.
INSERT INTO stock (company, warehouse, sku)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS k (company, warehouse, sku)
ORDER BY k.company, k.warehouse, k.sku
ON CONFLICT (company, warehouse, sku) DO NOTHING;

-- name: lock_stock
-- In the order of stock_id, like everybody, so batches that share SKUs queue for the locks instead of deadlocking. All or
-- nothing: where one is unknown none is locked, because a row that is created later would be locked out of order.
WITH known AS MATERIALIZED (
    SELECT s.stock_id
    FROM unnest($1::text[], $2::text[], $3::text[]) AS k (company, warehouse, sku)
    JOIN stock s ON s.company = k.company AND s.warehouse = k.warehouse AND s.sku = k.sku
)
SELECT s.stock_id, s.company, s.warehouse, s.sku, s.on_hand_micro, s.reserved_micro, s.back_ordered_micro, s.value_minor,
       s.last_quantity_micro, s.last_value_minor, s.valuation_seq, s.layers
FROM known JOIN stock s USING (stock_id)
WHERE (SELECT count(*) FROM known) = cardinality($1::text[])
ORDER BY s.stock_id
FOR UPDATE OF s;

-- name: lock_stock_of_orders
-- All goods of these orders, and the stocks that the messages name themselves.
SELECT s.stock_id, s.company, s.warehouse, s.sku, s.on_hand_micro, s.reserved_micro, s.back_ordered_micro, s.value_minor,
       s.last_quantity_micro, s.last_value_minor, s.valuation_seq, s.layers
FROM stock s
WHERE s.stock_id IN (
    SELECT d.stock_id FROM sales_order o JOIN demand d ON d.position = o.position
    WHERE o.order_id = ANY($1::uuid[]) AND o.placed AND d.stock_id IS NOT NULL
)
ORDER BY s.stock_id
FOR UPDATE OF s;

-- name: lock_averaged
-- MAIN also speaks for the warehouses that nobody has described.
SELECT s.stock_id, s.company, s.warehouse, s.sku, s.on_hand_micro, s.reserved_micro, s.back_ordered_micro, s.value_minor,
       s.last_quantity_micro, s.last_value_minor, s.valuation_seq, s.layers
FROM stock s
LEFT JOIN warehouse w ON w.company = s.company AND w.warehouse = s.warehouse
LEFT JOIN warehouse main ON main.company = s.company AND main.warehouse = 'MAIN'
WHERE s.company = ANY($1::text[]) AND s.valuation_seq > 0 AND coalesce(w.method, main.method) = 'period_average'
ORDER BY s.stock_id
FOR UPDATE OF s;

-- name: standard_costs
-- Asked only for stock that knows no average, present or last.
SELECT s.stock_id, a.standard_quantity_micro, a.standard_cost_minor
FROM stock s JOIN article a ON a.company = s.company AND a.sku = s.sku
WHERE s.stock_id = ANY($1::bigint[]);

-- name: save_stock
UPDATE stock s SET
    on_hand_micro = n.on_hand, reserved_micro = n.reserved, back_ordered_micro = n.back_ordered, value_minor = n.value,
    last_quantity_micro = n.last_quantity, last_value_minor = n.last_value, valuation_seq = n.seq
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
     AS n (stock_id, on_hand, reserved, back_ordered, value, last_quantity, last_value, seq)
WHERE s.stock_id = n.stock_id;

-- name: save_layers
UPDATE stock SET layers = $2::bigint[] WHERE stock_id = $1;

-- name: waiting_orders
-- Who can be served with what becomes free: those before whom less waits than is free. Under the lock of the stock.
SELECT DISTINCT w.order_id
FROM (
    SELECT l.order_id, f.free, sum(l.back_ordered_micro) OVER (PARTITION BY l.stock_id ORDER BY l.since, l.line_no) - l.back_ordered_micro AS before
    FROM unnest($1::bigint[], $2::bigint[]) AS f (stock_id, free)
    JOIN open_line l ON l.stock_id = f.stock_id AND l.back_ordered_micro > 0
) w
WHERE w.before < w.free;

-- name: promised_orders
-- Whose promises go where less lies there than is promised: the latest ones, until as much is called back. Seldom, so
-- it has no index of its own. Under the lock of the stock.
SELECT DISTINCT p.order_id
FROM (
    SELECT l.order_id, f.uncovered, sum(l.reserved_micro) OVER (PARTITION BY l.stock_id ORDER BY l.since DESC, l.line_no DESC) - l.reserved_micro AS after
    FROM unnest($1::bigint[], $2::bigint[]) AS f (stock_id, uncovered)
    JOIN open_line l ON l.stock_id = f.stock_id AND l.reserved_micro > 0
) p
WHERE p.after < p.uncovered;

-- name: anchor_orders
-- Locks the orders, and keeps a place for those that have not come yet.
INSERT INTO sales_order AS o (order_id) SELECT n FROM unnest($1::uuid[]) AS n ORDER BY n
ON CONFLICT (order_id) DO UPDATE SET order_id = excluded.order_id
RETURNING o.order_id, o.placed, o.position, o.company, o.source, o.order_no, o.customer, o.currency, o.business_date,
          o.due_days, o.rate_micro, o.net_minor, o.tax_minor, o.at_delivery;

-- name: order_lines
-- Asked after the locks: every line of these orders with the sums of its facts.
SELECT d.position, d.line_no, d.order_id, d.stock_id, d.sku, d.warehouse, d.account, d.cost_account, d.quantity_micro, d.net_minor, d.tax_minor, d.residual_minor,
       coalesce(l.reserved_micro, 0) AS reserved, coalesce(l.back_ordered_micro, 0) AS back_ordered, coalesce(l.since, 0) AS since,
       coalesce(m.shipped, 0)::bigint AS shipped, coalesce(t.stopped, 0)::bigint AS stopped, coalesce(t.reserved_stopped, 0)::bigint AS reserved_stopped
FROM demand d
LEFT JOIN open_line l ON l.order_id = d.order_id AND l.line_no = d.line_no
LEFT JOIN (
    SELECT order_position, line_no, sum(to_micro - from_micro) AS shipped
    FROM move WHERE order_position = ANY($1::bigint[]) AND kind IN ('issue', 'service') GROUP BY 1, 2
) m ON m.order_position = d.position AND m.line_no = d.line_no
LEFT JOIN (
    SELECT order_position, line_no, sum(quantity_micro) AS stopped, sum(reserved_micro) AS reserved_stopped
    FROM stop WHERE order_position = ANY($1::bigint[]) GROUP BY 1, 2
) t ON t.order_position = d.position AND t.line_no = d.line_no
WHERE d.position = ANY($1::bigint[])
ORDER BY d.position, d.line_no;

-- name: ordinals
-- How many shipments and promises of an order were announced: the next ones are counted on.
SELECT p.position,
       (SELECT count(DISTINCT m.position) FROM move m WHERE m.order_position = p.position AND m.kind IN ('issue', 'service')) AS shipments,
       (SELECT count(DISTINCT r.position) FROM reservation r WHERE r.order_position = p.position AND r.kind = 'promise') AS promises
FROM unnest($1::bigint[]) AS p (position);

-- name: on_their_way
-- Asked after the locks, and only of orders whose control passes at delivery: what left and has not arrived, by line.
SELECT order_position, line_no, sum(quantity_micro)::bigint, sum(value_minor)::bigint,
       coalesce(-sum(quantity_micro) FILTER (WHERE kind = 'delivered'), 0)::bigint,
       coalesce(-sum(quantity_micro) FILTER (WHERE kind = 'recalled'), 0)::bigint
FROM transit WHERE order_position = ANY($1::bigint[]) GROUP BY order_position, line_no;

-- name: deliveries
-- How many deliveries of an order were announced: the next ones are counted on.
SELECT order_position, count(DISTINCT position) FROM transit
WHERE order_position = ANY($1::bigint[]) AND kind = 'delivered' GROUP BY order_position;

-- name: save_open_lines
UPDATE open_line l SET reserved_micro = n.reserved, back_ordered_micro = n.back_ordered
FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::bigint[]) AS n (order_id, line_no, reserved, back_ordered)
WHERE l.order_id = n.order_id AND l.line_no = n.line_no;

-- name: drop_open_lines
DELETE FROM open_line l USING unnest($1::uuid[], $2::integer[]) AS n (order_id, line_no)
WHERE l.order_id = n.order_id AND l.line_no = n.line_no;
