-- name: known
SELECT company, currency, date, rate_micro, put_by, put_at FROM closing_rate
WHERE company = $1 AND currency = $2 AND date = $3 ORDER BY number DESC LIMIT 1;

-- name: put
INSERT INTO closing_rate (company, currency, date, rate_micro, put_by) VALUES ($1, $2, $3, $4, $5)
RETURNING company, currency, date, rate_micro, put_by, put_at;
