-- name: last_valuations
-- Asked under the lock of the stock: where the next valuation goes on.
SELECT v.* FROM unnest($1::bigint[]) AS s (stock_id)
CROSS JOIN LATERAL (
    SELECT stock_id, period, ordinal, opening_micro, opening_minor, came_micro, came_minor, accounts, gone_micro, gone_minor, upto_seq
    FROM valuation v WHERE v.stock_id = s.stock_id ORDER BY period DESC, ordinal DESC LIMIT 1
) v;

-- name: moved_since
-- What no valuation holds yet, by period and by what took it ('': it came). A move that was stamped with an earlier period
-- than the last valued one came late and belongs to that one now. Revaluations by valuations are in their sums already.
WITH last AS MATERIALIZED (
    SELECT s.stock_id, coalesce(v.period, '') AS period, coalesce(v.upto_seq, 0) AS upto_seq, coalesce(v.next_seq, 1) AS next_seq
    FROM unnest($1::bigint[]) AS s (stock_id)
    LEFT JOIN LATERAL (
        SELECT period, upto_seq, next_seq FROM valuation v WHERE v.stock_id = s.stock_id ORDER BY period DESC, ordinal DESC LIMIT 1
    ) v ON true
)
SELECT l.stock_id, greatest(m.period, l.period) AS period,
       CASE WHEN m.quantity_micro > 0 THEN '' WHEN m.kind = 'count' THEN 'count_difference' ELSE coalesce(d.cost_account, 'cogs') END AS account,
       sum(m.quantity_micro)::bigint AS quantity, sum(m.value_minor)::bigint AS value, min(m.seq) AS first_seq
FROM last l
JOIN move m ON m.stock_id = l.stock_id AND m.seq >= l.next_seq AND (m.period > l.period OR m.seq > l.upto_seq)
LEFT JOIN demand d ON m.kind = 'issue' AND d.position = m.order_position AND d.line_no = m.line_no
WHERE CASE m.kind
    WHEN 'revaluation' THEN NOT EXISTS (SELECT FROM valuation v WHERE v.stock_id = m.stock_id AND m.seq BETWEEN v.first_seq AND v.upto_seq)
    WHEN 'return' THEN NOT EXISTS (SELECT FROM move n WHERE n.stock_id = m.stock_id AND n.seq = m.seq + 1 AND n.kind = 'scrap')
    ELSE m.kind <> 'scrap' END  -- What came back and was scrapped has a value of its own, which no average touches.
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
