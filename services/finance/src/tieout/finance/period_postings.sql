-- name: company
SELECT closed_through, zone FROM company WHERE company = $1;

-- name: posted
-- An event has several vouchers at most of one period; its lines count once.
SELECT coalesce(sum(l.value_minor), 0)::bigint FROM posted_line l
JOIN (SELECT DISTINCT cause_position AS position FROM voucher
      WHERE company = $1 AND period = $2 AND cause = 'inventory' AND cause_position <= $3) v USING (position)
WHERE l.kind NOT IN ('service', 'delivered');

-- name: deferred
-- Out of the period and into it. Window sums are of all, the rows only the first of them.
SELECT position, document_no, chain_id::text AS chain_id, value, deferred_from, period, voucher_no,
       (sum(value) FILTER (WHERE deferred_from = $2) OVER ())::bigint AS gone, (sum(value) FILTER (WHERE deferred_from <> $2) OVER ())::bigint AS came
FROM (SELECT v.cause_position AS position, v.document_no, v.chain_id, v.deferred_from, v.period,
             v.word || '-' || v.period || '-' || lpad(v.number::text, 6, '0') AS voucher_no,
             (SELECT coalesce(sum(l.value_minor), 0)::bigint FROM posted_line l WHERE l.position = v.cause_position AND l.kind NOT IN ('service', 'delivered')) AS value
      FROM (SELECT DISTINCT ON (cause_position) * FROM voucher
            WHERE company = $1 AND cause = 'inventory' AND cause_position <= $3 AND deferred_from <> '' AND $2 IN (deferred_from, period)
            ORDER BY cause_position, position) v) d
WHERE value <> 0 ORDER BY position LIMIT $4;

-- name: counts
-- What was counted in the period: found, and what of it is left on 1901, as inventory counts (missing is negative).
SELECT d.document_no, d.source, v.chain_id::text AS chain_id, -c.found AS found, -c.left AS left,
       coalesce(r.requested_by, '') AS asked_by, r.requested_at, coalesce(r.approvals_needed, 0) AS needed, coalesce(r.given, 0) AS given,
       coalesce(r.rejected, false) AS rejected
FROM stock_document d
JOIN voucher v ON v.cause_position = d.position AND v.cause = 'inventory'
CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount) FILTER (WHERE w = v.position), 0)::bigint AS found, coalesce(sum(amount), 0)::bigint AS left
    FROM (SELECT a.position AS w, CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END AS amount
          FROM voucher a JOIN voucher_line l ON l.position = a.position AND l.role = 'count_difference'
          WHERE a.chain_id = v.chain_id AND a.document_id = d.document_id) x) c
LEFT JOIN LATERAL (
    SELECT a.requested_by, a.requested_at, a.approvals_needed,
           (SELECT count(*) FROM verdict g WHERE g.request_id = a.request_id AND g.approved)::integer AS given,
           EXISTS (SELECT FROM verdict g WHERE g.request_id = a.request_id AND NOT g.approved) AS rejected
    FROM approval_request a WHERE a.kind = 'count' AND a.document_id = d.document_id ORDER BY a.requested_at DESC LIMIT 1) r ON true
WHERE d.kind = 'adjusted' AND d.company = $1 AND to_char(d.business_date, 'YYYY-MM') = $2 AND d.position <= $3
ORDER BY d.document_no, d.source;
