-- name: list_warehouses
SELECT company, warehouse, stock_policy, fulfilment, method, name FROM warehouse
WHERE company = $1 OR $1 = '' ORDER BY company, warehouse;

-- name: list_stock
SELECT s.company, s.warehouse, s.sku, s.on_hand_micro, s.reserved_micro, s.back_ordered_micro, s.on_hand_micro - s.reserved_micro,
       s.value_minor, coalesce(c.currency, ''), s.valuation_seq
FROM stock s LEFT JOIN company c ON c.company = s.company
WHERE ($1 = '' OR s.company = $1) AND ($2 = '' OR s.warehouse = $2) AND ($3 = '' OR s.sku = $3)
  AND (NOT $4::boolean OR s.back_ordered_micro > 0)
  AND (s.company, s.warehouse, s.sku) > ($5, $6, $7)
ORDER BY s.company, s.warehouse, s.sku LIMIT $8;

-- name: list_moves
SELECT m.position, m.line_no, m.kind, s.company, s.warehouse, s.sku, m.quantity_micro, m.value_minor, m.seq, m.document_no,
       m.business_date, m.period, m.recorded_at
FROM move m JOIN stock s ON s.stock_id = m.stock_id
WHERE ($1 = '' OR s.company = $1) AND ($2 = '' OR s.warehouse = $2) AND ($3 = '' OR s.sku = $3)
  AND ($4 = '' OR m.document_no = $4) AND (m.position, m.line_no) > ($5, $6)
ORDER BY m.position, m.line_no LIMIT $7;

-- name: outcomes_of_order_lines
-- Of a line, first what is the customer's, then what is on its way to him, then what is reserved, then what waits, last
-- what was stopped: so its amount splits
-- without rest, by A(q) = half_up(amount * q / ordered).
WITH line AS (
    SELECT d.position, d.line_no, o.company, o.source, to_char(o.business_date, 'YYYY-MM') AS month, o.currency,
           d.quantity_micro::numeric AS ordered, d.net_minor::numeric AS net, d.tax_minor::numeric AS tax,
           coalesce(l.reserved_micro, 0)::numeric AS reserved, coalesce(l.back_ordered_micro, 0)::numeric AS waiting, coalesce(w.on_way, 0) AS on_way,
           coalesce(t.refused, 0) AS refused, coalesce(t.cancelled, 0) AS cancelled, o.order_id
    FROM demand d
    JOIN sales_order o ON o.order_id = d.order_id
    LEFT JOIN open_line l ON l.order_id = d.order_id AND l.line_no = d.line_no
    LEFT JOIN (
        SELECT order_position, line_no, sum(quantity_micro) FILTER (WHERE kind = 'refused') AS refused,
               sum(quantity_micro) FILTER (WHERE kind = 'cancelled') AS cancelled
        FROM stop GROUP BY order_position, line_no
    ) t ON t.order_position = d.position AND t.line_no = d.line_no
    LEFT JOIN (SELECT order_position, line_no, sum(quantity_micro) AS on_way FROM transit GROUP BY order_position, line_no) w
        ON w.order_position = d.position AND w.line_no = d.line_no
    WHERE (l.order_id IS NOT NULL OR t.order_position IS NOT NULL OR w.on_way > 0)
      AND ($1 = '' OR o.company = $1) AND ($2 = '' OR o.source = $2)
), part AS (
    SELECT line.*, p.outcome, p.start, p.stop
    FROM line CROSS JOIN LATERAL (VALUES
        ('in_transit', ordered - refused - cancelled - waiting - reserved - on_way, ordered - refused - cancelled - waiting - reserved),
        ('reserved', ordered - refused - cancelled - waiting - reserved, ordered - refused - cancelled - waiting),
        ('back_ordered', ordered - refused - cancelled - waiting, ordered - refused - cancelled),
        ('cancelled', ordered - refused - cancelled, ordered - refused),
        ('refused', ordered - refused, ordered)
    ) AS p (outcome, start, stop)
    WHERE p.stop > p.start
)
SELECT company, source, month, outcome, '' AS reason, count(DISTINCT order_id),
       count(*) FILTER (WHERE start = 0), count(*) FILTER (WHERE start > 0), sum(stop - start),
       sum(floor(net * stop / ordered + 0.5) - floor(net * start / ordered + 0.5)
         + floor(tax * stop / ordered + 0.5) - floor(tax * start / ordered + 0.5)),
       0, currency, '' AS kind
FROM part GROUP BY company, source, month, outcome, currency ORDER BY 1, 2, 3, 4;

-- name: outcomes_of_documents
SELECT b.company, b.source, to_char(b.business_date, 'YYYY-MM') AS month,
       CASE WHEN b.outcome <> 'accepted' THEN b.outcome WHEN b.kind = 'count' THEN CASE WHEN b.quantity < 0 THEN 'adjusted_loss' ELSE 'adjusted_gain' END ELSE b.kind END AS what,
       b.reason, count(DISTINCT b.intake_id), sum(b.lines), 0, sum(b.quantity), 0, sum(b.value), coalesce(c.currency, ''),
       CASE WHEN b.outcome <> 'accepted' THEN b.kind ELSE '' END AS paper
FROM (
    SELECT s.company, s.source, s.business_date, s.outcome, s.reason, s.intake_id, m.kind, 1 AS lines, m.quantity_micro AS quantity, m.value_minor AS value
    FROM submission s JOIN move m ON m.chain_id = s.document_id AND m.kind IN ('opening', 'purchase', 'count')
    WHERE s.outcome = 'accepted'
    UNION ALL
    SELECT s.company, s.source, s.business_date, s.outcome, s.reason, s.intake_id, s.kind, s.lines, s.quantity_micro, s.value_minor
    FROM submission s WHERE s.outcome <> 'accepted'
    UNION ALL
    SELECT s.company, s.source, s.business_date, s.outcome, s.reason, s.intake_id, 'confirmed', s.lines, -s.quantity_micro, -s.value_minor
    FROM submission s WHERE s.outcome = 'accepted' AND s.kind = 'confirmation'
    UNION ALL
    SELECT s.company, t.source, m.business_date, 'accepted', '', t.credit_id, 'returned', 1, m.quantity_micro, m.value_minor
    FROM take_back t JOIN move m ON m.chain_id = t.credit_id AND m.line_no = t.line_no AND m.kind = 'return'
    JOIN stock s ON s.stock_id = m.stock_id
) b LEFT JOIN company c ON c.company = b.company
WHERE ($1 = '' OR b.company = $1) AND ($2 = '' OR b.source = $2)
GROUP BY 1, 2, 3, 4, 5, c.currency, paper ORDER BY 1, 2, 3, 4, 5, paper;

-- name: trail_of_promises
-- What was called back (negative) went with a move of the same stock in the same transaction: a count that found less, or
-- goods that left for others. Its positions were drawn in one go, so it is looked for near, by the primary key.
SELECT to_char(min(r.recorded_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, o.order_no, r.order_id, count(*) AS lines,
       sum(r.reserved_micro)::bigint AS reserved, sum(r.back_ordered_micro)::bigint AS back_ordered,
       row_number() OVER (ORDER BY r.position) AS ordinal,
       CASE WHEN sum(r.reserved_micro) < 0 THEN (
           SELECT string_agg(DISTINCT m.document_no, ', ') FROM move m
           WHERE m.position BETWEEN r.position - 10000 AND r.position + 10000 AND m.quantity_micro < 0 AND m.recorded_at = min(r.recorded_at)
             AND m.stock_id = ANY (array_agg(r.stock_id) FILTER (WHERE r.reserved_micro < 0))) END AS gone_with
FROM sales_order o JOIN reservation r ON r.order_position = o.position AND r.kind = 'promise'
WHERE o.order_id = $1 GROUP BY r.position, r.order_id, o.order_no ORDER BY r.position;

-- name: trail_of_stops
SELECT to_char(min(t.recorded_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, t.kind, o.order_no, t.order_id, c.cancel_id, c.ordinal,
       sum(t.quantity_micro)::bigint AS quantity, sum(t.too_late_micro)::bigint AS too_late,
       string_agg(DISTINCT d.sku, ', ') FILTER (WHERE t.short) AS skus
FROM sales_order o
JOIN stop t ON t.order_position = o.position
JOIN demand d ON d.position = t.order_position AND d.line_no = t.line_no
LEFT JOIN cancellation c ON c.position = t.position
WHERE o.order_id = $1 GROUP BY t.position, t.kind, t.order_id, o.order_no, c.cancel_id, c.ordinal
UNION ALL  -- Cancellations that found nothing left to stop.
SELECT to_char(c.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'cancelled', o.order_no, c.order_id, c.cancel_id, c.ordinal, 0, 0, NULL
FROM cancellation c JOIN sales_order o USING (order_id)
WHERE c.order_id = $1 AND NOT EXISTS (SELECT FROM stop t WHERE t.position = c.position)
ORDER BY 1;

-- name: trail_of_papers
-- Papers that changed nothing: what named the order, or came under this document's own number.
SELECT to_char(p.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, p.kind, p.number, p.outcome, p.reason, p.detail, p.intake_id
FROM (
    SELECT * FROM submission WHERE order_id = $1 AND outcome <> 'accepted'
    UNION SELECT * FROM submission WHERE document_id = $1 AND outcome <> 'accepted'
) p ORDER BY p.recorded_at, p.number;

-- name: trail_of_moves
-- By order: its issues (services with them) and its linked returns; by document: whatever it moved. One row per event.
SELECT to_char(min(m.recorded_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, min(m.kind) AS kind, m.chain_id, m.document_no, count(*) AS lines,
       coalesce(sum(m.to_micro - m.from_micro) FILTER (WHERE m.kind = 'service'), 0)::bigint AS services,
       sum(CASE WHEN m.kind = 'delivery' THEN m.to_micro - m.from_micro ELSE m.quantity_micro END)::bigint AS quantity,
       sum(m.value_minor)::bigint AS value, min(c.currency) AS currency, bool_or(m.at_delivery) AS at_delivery,
       dense_rank() OVER (PARTITION BY m.chain_id, CASE WHEN min(m.kind) IN ('issue', 'service') THEN 'left' ELSE min(m.kind) END ORDER BY m.position) AS ordinal,
       (SELECT k.cancel_id FROM cancellation k WHERE k.order_id = m.chain_id AND k.position < m.position ORDER BY k.position DESC LIMIT 1) AS cancel_id
FROM (
    SELECT m.*, o.at_delivery FROM sales_order o JOIN move m ON m.order_position = o.position WHERE o.order_id = $1
    UNION ALL
    SELECT m.*, false FROM move m WHERE m.chain_id = $1 AND m.kind NOT IN ('issue', 'service', 'delivery', 'recall')
) m
LEFT JOIN stock s ON s.stock_id = m.stock_id
LEFT JOIN company c ON c.company = s.company
GROUP BY m.position, m.chain_id, m.document_no ORDER BY m.position;
