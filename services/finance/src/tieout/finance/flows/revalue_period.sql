-- name: hold
-- Two at once would both post the same difference.
SELECT pg_advisory_xact_lock(hashtextextended('revaluation ' || $1, 0));

-- name: rate
-- Of the period's last day, or the last one of the period before it.
SELECT rate_micro, date FROM closing_rate WHERE company = $1 AND currency = $2 AND date BETWEEN $3 AND $4 ORDER BY date DESC, number DESC LIMIT 1;

-- name: note
INSERT INTO revaluation (document_id, company, period, currency, rate_micro, rate_date, change_minor, voucher_no, revalued_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);
