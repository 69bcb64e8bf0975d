-- name: shipments_of
-- What left with which shipment of these orders; a shipment is one announced event, counted from 1.
SELECT order_position, ordinal, line_no, (to_micro - from_micro)
FROM (
    SELECT order_position, line_no, kind, from_micro, to_micro,
           dense_rank() OVER (PARTITION BY order_position ORDER BY position) AS ordinal
    FROM move WHERE order_position = ANY($1::bigint[]) AND kind IN ('issue', 'service')
) m;
