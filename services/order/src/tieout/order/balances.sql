-- name: orders
-- One row per order: what is true of it as a whole. Money that names no line is summed here.
SELECT h.position, h.order_id, h.company, h.order_no, h.currency, h.rate_micro,
    coalesce(m.received, 0)::bigint AS received, coalesce(m.refunded, 0)::bigint AS refunded,
    coalesce(m.held, 0)::bigint AS held, coalesce(m.came, 0)::bigint AS came, coalesce(m.went, 0)::bigint AS went,
    coalesce(c.loose, 0)::bigint AS loose, d.order_position IS NOT NULL AS completed, h.at_delivery
FROM order_header h
LEFT JOIN completion d ON d.order_position = h.position
LEFT JOIN (
    SELECT order_position, sum(amount_minor) FILTER (WHERE amount_minor > 0) AS received,
        -sum(amount_minor) FILTER (WHERE amount_minor < 0) AS refunded, sum(held_minor) AS held,
        sum(greatest(amount_minor + held_minor, 0)) AS came, -sum(least(amount_minor + held_minor, 0)) AS went
    FROM settlement WHERE order_position = ANY($1::bigint[]) GROUP BY 1
) m ON m.order_position = h.position
LEFT JOIN (
    SELECT order_position, sum(net_minor + tax_minor) AS loose
    FROM credit_line WHERE order_position = ANY($1::bigint[]) AND order_line_no = 0 GROUP BY 1
) c ON c.order_position = h.position
WHERE h.position = ANY($1::bigint[]);

-- name: lines
-- One row per order line with the sums of its facts. Each fact table is read once, by its index on the order. They meet in a
-- GROUP BY and not in joins: with statistics of short orders these were nested loops, 18 s for an order of ten thousand lines.
SELECT position, line_no, max(sku), max(quantity_micro), max(net_minor), max(tax_minor),
    coalesce(sum(refused), 0)::bigint, coalesce(sum(cancelled), 0)::bigint, coalesce(sum(reserved), 0)::bigint,
    coalesce(sum(back_ordered), 0)::bigint, coalesce(sum(shipped), 0)::bigint, coalesce(sum(net), 0)::bigint, coalesce(sum(tax), 0)::bigint,
    coalesce(sum(credited), 0)::bigint, coalesce(sum(credited_net), 0)::bigint, coalesce(sum(credited_tax), 0)::bigint,
    coalesce(sum(on_way), 0)::bigint
FROM (
    SELECT position, line_no, sku, quantity_micro, net_minor, tax_minor, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint
    FROM order_line WHERE position = ANY($1::bigint[])
    UNION ALL
    SELECT order_position, line_no, NULL, NULL, NULL, NULL,
        CASE kind WHEN 'refused' THEN quantity_micro END, CASE kind WHEN 'cancelled' THEN quantity_micro END,
        -of_reserved_micro, -of_back_ordered_micro, -of_issued_micro, NULL, NULL, NULL, NULL, NULL, -of_issued_micro
    FROM stop WHERE order_position = ANY($1::bigint[])
    UNION ALL
    SELECT order_position, line_no, NULL, NULL, NULL, NULL, NULL, NULL, reserved_micro, back_ordered_micro,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM reservation WHERE order_position = ANY($1::bigint[])
    UNION ALL
    SELECT order_position, line_no, NULL, NULL, NULL, NULL, NULL, NULL,
        CASE WHEN from_reserved THEN from_micro - to_micro END, NULL, CASE WHEN leaves THEN to_micro - from_micro END,
        net_minor, tax_minor, NULL, NULL, NULL, (to_micro - from_micro) * (leaves::integer - passes::integer)
    FROM shipped_line WHERE order_position = ANY($1::bigint[])
    UNION ALL
    SELECT order_position, order_line_no, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        quantity_micro, net_minor, tax_minor, NULL
    FROM credit_line WHERE order_position = ANY($1::bigint[]) AND order_line_no > 0
) x (position, line_no, sku, quantity_micro, net_minor, tax_minor, refused, cancelled, reserved, back_ordered, shipped, net, tax,
    credited, credited_net, credited_tax, on_way)
GROUP BY position, line_no HAVING max(sku) IS NOT NULL
ORDER BY position, line_no;
