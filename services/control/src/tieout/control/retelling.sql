-- name: where_to_begin
-- Those of the last minutes are told once more after a restart: they are the same spans, and some may never have been.
SELECT coalesce(min(number) FILTER (WHERE at > now() - interval '10 minutes') - 1, max(number), 0)::bigint
FROM dead_letter;

-- name: letters_after
SELECT number, letter_id::text, at, service, flow, reason, field, order_no, company, chain_id, attempts, ticket
FROM dead_letter WHERE number > $1 ORDER BY number LIMIT $2;
