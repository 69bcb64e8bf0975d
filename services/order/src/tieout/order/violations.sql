-- name: header_is_the_sum_of_its_lines
SELECT h.order_no AS key, (h.net_minor + h.tax_minor)::text AS kept,
    coalesce(sum(l.net_minor + l.tax_minor), 0)::text AS facts, 'company ' || h.company || ', source ' || h.source AS detail
FROM order_header h LEFT JOIN order_line l USING (position)
GROUP BY h.position HAVING h.net_minor IS DISTINCT FROM sum(l.net_minor) OR h.tax_minor IS DISTINCT FROM sum(l.tax_minor);

-- name: anchor_points_at_its_document
-- The id under which a document is locked leads to its facts, and to no other's: it is what finds a repetition.
SELECT coalesce(d.number, a.id::text) AS key, coalesce(a.position::text, 'nowhere') AS kept,
    coalesce(d.position::text, 'nowhere') AS facts, coalesce(d.kind, 'no document') AS detail
FROM (SELECT order_id AS id, position, order_no AS number, 'order' AS kind FROM order_header
      UNION ALL SELECT cancel_id, position, number, 'cancellation' FROM cancellation
      UNION ALL SELECT credit_id, position, credit_no, 'credit note' FROM credit_note) d
FULL JOIN anchor a ON a.id = d.id
WHERE a.position IS DISTINCT FROM d.position;

-- name: accepted_order_has_its_submission
SELECT h.order_no AS key, 'placed' AS kept, 'no accepted submission' AS facts, 'company ' || h.company AS detail
FROM order_header h
WHERE NOT EXISTS (SELECT FROM submission s WHERE s.document_id = h.order_id AND s.outcome = 'accepted');

-- name: shipped_and_stopped_within_ordered
-- ordered = shipped + stopped + what is still open, and that is never negative. Stopped on the way: it had left.
SELECT order_no_at(l.position) AS key, l.quantity_micro::text AS kept,
    (coalesce(g.shipped, 0) + coalesce(s.stopped, 0))::text AS facts, 'line ' || l.line_no AS detail
FROM order_line l
LEFT JOIN (SELECT order_position, line_no, sum(to_micro - from_micro) AS shipped FROM shipped_line WHERE leaves GROUP BY 1, 2) g
    ON g.order_position = l.position AND g.line_no = l.line_no
LEFT JOIN (SELECT order_position, line_no, sum(quantity_micro - of_issued_micro) AS stopped FROM stop GROUP BY 1, 2) s
    ON s.order_position = l.position AND s.line_no = l.line_no
WHERE coalesce(g.shipped, 0) + coalesce(s.stopped, 0) > l.quantity_micro;

-- name: delivered_and_stopped_within_what_left
-- Where control passes at delivery: nothing passes that has not left, and nothing passes at issue. Elsewhere all does.
SELECT order_no_at(g.order_position) AS key, format('passed %s, stopped on the way %s', g.passed, coalesce(s.of_issued, 0)) AS kept,
    format('left %s', g.gone) AS facts, 'line ' || g.line_no AS detail
FROM (SELECT order_position, line_no, coalesce(sum(to_micro - from_micro) FILTER (WHERE leaves), 0) AS gone,
          coalesce(sum(to_micro - from_micro) FILTER (WHERE passes), 0) AS passed, bool_or(leaves AND passes) AS at_once
      FROM shipped_line GROUP BY 1, 2) g
JOIN order_header h ON h.position = g.order_position
LEFT JOIN (SELECT order_position, line_no, sum(of_issued_micro) AS of_issued FROM stop GROUP BY 1, 2) s
    ON s.order_position = g.order_position AND s.line_no = g.line_no
WHERE g.passed + coalesce(s.of_issued, 0) > g.gone OR coalesce(g.at_once, false) = h.at_delivery;

-- name: billed_is_the_shipped_part_of_its_line
-- A(to) - A(from) with A(q) = half_up(amount * q / ordered); what is on its way is billed with nothing.
SELECT order_no_at(s.order_position) AS key, s.net_minor || ' + ' || s.tax_minor AS kept,
    div(2 * l.net_minor::numeric * s.to_micro + l.quantity_micro, 2 * l.quantity_micro)
        - div(2 * l.net_minor::numeric * s.from_micro + l.quantity_micro, 2 * l.quantity_micro) || ' + ' ||
    div(2 * l.tax_minor::numeric * s.to_micro + l.quantity_micro, 2 * l.quantity_micro)
        - div(2 * l.tax_minor::numeric * s.from_micro + l.quantity_micro, 2 * l.quantity_micro) AS facts,
    'line ' || s.line_no AS detail
FROM shipped_line s JOIN order_line l ON l.position = s.order_position AND l.line_no = s.line_no
WHERE NOT s.passes AND (s.net_minor <> 0 OR s.tax_minor <> 0) OR s.passes AND (s.net_minor <> div(2 * l.net_minor::numeric * s.to_micro + l.quantity_micro, 2 * l.quantity_micro)
        - div(2 * l.net_minor::numeric * s.from_micro + l.quantity_micro, 2 * l.quantity_micro)
    OR s.tax_minor <> div(2 * l.tax_minor::numeric * s.to_micro + l.quantity_micro, 2 * l.quantity_micro)
        - div(2 * l.tax_minor::numeric * s.from_micro + l.quantity_micro, 2 * l.quantity_micro));

-- name: credited_within_billed_and_returned_within_shipped
SELECT order_no_at(c.order_position) AS key, c.net || ' + ' || c.tax || ', quantity ' || c.quantity AS kept,
    coalesce(s.net, 0) || ' + ' || coalesce(s.tax, 0) || ', quantity ' || coalesce(s.quantity, 0) AS facts,
    'line ' || c.order_line_no AS detail
FROM (SELECT order_position, order_line_no, sum(net_minor) AS net, sum(tax_minor) AS tax, sum(quantity_micro) AS quantity
      FROM credit_line WHERE order_position IS NOT NULL AND order_line_no > 0 GROUP BY 1, 2) c
LEFT JOIN (SELECT order_position, line_no, sum(net_minor) AS net, sum(tax_minor) AS tax,
               sum(to_micro - from_micro) FILTER (WHERE passes) AS quantity FROM shipped_line GROUP BY 1, 2) s
    ON s.order_position = c.order_position AND s.line_no = c.order_line_no
WHERE c.net > coalesce(s.net, 0) OR c.tax > coalesce(s.tax, 0) OR c.quantity > coalesce(s.quantity, 0);
