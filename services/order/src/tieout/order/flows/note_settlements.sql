-- name: noted
SELECT position FROM settlement WHERE position = ANY($1::bigint[]);
