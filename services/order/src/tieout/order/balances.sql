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
-- One row per order line with the sums of its facts. Each fact table is read once, by its index on the order.
SELECT l.position, l.line_no, l.sku, l.quantity_micro, l.net_minor, l.tax_minor,
    coalesce(s.refused, 0)::bigint, coalesce(s.cancelled, 0)::bigint,
    (coalesce(r.reserved, 0) - coalesce(s.of_reserved, 0) - coalesce(g.from_reserved, 0))::bigint,
    (coalesce(r.back_ordered, 0) - coalesce(s.of_back_ordered, 0))::bigint,
    (coalesce(g.shipped, 0) - coalesce(s.of_issued, 0))::bigint, coalesce(g.net, 0)::bigint, coalesce(g.tax, 0)::bigint,
    coalesce(c.credited, 0)::bigint, coalesce(c.net, 0)::bigint, coalesce(c.tax, 0)::bigint,
    (coalesce(g.shipped, 0) - coalesce(s.of_issued, 0) - coalesce(g.passed, 0))::bigint AS on_way
FROM order_line l
LEFT JOIN (
    SELECT order_position, line_no, sum(quantity_micro) FILTER (WHERE kind = 'refused') AS refused,
        sum(quantity_micro) FILTER (WHERE kind = 'cancelled') AS cancelled,
        sum(of_reserved_micro) AS of_reserved, sum(of_back_ordered_micro) AS of_back_ordered,
        sum(of_issued_micro) AS of_issued
    FROM stop WHERE order_position = ANY($1::bigint[]) GROUP BY 1, 2
) s ON s.order_position = l.position AND s.line_no = l.line_no
LEFT JOIN (
    SELECT order_position, line_no, sum(reserved_micro) AS reserved, sum(back_ordered_micro) AS back_ordered
    FROM reservation WHERE order_position = ANY($1::bigint[]) GROUP BY 1, 2
) r ON r.order_position = l.position AND r.line_no = l.line_no
LEFT JOIN (
    SELECT order_position, line_no, sum(to_micro - from_micro) FILTER (WHERE leaves) AS shipped,
        sum(to_micro - from_micro) FILTER (WHERE passes) AS passed, sum(net_minor) AS net, sum(tax_minor) AS tax,
        sum(to_micro - from_micro) FILTER (WHERE from_reserved) AS from_reserved
    FROM shipped_line WHERE order_position = ANY($1::bigint[]) GROUP BY 1, 2
) g ON g.order_position = l.position AND g.line_no = l.line_no
LEFT JOIN (
    SELECT order_position, order_line_no, sum(quantity_micro) AS credited, sum(net_minor) AS net, sum(tax_minor) AS tax
    FROM credit_line WHERE order_position = ANY($1::bigint[]) AND order_line_no > 0 GROUP BY 1, 2
) c ON c.order_position = l.position AND c.order_line_no = l.line_no
WHERE l.position = ANY($1::bigint[])
ORDER BY l.position, l.line_no;
