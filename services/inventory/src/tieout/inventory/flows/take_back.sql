-- name: taken_back
-- Asked after the locks: the same credit note may have come before.
SELECT DISTINCT credit_id FROM take_back WHERE credit_id = ANY($1::uuid[]);

-- name: moves_of
-- What left of these orders, part by part in the order it left, and what has come back.
SELECT order_position, coalesce(order_line_no, line_no), kind, quantity_micro, value_minor
FROM move WHERE order_position = ANY($1::bigint[]) AND kind IN ('issue', 'return')
ORDER BY order_position, from_micro;

-- name: delivered_of
-- Of orders whose control passes at delivery: what was delivered, part by part.
SELECT order_position, line_no, -quantity_micro, -value_minor
FROM transit WHERE order_position = ANY($1::bigint[]) AND kind = 'delivered' ORDER BY order_position, position;
