-- name: stock_is_its_moves
-- What is on hand, and its value, is the sum of what came and left.
SELECT format('%s %s %s', s.company, s.warehouse, s.sku) AS key, format('%s, value %s, %s moves', s.on_hand_micro, s.value_minor, s.valuation_seq) AS kept,
       format('%s, value %s, %s moves', coalesce(m.quantity, 0), coalesce(m.value, 0), coalesce(m.seq, 0)) AS facts, '' AS detail
FROM stock s LEFT JOIN (
    SELECT stock_id, sum(quantity_micro) AS quantity, sum(value_minor) AS value, count(*) AS seq
    FROM move WHERE stock_id IS NOT NULL GROUP BY stock_id
) m USING (stock_id)
WHERE (s.on_hand_micro, s.value_minor, s.valuation_seq) IS DISTINCT FROM (coalesce(m.quantity, 0), coalesce(m.value, 0), coalesce(m.seq, 0));

-- name: stock_promises_are_their_facts
SELECT format('%s %s %s', s.company, s.warehouse, s.sku) AS key, format('reserved %s, back-ordered %s', s.reserved_micro, s.back_ordered_micro) AS kept,
       format('reserved %s, back-ordered %s', coalesce(r.reserved, 0), coalesce(r.waiting, 0)) AS facts, '' AS detail
FROM stock s LEFT JOIN (
    SELECT stock_id, sum(reserved_micro) AS reserved, sum(back_ordered_micro) AS waiting
    FROM reservation WHERE stock_id IS NOT NULL GROUP BY stock_id
) r USING (stock_id)
WHERE (s.reserved_micro, s.back_ordered_micro) IS DISTINCT FROM (coalesce(r.reserved, 0), coalesce(r.waiting, 0));

-- name: open_lines_are_their_facts
SELECT format('%s line %s', coalesce(l.order_id, r.order_id), coalesce(l.line_no, r.line_no)) AS key,
       format('reserved %s, back-ordered %s', coalesce(l.reserved_micro, 0), coalesce(l.back_ordered_micro, 0)) AS kept,
       format('reserved %s, back-ordered %s', coalesce(r.reserved, 0), coalesce(r.waiting, 0)) AS facts, '' AS detail
FROM open_line l FULL JOIN (
    SELECT order_id, line_no, sum(reserved_micro) AS reserved, sum(back_ordered_micro) AS waiting
    FROM reservation GROUP BY order_id, line_no
) r ON r.order_id = l.order_id AND r.line_no = l.line_no
WHERE (coalesce(l.reserved_micro, 0), coalesce(l.back_ordered_micro, 0)) IS DISTINCT FROM (coalesce(r.reserved, 0), coalesce(r.waiting, 0));

-- name: stock_is_of_the_goods_that_were_ordered
-- A stock that goes by another name would serve, and value, other goods than were sold from it.
SELECT format('%s %s %s', s.company, s.warehouse, s.sku) AS key, format('stock of %s in %s of %s', s.sku, s.warehouse, s.company) AS kept,
       format('ordered was %s in %s of %s', d.sku, d.warehouse, o.company) AS facts, format('%s line %s', o.order_no, d.line_no) AS detail
FROM demand d
JOIN sales_order o ON o.order_id = d.order_id
JOIN stock s ON s.stock_id = d.stock_id
WHERE (s.company, s.warehouse, s.sku) IS DISTINCT FROM (o.company, d.warehouse, d.sku);

-- name: open_line_waits_for_its_own_goods
SELECT format('%s line %s', l.order_id, l.line_no) AS key, format('stock %s, order at %s', l.stock_id, l.order_position) AS kept,
       format('stock %s, order at %s', d.stock_id, d.position) AS facts, '' AS detail
FROM open_line l LEFT JOIN demand d ON d.order_id = l.order_id AND d.line_no = l.line_no
WHERE (l.stock_id, l.order_position) IS DISTINCT FROM (d.stock_id, d.position);

-- name: document_holds_the_number_of_its_paper
-- The anchor is what finds a repetition: a lost or renamed one would let the same receipt count again.
SELECT format('%s %s', s.kind, s.number) AS key, coalesce(format('%s %s of %s, %s', d.kind, d.number, d.source, d.company), 'no document') AS kept,
       format('%s %s of %s, %s', s.kind, s.number, s.source, s.company) AS facts, s.intake_id::text AS detail
FROM submission s LEFT JOIN document d ON d.document_id = s.document_id
WHERE s.outcome = 'accepted' AND (d.kind, d.intake_id, d.company, d.source, d.number) IS DISTINCT FROM (s.kind, s.intake_id, s.company, s.source, s.number);

-- name: order_is_the_sum_of_its_lines
-- What shipments repeat of their order.
SELECT coalesce(o.order_no, d.order_id::text) AS key, format('at %s, net %s, tax %s', o.position, o.net_minor, o.tax_minor) AS kept,
       format('at %s, net %s, tax %s', d.position, d.net, d.tax) AS facts, coalesce(o.company, '') AS detail
FROM (SELECT order_id, min(position) AS position, sum(net_minor) AS net, sum(tax_minor) AS tax FROM demand GROUP BY order_id) d
FULL JOIN (SELECT * FROM sales_order WHERE placed) o ON o.order_id = d.order_id
WHERE (o.position, o.net_minor, o.tax_minor) IS DISTINCT FROM (d.position, d.net, d.tax);

-- name: every_line_is_accounted_for
-- ordered - stopped = shipped - recalled + reserved + back-ordered, for every line of every placed order.
-- Nearly every line has one counterpart that is as large as itself. Least, greatest and count see that for less than
-- sums, which are numeric; only the lines that this leaves open are added up.
WITH unsettled AS MATERIALIZED (
    SELECT position, line_no FROM (
        SELECT position, line_no, quantity_micro AS part FROM demand
        UNION ALL SELECT order_position, line_no, from_micro - to_micro FROM move WHERE kind IN ('issue', 'service')
        UNION ALL SELECT order_position, line_no, -quantity_micro FROM stop
        UNION ALL SELECT order_position, line_no, -quantity_micro FROM transit WHERE kind = 'recalled'
        UNION ALL SELECT d.position, l.line_no, -l.reserved_micro - l.back_ordered_micro
            FROM open_line l JOIN demand d ON d.order_id = l.order_id AND d.line_no = l.line_no) parts
    GROUP BY 1, 2 HAVING count(part) <> 2 OR min(part) <> -max(part)
)
SELECT format('%s line %s', o.order_no, d.line_no) AS key, format('ordered %s - stopped %s', d.quantity_micro, coalesce(t.stopped, 0)) AS kept,
       format('shipped %s + reserved %s + back-ordered %s', coalesce(m.shipped, 0), coalesce(l.reserved_micro, 0), coalesce(l.back_ordered_micro, 0)) AS facts,
       o.order_id::text AS detail
FROM unsettled u
JOIN demand d ON d.position = u.position AND d.line_no = u.line_no
LEFT JOIN sales_order o ON o.order_id = d.order_id
LEFT JOIN open_line l ON l.order_id = d.order_id AND l.line_no = d.line_no
LEFT JOIN (SELECT order_position, line_no, sum(to_micro - from_micro) AS shipped FROM move
           WHERE kind IN ('issue', 'service') AND (order_position, line_no) IN (SELECT position, line_no FROM unsettled) GROUP BY 1, 2) m
    ON m.order_position = d.position AND m.line_no = d.line_no
LEFT JOIN (SELECT order_position, line_no, sum(quantity_micro) AS stopped FROM stop GROUP BY 1, 2) t
    ON t.order_position = d.position AND t.line_no = d.line_no
LEFT JOIN (SELECT order_position, line_no, -sum(quantity_micro) AS recalled FROM transit WHERE kind = 'recalled' GROUP BY 1, 2) r
    ON r.order_position = d.position AND r.line_no = d.line_no
WHERE d.quantity_micro - coalesce(t.stopped, 0) + coalesce(r.recalled, 0)
   <> coalesce(m.shipped, 0) + coalesce(l.reserved_micro, 0) + coalesce(l.back_ordered_micro, 0);

-- name: on_its_way_is_what_left_and_did_not_arrive
-- Where control passes at delivery: nothing below zero, nothing worth something without goods, and each event moved
-- exactly what it says: what was sent has left stock, what was recalled is back.
SELECT format('%s line %s', coalesce(o.order_no, t.order_id::text), t.line_no) AS key, format('on its way %s, cost %s', t.quantity, t.value) AS kept,
       format('left and not back %s, cost %s, delivered %s', coalesce(m.gone, 0), coalesce(m.value, 0), coalesce(m.delivered, 0)) AS facts, '' AS detail
FROM (
    SELECT order_position, line_no, order_id, sum(quantity_micro) AS quantity, sum(value_minor) AS value,
           -coalesce(sum(value_minor) FILTER (WHERE kind = 'delivered'), 0) AS delivered_value,
           -coalesce(sum(quantity_micro) FILTER (WHERE kind = 'recalled'), 0) AS recalled
    FROM transit GROUP BY 1, 2, 3
) t
LEFT JOIN sales_order o ON o.order_id = t.order_id
LEFT JOIN (
    SELECT order_position, coalesce(order_line_no, line_no) AS line_no,
           coalesce(sum(to_micro - from_micro) FILTER (WHERE kind IN ('issue', 'service')), 0) AS gone,
           -coalesce(sum(value_minor) FILTER (WHERE kind IN ('issue', 'recall')), 0) AS value,
           coalesce(sum(to_micro - from_micro) FILTER (WHERE kind = 'delivery'), 0) AS delivered
    FROM move WHERE order_position IS NOT NULL GROUP BY 1, 2
) m ON m.order_position = t.order_position AND m.line_no = t.line_no
WHERE t.quantity < 0 OR (t.quantity = 0 AND t.value <> 0) OR o.at_delivery IS NOT true
   OR t.quantity <> coalesce(m.gone, 0) - coalesce(m.delivered, 0) - t.recalled
   OR t.value <> coalesce(m.value, 0) - t.delivered_value;

-- name: returned_within_shipped
-- Both meet in a GROUP BY, not in a join: an order of ten thousand lines that all came back would be read for each of them.
SELECT format('%s line %s', document_no, line_no) AS key, format('returned %s', returned) AS kept, format('shipped %s', shipped) AS facts, '' AS detail
FROM (
    SELECT order_position, line_no, sum(returned) AS returned, sum(shipped) AS shipped, max(document_no) AS document_no
    FROM (SELECT order_position, order_line_no AS line_no, quantity_micro AS returned, 0 AS shipped, document_no
          FROM move WHERE kind = 'return' AND order_position IS NOT NULL
          UNION ALL
          SELECT order_position, line_no, 0, to_micro - from_micro, NULL
          FROM move WHERE kind = 'issue'
              AND order_position = ANY (ARRAY(SELECT DISTINCT r.order_position FROM move r WHERE r.kind = 'return' AND r.order_position IS NOT NULL))) x
    GROUP BY 1, 2
) m
WHERE returned > shipped;

-- name: scrap_is_what_came_back
-- Each was the return before it: the same goods at the same value, in the same period.
SELECT s.document_no AS key, format('scrapped %s, value %s', s.quantity_micro, s.value_minor) AS kept,
       coalesce(format('returned %s, value %s', r.quantity_micro, r.value_minor), 'nothing came back') AS facts, format('move %s of stock %s', s.seq, s.stock_id) AS detail
FROM move s LEFT JOIN move r ON r.stock_id = s.stock_id AND r.seq = s.seq - 1 AND r.kind = 'return'
WHERE s.kind = 'scrap' AND (r.quantity_micro, r.value_minor, r.period) IS DISTINCT FROM (-s.quantity_micro, -s.value_minor, s.period);

-- name: empty_stock_is_worth_nothing
SELECT format('%s %s %s', company, warehouse, sku) AS key, format('on hand 0, value %s', value_minor) AS kept, 'value 0' AS facts, '' AS detail
FROM stock WHERE on_hand_micro = 0 AND value_minor <> 0;

-- name: layers_are_the_stock
-- FIFO: the layers add up to quantity and value while there is any stock, and are none below zero.
SELECT format('%s %s %s', s.company, s.warehouse, s.sku) AS key, format('%s, value %s', l.quantity, l.value) AS kept,
       format('%s, value %s', greatest(s.on_hand_micro, 0), CASE WHEN s.on_hand_micro > 0 THEN s.value_minor ELSE 0 END) AS facts, '' AS detail
FROM stock s CROSS JOIN LATERAL (
    SELECT coalesce(sum(x) FILTER (WHERE i % 2 = 1), 0) AS quantity, coalesce(sum(x) FILTER (WHERE i % 2 = 0), 0) AS value
    FROM unnest(s.layers) WITH ORDINALITY AS u (x, i)
) l
WHERE s.layers IS NOT NULL
  AND (l.quantity, l.value) IS DISTINCT FROM (greatest(s.on_hand_micro, 0)::numeric, CASE WHEN s.on_hand_micro > 0 THEN s.value_minor ELSE 0 END::numeric);

-- name: valuation_is_the_sum_of_its_moves
-- What a stock was left with by its last valuation is all that moved up to then, in its period and before.
SELECT format('%s %s %s, %s', s.company, s.warehouse, s.sku, v.period) AS key, format('%s, value %s', v.quantity, v.value) AS kept,
       format('%s, value %s', m.quantity, m.value) AS facts, 'closing stock' AS detail
FROM (
    SELECT DISTINCT ON (stock_id) stock_id, period, upto_seq,
           opening_micro + came_micro - (SELECT coalesce(sum(x), 0) FROM unnest(gone_micro) x) AS quantity,
           opening_minor + came_minor - (SELECT coalesce(sum(x), 0) FROM unnest(gone_minor) x) AS value
    FROM valuation ORDER BY stock_id, period DESC, ordinal DESC
) v
JOIN stock s USING (stock_id)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(m.quantity_micro), 0) AS quantity, coalesce(sum(m.value_minor), 0) AS value
    FROM move m WHERE m.stock_id = v.stock_id AND m.seq <= v.upto_seq AND (
        m.period <= v.period OR EXISTS (SELECT FROM valuation w WHERE w.stock_id = m.stock_id AND m.seq BETWEEN w.first_seq AND w.upto_seq))
) m
WHERE (v.quantity, v.value) IS DISTINCT FROM (m.quantity, m.value);

-- name: valuation_is_the_average_of_its_period
SELECT format('%s %s %s, %s', s.company, s.warehouse, s.sku, v.period) AS key, format('what left is worth %s', v.cost) AS kept,
       format('%s of %s, which are worth %s', v.quantity, v.available, v.worth) AS facts, format('valued the %s. time', v.ordinal) AS detail
FROM (
    SELECT stock_id, period, ordinal, (opening_micro + came_micro)::numeric AS available, (opening_minor + came_minor)::numeric AS worth,
           (SELECT coalesce(sum(x), 0) FROM unnest(gone_micro) x) AS quantity, (SELECT coalesce(sum(x), 0) FROM unnest(gone_minor) x) AS cost
    FROM valuation
) v JOIN stock s USING (stock_id)
WHERE v.available > 0
  AND v.cost <> CASE WHEN v.quantity = v.available THEN v.worth ELSE div(2 * v.worth * v.quantity + v.available, 2 * v.available) END;

-- name: last_average_is_that_of_its_moves
-- What a stock was worth just before it last ran out; or, where goods came in below zero, what those were worth.
SELECT format('%s %s %s', s.company, s.warehouse, s.sku) AS key, format('%s, value %s', s.last_quantity_micro, s.last_value_minor) AS kept,
       format('%s, value %s', coalesce(l.quantity, 0), coalesce(l.value, 0)) AS facts, '' AS detail
FROM stock s LEFT JOIN (
    SELECT DISTINCT ON (stock_id) stock_id,
        CASE WHEN quantity_micro < 0 THEN before ELSE quantity_micro END AS quantity, CASE WHEN quantity_micro < 0 THEN worth ELSE value_minor END AS value
    FROM (
        SELECT stock_id, seq, quantity_micro, value_minor, kind, lead(kind) OVER (PARTITION BY stock_id ORDER BY seq) AS next_kind, sum(quantity_micro) OVER sofar - quantity_micro AS before, sum(value_minor) OVER sofar - value_minor AS worth
        FROM move WHERE stock_id IS NOT NULL WINDOW sofar AS (PARTITION BY stock_id ORDER BY seq)
    ) m
    WHERE ((quantity_micro < 0 AND before > 0 AND before + quantity_micro <= 0) OR (quantity_micro > 0 AND before < 0))
        AND kind <> 'scrap' AND (kind <> 'return' OR next_kind IS DISTINCT FROM 'scrap')  -- What came and went in one breath is no average.
    ORDER BY stock_id, seq DESC
) l USING (stock_id)
WHERE (s.last_quantity_micro, s.last_value_minor) IS DISTINCT FROM (coalesce(l.quantity, 0), coalesce(l.value, 0));

-- name: open_line_waits_since_its_first_promise
-- An earlier place in the queue takes goods from those who waited longer.
SELECT format('%s line %s', l.order_id, l.line_no) AS key, l.since::text AS kept, min(r.position)::text AS facts, '' AS detail
FROM open_line l LEFT JOIN reservation r ON r.order_position = l.order_position AND r.order_id = l.order_id AND r.line_no = l.line_no AND r.kind = 'promise'
GROUP BY l.order_id, l.line_no, l.since HAVING l.since IS DISTINCT FROM min(r.position);
