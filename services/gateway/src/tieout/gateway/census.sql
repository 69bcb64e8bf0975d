-- name: satellite
SELECT EXISTS (SELECT FROM satellite WHERE satellite = $1);

-- name: mapped
-- An order's own number is the order number of its command, which has an index.
SELECT number, amount_minor, currency, business_date, id FROM command
WHERE order_no = ANY($2::text[]) AND satellite = $1 AND kind = 'order';

-- name: refused
-- The last refusal of each number, and what was decided about it.
SELECT DISTINCT ON (f.number) f.number, f.id, f.reason, coalesce(d.decision, '') AS decision
FROM refusal f LEFT JOIN decision d USING (entry)
WHERE f.number = ANY($2::text[]) AND f.satellite = $1 AND f.kind IN ('order', '')
ORDER BY f.number, f.entry DESC;

-- name: ours
-- Positions ascend with time, so the day is found in a range of them; read page by page, by people only.
SELECT position, number FROM command
WHERE satellite = $1 AND kind = 'order' AND business_date BETWEEN $2 AND $3 AND position > $4
ORDER BY position LIMIT $5;
