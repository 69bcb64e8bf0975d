-- name: credited_before
SELECT credit_id FROM credit_note WHERE credit_id = ANY ($1::uuid[]);
