-- name: noted
-- Events whose facts stand here already; each kind of event is looked for in its own table only.
SELECT position FROM shipped_line WHERE position = ANY($1::bigint[])
UNION ALL SELECT position FROM reservation WHERE position = ANY($2::bigint[])
UNION ALL SELECT position FROM stop WHERE position = ANY($3::bigint[])
UNION ALL SELECT position FROM taken_back WHERE position = ANY($4::bigint[]);

-- name: own_lines
-- What was sold, by our own books: amounts are computed from these, not from what the event carries along.
SELECT position, line_no, quantity_micro, net_minor, tax_minor FROM order_line WHERE position = ANY($1::bigint[]);
