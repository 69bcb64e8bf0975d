-- name: list
-- Priority and number are the order and the cursor: priority * 10^12 + number.
SELECT t.*, t.priority::bigint * 1000000000000 + t.number AS place
FROM ticket AS t
WHERE CASE $1::text WHEN 'standing' THEN state <> 'resolved' WHEN 'all' THEN true ELSE state = $1 END
  AND ($2 = '' OR kind = $2) AND ($3 = '' OR service = $3) AND ($4 = '' OR $4 IN (owner, assignee))
  AND ($5 = '' OR EXISTS (SELECT FROM ticket_order o WHERE o.ticket = t.number AND o.order_no = $5))
  AND t.priority::bigint * 1000000000000 + t.number > $6
ORDER BY place LIMIT $7;

-- name: one
SELECT * FROM ticket WHERE number = $1;

-- name: several
SELECT * FROM ticket WHERE number = ANY($1::bigint[]);

-- name: counts
-- What the question finds on all pages, what of that is overdue, and what there is in the same state whatever else was asked for.
SELECT count(*) AS total, count(*) FILTER (WHERE asked) AS found,
       count(*) FILTER (WHERE asked AND due_at < now() AND state IN ('open', 'acknowledged')) AS overdue,
       (SELECT count(*) FROM ticket WHERE state <> 'resolved') AS standing
FROM (
    SELECT state, due_at, ($2 = '' OR kind = $2) AND ($3 = '' OR service = $3) AND ($4 = '' OR $4 IN (owner, assignee))
        AND ($5 = '' OR EXISTS (SELECT FROM ticket_order o WHERE o.ticket = t.number AND o.order_no = $5)) AS asked
    FROM ticket AS t
    WHERE CASE $1::text WHEN 'standing' THEN state <> 'resolved' WHEN 'all' THEN true ELSE state = $1 END
) AS t;

-- name: hurt
SELECT ticket, currency, count(*) FILTER (WHERE NOT paper) AS orders, sum(amount_minor)::numeric::text AS amount_minor
FROM ticket_order WHERE ticket = ANY($1::bigint[]) GROUP BY ticket, currency ORDER BY ticket, currency;

-- name: orders
SELECT company, order_no, currency, amount_minor, paper FROM ticket_order WHERE ticket = $1
ORDER BY abs(amount_minor) DESC, company, order_no LIMIT 100;

-- name: history
SELECT at, what, actor, note FROM (SELECT * FROM ticket_history WHERE ticket = $1 ORDER BY number DESC LIMIT 200) h ORDER BY number;

-- name: letters
SELECT number, at, order_no, company, detail FROM dead_letter WHERE ticket = $1 ORDER BY number DESC LIMIT 20;

-- name: letter
SELECT number, ticket, letter FROM dead_letter WHERE number = $1;
