-- name: noted
-- Events whose facts stand here already; each kind of event is looked for in its own table only.
-- Shipments one by one, and so the lines below: before it has statistics the planner would rather read a whole table.
SELECT s.position FROM unnest($1::bigint[]) AS k (position)
CROSS JOIN LATERAL (SELECT l.position FROM shipped_line l WHERE l.position = k.position LIMIT 1) s
UNION ALL SELECT position FROM reservation WHERE position = ANY($2::bigint[])
UNION ALL SELECT position FROM stop WHERE position = ANY($3::bigint[])
UNION ALL SELECT position FROM taken_back WHERE position = ANY($4::bigint[]);

-- name: own_lines
-- What was sold, by our own books: amounts are computed from these, not from what the event carries along.
SELECT o.position, o.line_no, o.quantity_micro, o.net_minor, o.tax_minor FROM unnest($1::bigint[]) AS k (position)
CROSS JOIN LATERAL (SELECT * FROM order_line l WHERE l.position = k.position OFFSET 0) o;
