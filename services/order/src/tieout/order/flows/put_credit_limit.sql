-- name: put
INSERT INTO credit_limit (company, customer, currency, limit_minor) VALUES ($1, $2, $3, $4)
ON CONFLICT (company, customer, currency) DO UPDATE SET limit_minor = excluded.limit_minor
WHERE credit_limit.limit_minor <> excluded.limit_minor;

-- name: drop
DELETE FROM credit_limit WHERE company = $1 AND customer = $2 AND currency = $3;

-- name: newest
-- As text: it is only handed back.
SELECT pg_snapshot_xmax(pg_current_snapshot())::text;

-- name: older_ones_are_done
SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8;

-- name: count_open_orders
-- Those that were placed while the customer had no limit. Seldom, so it reads all orders and needs no index.
INSERT INTO limited_order (company, customer, currency, order_position)
SELECT h.company, h.customer, h.currency, h.position FROM order_header h
WHERE h.company = $1 AND h.customer = $2 AND h.currency = $3
    AND NOT EXISTS (SELECT FROM completion c WHERE c.order_position = h.position)
ON CONFLICT DO NOTHING;

-- name: limits
-- The cursor is the currency, three letters, and the customer.
SELECT company, customer, currency, limit_minor FROM credit_limit
WHERE company = $1 AND $2 IN ('', customer) AND (customer, currency) > (substr($3, 4), left($3, 3)) ORDER BY customer, currency LIMIT $4;
