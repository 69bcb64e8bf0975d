-- name: begin
INSERT INTO repair (repair_id, kind, measure, positions, order_nos, actor, reason, preview)
VALUES ($1, $2, $3, $4::bigint[], $5::text[], $6, $7, $8) RETURNING at;

-- name: end
INSERT INTO repair_outcome (repair_id, state, told) VALUES ($1, $2, $3);

-- name: newest
SELECT r.repair_id, r.at, r.kind, r.measure, r.order_nos, r.actor, r.reason, r.preview,
       coalesce(o.state, 'running') AS state, coalesce(o.told, '') AS told
FROM repair r LEFT JOIN repair_outcome o USING (repair_id)
WHERE $1 = '' OR $1 = ANY (r.order_nos) ORDER BY r.at DESC LIMIT $2;
