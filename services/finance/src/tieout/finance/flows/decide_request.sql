-- name: lock_company
-- For itself: postings under way hold it shared, and find the period open or closed, never in between.
SELECT closed_through FROM company WHERE company = $1 FOR UPDATE;

-- name: reopen
INSERT INTO period_reopening (company, period, closed_through, requested_by, approved_by, reason, request_id, position) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: close_through
UPDATE company SET closed_through = $2, calendar = calendar + 1 WHERE company = $1 RETURNING calendar;

-- name: count
-- Missing and found of one count apart: debits and credits of 1901.
SELECT c.chain_id, c.document_no, coalesce(sum(l.functional_minor) FILTER (WHERE l.side = 'D'), 0)::bigint AS missing,
    coalesce(sum(l.functional_minor) FILTER (WHERE l.side = 'C'), 0)::bigint AS found
FROM (SELECT v.chain_id, d.document_no FROM stock_document d JOIN voucher v ON v.cause_position = d.position AND v.cause = 'inventory'
      WHERE d.kind IN ('adjusted', 'revalued') AND d.document_id = $1) c
JOIN voucher v ON v.chain_id = c.chain_id AND v.document_id = $1
JOIN voucher_line l ON l.position = v.position AND l.role = 'count_difference' GROUP BY 1, 2;

-- name: hold_allowance
-- Two releases at once would both find the same balance.
SELECT pg_advisory_xact_lock(hashtextextended('allowance ' || $1, 0));

-- name: allowance
-- 1231: what was provided for and is not used up, functional currency.
SELECT coalesce(sum(CASE l.side WHEN 'C' THEN l.functional_minor ELSE -l.functional_minor END), 0)::bigint
FROM voucher v JOIN voucher_line l USING (position) WHERE v.company = $1 AND l.role = 'allowance';
