-- name: insert_orders
-- Nearly always the first we hear of an order; those that are there already are locked and looked at one by one.
INSERT INTO open_item (item_id, currency, company, customer, source, order_no, of_order, order_net, order_tax, rate_micro, business_date, due_days, lines)
SELECT item_id, currency, company, customer, source, order_no, true, order_net, order_tax, rate_micro, business_date, due_days, lines::bigint[]
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::date[], $11::integer[], $12::text[])
    AS n (item_id, currency, company, customer, source, order_no, order_net, order_tax, rate_micro, business_date, due_days, lines)
ON CONFLICT DO NOTHING RETURNING item_id, currency;

-- name: complete_orders
UPDATE open_item o SET business_date = n.business_date, due_days = n.due_days, order_no = n.order_no, source = n.source, customer = n.customer,
    lines = n.lines::bigint[]
FROM unnest($1::uuid[], $2::text[], $3::date[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[])
    AS n (item_id, currency, business_date, due_days, order_no, source, customer, lines)
WHERE o.item_id = n.item_id AND o.currency = n.currency COLLATE "C";
