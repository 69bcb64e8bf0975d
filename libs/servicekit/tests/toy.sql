-- name: anchor_orders
-- Locked by their insertion, in sorted order.
INSERT INTO order_anchor (order_id) SELECT unnest($1::uuid[]) ON CONFLICT (order_id) DO UPDATE SET order_id = excluded.order_id;

-- name: known_orders
-- Asked after the locks.
SELECT order_id FROM demand WHERE order_id = ANY($1::uuid[]);
