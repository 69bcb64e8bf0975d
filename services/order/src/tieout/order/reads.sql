-- name: by_number
-- Several companies or satellites may use the same number.
SELECT position, order_id, company, source, order_no, customer, currency, business_date, placed_at, net_minor, tax_minor
FROM order_header
WHERE order_no = $1 AND ($2 = '' OR company = $2) AND ($3 = '' OR source = $3)
ORDER BY position LIMIT 20;

-- name: page
-- Newest first; the position is the cursor.
SELECT position, order_id, company, source, order_no, customer, currency, business_date, placed_at, net_minor, tax_minor
FROM order_header h
WHERE ($1 = 0 OR position < $1) AND ($2 = '' OR company = $2) AND ($3 = '' OR source = $3) AND ($4 = '' OR customer = $4)
    AND (NOT $5 OR NOT EXISTS (SELECT FROM completion c WHERE c.order_position = h.position))
ORDER BY position DESC LIMIT $6;

-- name: line_texts
SELECT line_no, kind, account, warehouse, uom FROM order_line WHERE position = $1;

-- name: returned
-- What warehouses took back of each line of the order.
SELECT l.order_line_no, sum(t.quantity_micro)::bigint
FROM credit_line l JOIN taken_back t ON t.credit_position = l.position AND t.line_no = l.line_no
WHERE l.order_position = $1 AND l.order_line_no > 0 GROUP BY 1;

-- name: cancellations
SELECT c.number, c.cancel_id, c.requested_at, c.reason, coalesce(sum(l.quantity_micro), 0)::bigint AS quantity
FROM cancellation c LEFT JOIN cancellation_line l USING (position)
WHERE c.order_position = $1
GROUP BY c.position ORDER BY c.position;

-- name: credits
SELECT n.credit_no, n.credit_id, n.credited_at, n.reason, sum(l.quantity_micro)::bigint AS quantity,
    sum(l.net_minor)::bigint AS net, sum(l.tax_minor)::bigint AS tax
FROM credit_line l JOIN credit_note n USING (position)
WHERE l.order_position = $1
GROUP BY n.position ORDER BY n.position;

-- name: outcomes
SELECT company, source, to_char(business_date, 'YYYY-MM') AS month, kind, outcome, reason, count(*) AS documents,
    sum(line_count) AS lines, sum(quantity_micro) AS quantity, sum(amount_minor) AS amount,
    sum(rounding_micro) AS rounding
FROM submission
WHERE ($1 = '' OR company = $1) AND ($2 = '' OR source = $2)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6;

-- name: anchored
-- What stands under an id: an order, a cancellation or a credit note.
SELECT position FROM anchor WHERE id = $1;

-- name: trail
-- Everything that is known of an order, as (time, step, document, event kind, event key, quantity, amount, detail).
SELECT placed_at AS at, 'placed' AS step, order_no AS document, 'order.placed.v1' AS kind, order_id::text AS key,
    (SELECT sum(quantity_micro)::bigint FROM order_line l WHERE l.position = h.position) AS quantity,
    net_minor + tax_minor AS amount,
    concat_ws(', ', CASE WHEN at_delivery THEN 'sold when delivered' END,
        (SELECT trim_scale(sum(quantity_micro) / 1000000.0) || ' of them carriage or another service'
         FROM order_line l WHERE l.position = h.position AND l.kind = 'service')) AS detail
FROM order_header h WHERE position = $1
UNION ALL
SELECT min(noted_at), 'reservation noted', '', '', '', sum(reserved_micro)::bigint, 0,
    CASE WHEN sum(back_ordered_micro) > 0 THEN 'back-ordered ' || trim_scale(sum(back_ordered_micro) / 1000000.0) ELSE '' END
FROM reservation WHERE order_position = $1 GROUP BY position
UNION ALL
SELECT min(noted_at), min(kind) || ' noted', '', '', '', sum(quantity_micro)::bigint, 0,
    concat_ws(', ', CASE WHEN sum(of_issued_micro) > 0 THEN trim_scale(sum(of_issued_micro) / 1000000.0) || ' stopped on the way' END,
        CASE WHEN sum(too_late_micro) > 0 THEN 'too late for ' || trim_scale(sum(too_late_micro) / 1000000.0) END)
FROM stop WHERE order_position = $1 GROUP BY position
UNION ALL
SELECT min(noted_at), CASE WHEN bool_and(leaves) THEN 'shipment noted' ELSE 'delivery noted' END, '', '', '',
    sum(to_micro - from_micro)::bigint, sum(net_minor + tax_minor)::bigint, CASE WHEN bool_and(passes) THEN '' ELSE 'on its way, billed when delivered' END
FROM shipped_line WHERE order_position = $1 GROUP BY position
UNION ALL
SELECT requested_at, 'cancellation requested', number, 'order.cancel_requested.v1', cancel_id::text,
    (SELECT coalesce(sum(quantity_micro), 0)::bigint FROM cancellation_line l WHERE l.position = c.position), 0, reason
FROM cancellation c WHERE order_position = $1
UNION ALL
SELECT n.credited_at, 'credited', n.credit_no, 'order.returned.v1', n.credit_id::text, sum(l.quantity_micro)::bigint,
    sum(l.net_minor + l.tax_minor)::bigint, n.reason
FROM credit_line l JOIN credit_note n USING (position) WHERE l.order_position = $1 GROUP BY n.position
UNION ALL
SELECT settled_at, CASE WHEN amount_minor = 0 THEN 'money held noted' ELSE 'settlement noted' END, document_no, '', '', 0,
    CASE WHEN amount_minor = 0 THEN held_minor ELSE amount_minor END, cause
FROM settlement WHERE order_position = $1
UNION ALL
SELECT c.completed_at, 'completed', '', 'order.completed.v1', h.order_id::text, 0, 0, ''
FROM completion c JOIN order_header h ON h.position = c.order_position WHERE c.order_position = $1
ORDER BY 1, 2;

-- name: credit_trail
-- A credit note by itself: unlinked, or asked for by its own id.
SELECT n.credited_at AS at, 'credited' AS step, n.credit_no AS document, 'order.returned.v1' AS kind,
    n.credit_id::text AS key, sum(l.quantity_micro)::bigint AS quantity, sum(l.net_minor + l.tax_minor)::bigint AS amount,
    n.reason AS detail, n.currency
FROM credit_note n JOIN credit_line l USING (position) WHERE n.position = $1 GROUP BY n.position
UNION ALL
SELECT min(noted_at), 'goods taken back noted', '', '', '', sum(quantity_micro)::bigint, 0, '', ''
FROM taken_back WHERE credit_position = $1 GROUP BY position
ORDER BY 1;

-- name: without_effect
-- Submissions of a journey that changed nothing: the order itself again, or a cancellation or credit of it.
SELECT submitted_at, number, outcome, reason, detail, intake_id, position, kind FROM submission
WHERE chain_id = $1 AND outcome <> 'accepted' ORDER BY position;

-- name: currency
SELECT currency FROM order_header WHERE position = $1;
