-- name: types_of_positions
-- Which of a book's consumers an event was for.
SELECT position, event_type FROM step WHERE producer = $1 AND position = ANY($2::bigint[]);

-- name: dead_positions
SELECT flow, position FROM dead_letter WHERE flow = ANY($1::text[]) AND position = ANY($2::bigint[]);
