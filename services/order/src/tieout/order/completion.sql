-- name: touched_by_money
-- An order that nobody paid and nothing was credited of still owes all that was billed; it need not be looked at.
SELECT order_position FROM settlement WHERE order_position = ANY($1::bigint[])
UNION SELECT order_position FROM credit_line WHERE order_position = ANY($1::bigint[]);
