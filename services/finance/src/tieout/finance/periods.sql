-- name: companies
-- The last number of a month's vouchers is how many there are, for they have no gaps: no voucher is looked at.
SELECT c.company, c.zone, c.currency, c.closed_through,
    coalesce(array_agg(n.period ORDER BY n.period) FILTER (WHERE n.period IS NOT NULL), '{}') AS months,
    coalesce(array_agg(n.vouchers ORDER BY n.period) FILTER (WHERE n.period IS NOT NULL), '{}') AS vouchers
FROM company c
LEFT JOIN (SELECT company, period, sum(last_number)::bigint AS vouchers FROM voucher_counter
           WHERE $1 IN ('', company) AND last_number > 0 GROUP BY company, period) n USING (company)
WHERE $1 IN ('', c.company) GROUP BY c.company ORDER BY c.company;

-- name: closes
SELECT company, period, closed_by, closed_at, reason, position FROM period_close WHERE $1 IN ('', company) ORDER BY company, position;

-- name: reopenings
SELECT company, period, requested_by, approved_by, reason, reopened_at, position FROM period_reopening WHERE $1 IN ('', company) ORDER BY company, position;

-- name: open_counts
-- By company and open month ($2, $3): the counts whose difference up to that month's end is not zero, as its close would find them.
WITH moved AS MATERIALIZED (
    SELECT c.company, v.document_id, v.period, sum(o.left_minor)::bigint AS left_minor
    FROM company c
    JOIN voucher v ON v.company = c.company AND v.period > c.closed_through AND v.template IN ('T18r', 'T19', 'T19b', 'T19c', 'T19t')
    CROSS JOIN LATERAL (SELECT sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END) AS left_minor
                        FROM voucher_line l WHERE l.position = v.position AND l.role = 'count_difference') o
    WHERE $1 IN ('', c.company) AND o.left_minor <> 0
    GROUP BY 1, 2, 3
), standing AS (
    SELECT m.company, m.period, d.document_id, sum(d.left_minor)::bigint AS left_minor
    FROM unnest($2::text[], $3::text[]) AS m (company, period) JOIN moved d ON d.company = m.company AND d.period <= m.period
    GROUP BY 1, 2, 3 HAVING sum(d.left_minor) <> 0
)
SELECT s.company, s.period, count(*) AS counts, count(*) FILTER (WHERE coalesce(r.rejected, true)) AS unasked,
    coalesce(sum(s.left_minor) FILTER (WHERE s.left_minor > 0), 0)::bigint AS missing,
    coalesce(-sum(s.left_minor) FILTER (WHERE s.left_minor < 0), 0)::bigint AS found
FROM standing s
LEFT JOIN LATERAL (
    SELECT EXISTS (SELECT FROM verdict g WHERE g.request_id = a.request_id AND NOT g.approved) AS rejected
    FROM approval_request a WHERE a.kind = 'count' AND a.document_id = s.document_id ORDER BY a.requested_at DESC LIMIT 1) r ON true
GROUP BY 1, 2;

-- name: waiting
-- Requests without a verdict: reopenings of closed months, and what would be posted in open ones.
SELECT r.company, r.kind, CASE r.kind WHEN 'reopening' THEN r.subject ELSE to_char(r.business_date, 'YYYY-MM') END AS period,
    count(*) AS requests, (array_agg(r.request_id ORDER BY r.requested_at))[1] AS request_id, (array_agg(r.requested_by ORDER BY r.requested_at))[1] AS requested_by
FROM approval_request r
WHERE $1 IN ('', r.company) AND r.kind <> 'count' AND NOT EXISTS (SELECT FROM verdict v WHERE v.request_id = r.request_id AND NOT v.approved)
    AND (SELECT count(*) FROM verdict v WHERE v.request_id = r.request_id) < r.approvals_needed
GROUP BY 1, 2, 3;
