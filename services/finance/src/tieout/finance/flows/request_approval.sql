-- name: calendar
SELECT closed_through, calendar, currency FROM company WHERE company = $1 FOR SHARE;

-- name: count
-- What a count left on 1901, and what of it was approved since: both stand in the chain of the count. A revaluation of
-- counted goods has no source, and there may be several of one number: the first that is left.
SELECT c.document_id, c.business_date, sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END)::bigint AS left
FROM (SELECT d.document_id, v.posting_date AS business_date, v.chain_id FROM stock_document d JOIN voucher v ON v.cause_position = d.position AND v.cause = 'inventory'
      WHERE d.kind IN ('adjusted', 'revalued') AND d.company = $1 AND d.source = $2 AND d.document_no = $3) c
JOIN voucher v ON v.chain_id = c.chain_id AND v.document_id = c.document_id
JOIN voucher_line l ON l.position = v.position AND l.role = 'count_difference'
GROUP BY 1, 2 HAVING sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END) <> 0 ORDER BY 1 LIMIT 1;
