-- name: lock
-- Sorted, and behind the anchors of the orders: two batches of one customer queue here.
SELECT l.company, l.customer, l.currency, l.limit_minor
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (company, customer, currency)
JOIN credit_limit l ON l.company = k.company AND l.customer = k.customer AND l.currency = k.currency
ORDER BY l.company, l.customer, l.currency FOR UPDATE OF l;

-- name: open_orders
-- Asked after the locks. A completed order owes nothing.
SELECT o.company, o.customer, o.currency, o.order_position
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (company, customer, currency)
JOIN limited_order o ON o.company = k.company AND o.customer = k.customer AND o.currency = k.currency
WHERE NOT EXISTS (SELECT FROM completion c WHERE c.order_position = o.order_position);
