-- name: lock_company
SELECT closed_through FROM company WHERE company = $1 FOR UPDATE;

-- name: close
INSERT INTO period_close (company, period, first_open, closed_by, position) VALUES ($1, $2, $3, $4, $5);

-- name: close_through
UPDATE company SET closed_through = $2 WHERE company = $1;

-- name: shown
-- The close of this period, or of the later one that closed it too.
SELECT first_open, closed_by, closed_at FROM period_close WHERE company = $1 AND period >= $2 ORDER BY period LIMIT 1;

-- name: vouchers
SELECT count(*) FROM voucher WHERE company = $1 AND period = $2;

-- name: count_differences
SELECT coalesce(sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END), 0)::bigint
FROM voucher v JOIN voucher_line l USING (position) WHERE v.company = $1 AND v.period <= $2 AND l.role = 'count_difference';
