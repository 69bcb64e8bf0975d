-- name: noted
-- Commands that have their row already were committed before; only their acknowledgement got lost.
SELECT position FROM submission WHERE position = ANY($1::bigint[]);
