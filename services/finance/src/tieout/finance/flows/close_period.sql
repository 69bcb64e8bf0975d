-- name: lock_company
SELECT closed_through, zone, currency FROM company WHERE company = $1 FOR UPDATE;

-- name: close
INSERT INTO period_close (company, period, first_open, closed_by, position, reason) VALUES ($1, $2, $3, $4, $5, $6);

-- name: close_through
UPDATE company SET closed_through = $2, calendar = calendar + 1 WHERE company = $1 RETURNING calendar;

-- name: shown
-- The close that stands: of this period, or of the later one that closed it too, the first since it was last opened again.
SELECT to_char(to_date(c.closed_through, 'YYYY-MM') + interval '1 month', 'YYYY-MM') AS first_open, p.closed_by, p.closed_at
FROM company c JOIN period_close p USING (company)
WHERE company = $1 AND p.period >= $2
    AND p.position > coalesce((SELECT max(position) FROM period_reopening r WHERE r.company = $1 AND r.period <= $2), 0)
ORDER BY p.position LIMIT 1;

-- name: vouchers
SELECT count(*) FROM voucher WHERE company = $1 AND period = $2;

-- name: free_goods
-- Orders of the period whose cost is an expense because nothing of them was sold, and whose tax nobody declared.
SELECT count(DISTINCT v.chain_id) FROM voucher v JOIN voucher_line l USING (position)
WHERE v.company = $1 AND v.period = $2 AND l.role = 'sample' AND l.side = 'D' AND l.functional_minor > 0
    AND NOT EXISTS (SELECT FROM free_goods f WHERE f.item_id = v.chain_id);

-- name: allowance_short
-- 1231 in debit at the end of the period: receivables were written off that nobody had provided for.
SELECT greatest(coalesce(sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END), 0), 0)::bigint
FROM voucher v JOIN voucher_line l USING (position) WHERE v.company = $1 AND v.period <= $2 AND l.role = 'allowance';

-- name: open_counts
-- Count differences that nobody has approved, by the count that found them.
SELECT v.document_id, min(v.document_no) AS number, coalesce(min(d.source), '') AS source, sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END)::bigint AS left
FROM voucher v JOIN voucher_line l USING (position) LEFT JOIN stock_document d ON d.kind IN ('adjusted', 'revalued') AND d.document_id = v.document_id
WHERE v.company = $1 AND v.period <= $2 AND l.role = 'count_difference'
GROUP BY v.document_id HAVING sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END) <> 0 ORDER BY 2;
