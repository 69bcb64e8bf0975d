-- name: letters
SELECT number, letter FROM dead_letter WHERE number = ANY($1::bigint[]);
