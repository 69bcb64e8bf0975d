-- name: notices_between
-- What the events of these positions were; bounded, as a long backlog may lie between.
SELECT body FROM notice
WHERE producer = $1 AND last_position >= $2 AND first_position <= $3
ORDER BY first_position LIMIT 500;

-- name: dead_positions
SELECT flow, position, reason, field, number FROM dead_letter
WHERE flow = ANY($1::text[]) AND position = ANY($2::bigint[]) ORDER BY number;

-- name: notices_of_chain
-- Where else a chain was heard of: a fact that stands twice stands under the same chain.
SELECT DISTINCT n.first_position, n.body
FROM heard AS h JOIN notice AS n USING (producer, first_position)
WHERE h.producer = $1 AND h.chain_id = $2::uuid ORDER BY n.first_position LIMIT 100;
