-- name: moves
-- Reads the moves of a company: asked when a month is closed, not by the minute.
SELECT coalesce(sum(m.value_minor) FILTER (WHERE m.kind NOT IN ('service', 'delivery')), 0)::bigint AS value,
       coalesce(sum(m.value_minor) FILTER (WHERE m.kind = 'count'), 0)::bigint AS counted,
       count(*) FILTER (WHERE m.kind NOT IN ('service', 'delivery')) AS moves
FROM move m JOIN stock s USING (stock_id)
WHERE s.company = $1 AND m.business_date >= $2 AND m.business_date < $3 AND m.position <= $4;

-- name: currency
SELECT currency FROM company WHERE company = $1 AND currency IS NOT NULL;
