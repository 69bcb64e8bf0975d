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
SELECT r.* FROM approval_request r CROSS JOIN LATERAL (
    SELECT CASE WHEN bool_or(NOT v.approved) THEN 'rejected' WHEN count(*) FILTER (WHERE v.approved) >= r.approvals_needed THEN 'done' ELSE 'waiting' END AS state
    FROM verdict v WHERE v.request_id = r.request_id) s
WHERE $1 IN ('', r.company) AND $2 IN ('', s.state) ORDER BY r.requested_at DESC, r.request_id LIMIT $3;
