-- name: letters
SELECT number, at, flow, subject, order_no, company, chain_id, position, letter FROM dead_letter
WHERE ($1 = 0 OR ticket = $1) AND (cardinality($6::bigint[]) = 0 OR position = ANY($6::bigint[])) AND ($1 <> 0 OR cardinality($6::bigint[]) > 0)
  AND (cardinality($2::text[]) = 0 OR order_no = ANY($2::text[])) AND ($3 = '' OR company = $3)
  AND at BETWEEN $4 AND $5
ORDER BY number;

-- name: chains_of_orders
SELECT DISTINCT chain_id::text FROM membership WHERE order_no = ANY($1::text[]) AND ($2 = '' OR company = $2);

-- name: notices_of_chains
SELECT n.producer, n.first_position, n.body
FROM (SELECT DISTINCT producer, first_position FROM heard WHERE chain_id = ANY($1::uuid[])) h
JOIN notice n USING (producer, first_position) ORDER BY n.producer, n.first_position;

-- name: notices_of_positions
SELECT producer, first_position, body FROM notice
WHERE producer = $1 AND first_position <= $3 AND last_position >= $2 ORDER BY first_position;

-- name: notices_since
-- Heard after they were announced, so none is missed; what is too late is left out by its own time.
SELECT producer, first_position, body FROM notice WHERE heard_at >= $1 ORDER BY producer, first_position;
