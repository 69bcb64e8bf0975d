-- name: notices_between
-- What the events of these positions were; bounded, as a long backlog may lie between.
SELECT body FROM notice
WHERE producer = $1 AND last_position >= $2 AND first_position <= $3
ORDER BY first_position LIMIT 500;

-- name: dead_positions
SELECT flow, position FROM dead_letter WHERE flow = ANY($1::text[]) AND position = ANY($2::bigint[]);
