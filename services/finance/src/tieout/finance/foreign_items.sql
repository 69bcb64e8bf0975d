-- name: accounts
SELECT code FROM ledger_account WHERE company = $1;

-- name: balances
-- Open foreign amounts of monetary accounts at the end of a period, and what they are booked at.
SELECT l.currency, l.account, sum(CASE l.side WHEN 'D' THEN l.amount_minor ELSE -l.amount_minor END)::bigint AS amount,
    sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END)::bigint AS booked
FROM voucher v JOIN voucher_line l USING (position)
WHERE v.company = $1 AND v.period <= $2 AND l.currency <> $3 AND l.account = ANY ($4::text[])
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: revalued
SELECT currency, count(*) AS times FROM revaluation WHERE company = $1 AND period = $2 GROUP BY 1;
