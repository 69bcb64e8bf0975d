-- name: place_orders
-- Anchors and heads in one: locks each order, and answers only those that were not placed before. A cancellation that
-- came first has left its row here, so the two cannot miss each other.
INSERT INTO sales_order AS o (order_id, placed, position, company, source, order_no, customer, currency, business_date, due_days, rate_micro, net_minor, tax_minor, at_delivery)
SELECT order_id, true, position, company, source, order_no, customer, currency, business_date, due_days, rate_micro, net_minor, tax_minor, at_delivery
FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::date[], $9::integer[], $10::bigint[], $11::bigint[], $12::bigint[], $13::boolean[])
     AS n (order_id, position, company, source, order_no, customer, currency, business_date, due_days, rate_micro, net_minor, tax_minor, at_delivery)
ORDER BY order_id
ON CONFLICT (order_id) DO UPDATE SET
    placed = true, position = excluded.position, company = excluded.company, source = excluded.source, order_no = excluded.order_no,
    customer = excluded.customer, currency = excluded.currency, business_date = excluded.business_date, due_days = excluded.due_days,
    rate_micro = excluded.rate_micro, net_minor = excluded.net_minor, tax_minor = excluded.tax_minor, at_delivery = excluded.at_delivery
WHERE NOT o.placed
RETURNING o.order_id, coalesce(old.cancel_waits, false);
