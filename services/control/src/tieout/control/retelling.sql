-- name: last_letter
SELECT coalesce(max(number), 0)::bigint FROM dead_letter;

-- name: letters_after
SELECT number, letter_id::text, at, service, flow, reason, field, order_no, company, chain_id, attempts, ticket
FROM dead_letter WHERE number > $1 ORDER BY number LIMIT $2;
