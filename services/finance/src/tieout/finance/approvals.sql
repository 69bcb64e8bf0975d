-- name: hold
-- One verdict at a time; a request that does not exist yet cannot be locked, its id can.
SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1));

-- name: rejected_before
-- What was rejected may be asked for again: as another request.
SELECT count(*) FROM approval_request r WHERE r.company = $1 AND r.kind = $2 AND r.subject = $3
    AND EXISTS (SELECT FROM verdict v WHERE v.request_id = r.request_id AND NOT v.approved);

-- name: ask
INSERT INTO approval_request (request_id, kind, company, subject, item_id, document_id, currency, amount_minor, tax_minor, business_date, cause, reason,
    requested_by, approvals_needed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING;

-- name: request
SELECT * FROM approval_request WHERE request_id = $1;

-- name: verdicts
SELECT request_id, given_by, given_at, approved, note FROM verdict WHERE request_id = ANY ($1::uuid[]) ORDER BY given_at, given_by;

-- name: give
INSERT INTO verdict (request_id, given_by, requested_by, approved, note) VALUES ($1, $2, $3, $4, $5);

-- name: requests
SELECT r.*, count(*) OVER () AS found FROM approval_request r CROSS JOIN LATERAL (
    SELECT CASE WHEN bool_or(NOT v.approved) THEN 'rejected' WHEN count(*) FILTER (WHERE v.approved) >= r.approvals_needed THEN 'done' ELSE 'waiting' END AS state
    FROM verdict v WHERE v.request_id = r.request_id) s
WHERE $1 IN ('', r.company) AND $2 IN ('', s.state) ORDER BY r.requested_at DESC, r.request_id LIMIT $3;

-- name: standing_counts
-- What counts have left on 1901, the oldest first, with the last request for each. Found through the
-- documents: of voucher lines, those of counts are few.
SELECT c.company, c.source, c.document_no, c.business_date, c.posted_at, m.currency, c.left, r.request_id, r.requested_by, r.requested_at,
       coalesce(r.given, 0) AS given, coalesce(r.approvals_needed, 0) AS needed, coalesce(r.rejected, false) AS rejected
FROM (SELECT d.*, (SELECT coalesce(sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END), 0)::bigint
                   FROM voucher v JOIN voucher_line l ON l.position = v.position AND l.role = 'count_difference'
                   WHERE v.document_id = d.document_id
                       AND v.chain_id = (SELECT o.chain_id FROM voucher o WHERE o.cause_position = d.position AND o.cause = 'inventory' LIMIT 1)) AS left
      FROM stock_document d WHERE d.kind IN ('adjusted', 'revalued') AND $1 IN ('', d.company)
          AND $2 IN ('', to_char(d.business_date, 'YYYY-MM'))) c
JOIN company m USING (company)
LEFT JOIN LATERAL (
    SELECT a.request_id, a.requested_by, a.requested_at, a.approvals_needed,
           (SELECT count(*) FROM verdict g WHERE g.request_id = a.request_id AND g.approved)::integer AS given,
           EXISTS (SELECT FROM verdict g WHERE g.request_id = a.request_id AND NOT g.approved) AS rejected
    FROM approval_request a WHERE a.kind = 'count' AND a.document_id = c.document_id ORDER BY a.requested_at DESC LIMIT 1) r ON true
WHERE c.left <> 0
ORDER BY c.posted_at, c.document_id;
