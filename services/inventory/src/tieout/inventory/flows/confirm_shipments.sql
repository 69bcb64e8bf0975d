-- name: stopped_reservations
-- Which cancellations stopped what was reserved, and the number of their next announcement; the latest first.
SELECT t.order_position, t.line_no, c.cancel_id,
       (SELECT max(a.ordinal) + 1 FROM cancellation a WHERE a.cancel_id = c.cancel_id) AS next_ordinal, sum(t.reserved_micro)::bigint
FROM stop t JOIN cancellation c ON c.position = t.position
WHERE t.order_position = ANY($1::bigint[])
GROUP BY t.order_position, t.line_no, c.cancel_id
HAVING sum(t.reserved_micro) > 0
ORDER BY t.order_position, t.line_no, max(t.position) DESC;
