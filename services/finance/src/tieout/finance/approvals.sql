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
-- The oldest first, with the last request for each.
SELECT c.*, r.request_id, r.requested_by, r.requested_at,
       coalesce(r.given, 0) AS given, coalesce(r.approvals_needed, 0) AS needed, coalesce(r.rejected, false) AS rejected
FROM (SELECT * FROM standing_count WHERE $1 IN ('', company) AND $2 IN ('', to_char(business_date, 'YYYY-MM'))
      ORDER BY posted_at, document_id LIMIT $3 OFFSET $4) c
LEFT JOIN LATERAL (
    SELECT a.request_id, a.requested_by, a.requested_at, a.approvals_needed,
           (SELECT count(*) FROM verdict g WHERE g.request_id = a.request_id AND g.approved)::integer AS given,
           EXISTS (SELECT FROM verdict g WHERE g.request_id = a.request_id AND NOT g.approved) AS rejected
    FROM approval_request a WHERE a.kind = 'count' AND a.document_id = c.document_id ORDER BY a.requested_at DESC LIMIT 1) r ON true
ORDER BY c.posted_at, c.document_id;

-- name: standing_sums
-- Of all of them. Nobody has asked for what has no request, or a rejected one.
SELECT c.currency, count(*) AS counts, coalesce(sum(c.left_minor) FILTER (WHERE c.left_minor > 0), 0)::bigint AS missing,
       coalesce(-sum(c.left_minor) FILTER (WHERE c.left_minor < 0), 0)::bigint AS found, count(*) FILTER (WHERE coalesce(r.rejected, true)) AS unasked
FROM standing_count c
LEFT JOIN LATERAL (
    SELECT EXISTS (SELECT FROM verdict g WHERE g.request_id = a.request_id AND NOT g.approved) AS rejected
    FROM approval_request a WHERE a.kind = 'count' AND a.document_id = c.document_id ORDER BY a.requested_at DESC LIMIT 1) r ON true
WHERE $1 IN ('', c.company) AND $2 IN ('', to_char(c.business_date, 'YYYY-MM'))
GROUP BY c.currency ORDER BY c.currency;
