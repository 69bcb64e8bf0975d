-- name: notices_between
-- What the events of these positions were; bounded, as a long backlog may lie between.
SELECT body FROM notice
WHERE producer = $1 AND last_position >= $2 AND first_position <= $3
ORDER BY first_position LIMIT 500;

-- name: dead_positions
SELECT flow, position, reason, field, number FROM dead_letter
WHERE flow = ANY($1::text[]) AND position = ANY($2::bigint[]) ORDER BY number;

-- name: notices_of_chains
-- Where else some chains were heard of: a fact that stands twice stands under the same chain. The first hundred of each.
SELECT n.first_position, n.body
FROM notice AS n
WHERE n.producer = $1 AND n.first_position IN (
    SELECT h.first_position FROM unnest($2::uuid[]) AS c (chain_id)
    CROSS JOIN LATERAL (SELECT DISTINCT first_position FROM heard
                        WHERE producer = $1 AND chain_id = c.chain_id ORDER BY first_position LIMIT 100) AS h)
ORDER BY n.first_position;
