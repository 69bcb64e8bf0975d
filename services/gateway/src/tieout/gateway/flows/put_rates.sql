-- name: put
-- A rate that stands already is not written again.
INSERT INTO exchange_rate (currency, quoted_in, date, rate_micro, source, put_by)
SELECT n.currency, n.quoted_in, n.date, n.rate_micro, n.source, $6
FROM unnest($1::text[], $2::text[], $3::date[], $4::bigint[], $5::text[]) AS n (currency, quoted_in, date, rate_micro, source)
WHERE (n.rate_micro, n.source) IS DISTINCT FROM (
    SELECT (r.rate_micro, r.source) FROM exchange_rate r
    WHERE r.currency = n.currency AND r.quoted_in = n.quoted_in AND r.date = n.date ORDER BY r.entry DESC LIMIT 1
)
RETURNING entry;
