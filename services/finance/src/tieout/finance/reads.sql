-- name: companies
SELECT c.company, c.name, c.currency, c.zone, c.tax_point, c.voucher_words, c.closed_through, c.revision, c.opened_at, c.control_passes,
    ARRAY(SELECT r.role FROM account_role r WHERE r.company = c.company ORDER BY r.role) AS roles,
    ARRAY(SELECT r.code FROM account_role r WHERE r.company = c.company ORDER BY r.role) AS codes
FROM company c WHERE $1 IN ('', c.company) ORDER BY c.company;

-- name: functional_currency
SELECT currency FROM company WHERE company = $1;

-- name: chart
SELECT a.code, a.name, a.name_zh, a.kind, ARRAY(SELECT r.role FROM account_role r WHERE r.company = a.company AND r.code = a.code ORDER BY 1)
FROM ledger_account a WHERE a.company = $1 ORDER BY a.code;

-- name: vouchers
-- Along the primary key, newest first, so a page costs what it shows; only a filter by account looks at lines.
SELECT v.*, c.currency AS functional_currency FROM voucher v JOIN company c USING (company)
WHERE $1 IN ('', v.company) AND $2 IN ('', v.period) AND ($4 = 0 OR v.position < $4)
    AND ($3 = '' OR EXISTS (SELECT FROM voucher_line l WHERE l.position = v.position AND l.account = $3))
ORDER BY v.position DESC LIMIT $5;

-- name: vouchers_of_order
-- An order's own chain, and payments and credits that belong to several orders: these carry its open item in a line.
SELECT v.*, c.currency AS functional_currency
FROM (
    SELECT v.position FROM open_item i JOIN voucher v ON v.chain_id = i.item_id WHERE i.order_no = $2
    UNION SELECT d.position FROM open_item i JOIN money_part p USING (item_id) JOIN money_document d USING (document_id) WHERE i.order_no = $2
    UNION SELECT p.moved FROM open_item i JOIN money_part p USING (item_id) WHERE i.order_no = $2 AND p.moved > 0
    UNION SELECT v.position FROM open_item i JOIN credit_line l USING (item_id) JOIN voucher v ON v.cause_position = l.position AND v.cause = 'order' WHERE i.order_no = $2
    UNION SELECT v.position FROM credit_note n JOIN voucher v ON v.document_id = n.credit_id AND v.cause_position = n.position WHERE n.credit_no = $2
) found JOIN voucher v USING (position) JOIN company c USING (company)
WHERE $1 IN ('', v.company) AND $6 IN ('', v.period) AND ($4 = 0 OR v.position < $4)
    AND ($3 = '' OR EXISTS (SELECT FROM voucher_line l WHERE l.position = v.position AND l.account = $3))
ORDER BY v.position DESC LIMIT $5;

-- name: voucher
SELECT v.*, c.currency AS functional_currency FROM voucher v JOIN company c USING (company)
WHERE v.company = $1 AND v.word = $2 AND v.period = $3 AND v.number = $4;

-- name: lines
SELECT l.position, l.line_no, l.side, l.account, coalesce(a.name, ''), coalesce(a.name_zh, ''), l.role, l.amount_minor, l.currency, l.functional_minor,
    coalesce((SELECT min(i.order_no) FROM open_item i WHERE i.item_id = l.item_id), '')
FROM voucher_line l JOIN voucher v USING (position) LEFT JOIN ledger_account a ON a.company = v.company AND a.code = l.account
WHERE l.position = ANY ($1::bigint[]) ORDER BY l.position, l.line_no;

-- name: trial_balance
SELECT l.account, coalesce(a.name, ''), coalesce(a.name_zh, ''),
    coalesce(sum(l.signed) FILTER (WHERE l.period < $2), 0),
    coalesce(sum(l.functional_minor) FILTER (WHERE l.side = 'D' AND l.period >= $2), 0),
    coalesce(sum(l.functional_minor) FILTER (WHERE l.side = 'C' AND l.period >= $2), 0),
    sum(l.signed)
FROM (SELECT l.account, l.side, l.functional_minor, v.period, CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END AS signed
      FROM voucher v JOIN voucher_line l USING (position) WHERE v.company = $1 AND v.period <= $3) l
LEFT JOIN ledger_account a ON a.company = $1 AND a.code = l.account
GROUP BY l.account, a.name, a.name_zh ORDER BY l.account;

-- name: receivables
-- Shipments absorb credits and money oldest due date first; what is left of each is open since its due date.
WITH item AS (
    SELECT i.item_id, i.order_no, i.customer, i.currency,
        coalesce((SELECT sum(r.amount_minor) FROM voucher v JOIN receivable r USING (position)
            WHERE v.chain_id = i.item_id AND r.currency = i.currency AND r.posting_date <= $2), 0) AS billed,
        coalesce((SELECT sum(l.net_minor + l.tax_minor) FROM credit_line l JOIN credit_note n USING (position)
                  WHERE l.item_id = i.item_id AND n.currency = i.currency AND n.posting_date <= $2), 0) AS credited,
        CASE WHEN $2 >= DATE '9999-12-31' THEN i.settled
        WHEN i.of_order THEN coalesce((SELECT sum(s.amount_minor) FROM settlement s
            WHERE s.order_id = i.item_id AND s.currency = i.currency AND s.posting_date <= $2), 0)
        ELSE coalesce((
            SELECT -sum(CASE l.side WHEN 'D' THEN l.amount_minor ELSE -l.amount_minor END)
            FROM voucher v JOIN voucher_line l USING (position)
            WHERE l.item_id = i.item_id AND l.role = 'receivable' AND l.currency = i.currency AND v.posting_date <= $2
                AND v.template NOT IN ('T01', 'T02b', 'T05', 'T06', 'T07')
                AND v.position IN (SELECT d.position FROM money_part p JOIN money_document d USING (document_id) WHERE p.item_id = i.item_id
                    UNION SELECT p.moved FROM money_part p WHERE p.item_id = i.item_id AND p.moved > 0
                    UNION SELECT v3.position FROM credit_line cl JOIN voucher v3 ON v3.cause_position = cl.position AND v3.cause = 'order' WHERE cl.item_id = i.item_id)), 0) END AS settled
    FROM open_item i
    WHERE i.company = $1 AND $3 IN ('', i.customer) AND $4 IN ('', i.order_no) AND i.item_id > $5
), open AS (
    SELECT *, billed - credited - settled AS open FROM item WHERE billed <> 0 OR credited <> 0 OR settled <> 0
    ORDER BY item_id LIMIT $6
)
SELECT o.item_id, o.order_no, o.customer, o.currency, o.billed, o.credited, o.settled, o.open,
    (coalesce(sum(p.part) FILTER (WHERE p.late <= 0), 0) + CASE WHEN o.open < 0 THEN o.open ELSE 0 END
        + greatest(o.open, 0) - coalesce(sum(p.part), 0)),
    coalesce(sum(p.part) FILTER (WHERE p.late BETWEEN 1 AND 30), 0),
    coalesce(sum(p.part) FILTER (WHERE p.late BETWEEN 31 AND 60), 0),
    coalesce(sum(p.part) FILTER (WHERE p.late BETWEEN 61 AND 90), 0),
    coalesce(sum(p.part) FILTER (WHERE p.late > 90), 0),
    min(p.due_date) FILTER (WHERE p.part > 0)
FROM open o LEFT JOIN LATERAL (
    -- Counted from the newest: the last `open` units of the billed amount are what is left.
    SELECT r.due_date, CASE WHEN $2 >= DATE '9999-12-31' THEN current_date ELSE $2 END - r.due_date AS late,
        greatest(least(r.amount_minor, o.open - (sum(r.amount_minor) OVER (ORDER BY r.due_date DESC, r.shipment_id DESC) - r.amount_minor)), 0) AS part
    FROM voucher v JOIN receivable r USING (position) WHERE v.chain_id = o.item_id AND r.currency = o.currency AND r.posting_date <= $2
) p ON true
GROUP BY o.item_id, o.order_no, o.customer, o.currency, o.billed, o.credited, o.settled, o.open ORDER BY o.item_id;

-- name: open_totals
-- From the control account itself, so that whoever adds the pages up proves the subledger.
SELECT l.currency, sum(CASE l.side WHEN 'D' THEN l.amount_minor ELSE -l.amount_minor END)
FROM voucher v JOIN voucher_line l USING (position) LEFT JOIN open_item i ON i.item_id = l.item_id AND i.currency = l.currency COLLATE "C"
WHERE v.company = $1 AND l.role = 'receivable' AND v.posting_date <= $2 AND $3 IN ('', i.customer) AND $4 IN ('', i.order_no)
GROUP BY l.currency ORDER BY l.currency;

-- name: booked
SELECT i.company, i.source, to_char(coalesce(i.business_date, r.business_date), 'YYYY-MM') AS month, 'booked', '',
    coalesce(p.account, ''), CASE WHEN grouping(p.account) = 1 THEN false ELSE p.free END, true, i.currency,
    count(DISTINCT p.chain_id), count(*) FILTER (WHERE p.starts), (-sum(p.quantity_micro)),
    sum(p.net_minor), sum(p.tax_minor), sum(p.value_minor)
FROM (SELECT *, net_minor = -tax_minor AS free FROM posted_line WHERE kind IN ('shipped', 'service', 'delivered')) p
JOIN receivable r ON r.cause_position = p.position
JOIN open_item i ON i.item_id = r.item_id AND i.currency = r.currency COLLATE "C"
WHERE $1 IN ('', i.company) AND $2 IN ('', i.source)
GROUP BY GROUPING SETS ((1, 2, 3, i.currency, p.account, p.free), (1, 2, 3, i.currency)) ORDER BY 1, 2, 3, 9, 6, 7;

-- name: credited
-- A line of the source that credits several sales is several rows; it counts with its first part.
SELECT n.company, n.source, to_char(n.business_date, 'YYYY-MM') AS month, 'credited', '',
    coalesce(l.account, ''), CASE WHEN grouping(l.account) = 1 THEN false ELSE l.free END,
    CASE WHEN grouping(l.account) = 1 THEN true ELSE l.linked END, n.currency,
    count(DISTINCT n.credit_id), count(*) FILTER (WHERE l.part = 1), (-sum(l.quantity_micro)), (-sum(l.net_minor)), (-sum(l.tax_minor)),
    coalesce(sum(b.value_minor), 0)
FROM credit_note n
JOIN (SELECT *, net_minor = -tax_minor AS free FROM credit_line) l USING (position)
LEFT JOIN stock_document s ON s.kind = 'returned' AND s.document_id = n.credit_id
LEFT JOIN posted_line b ON b.position = s.position AND b.line_no = l.line_no
WHERE $1 IN ('', n.company) AND $2 IN ('', n.source)
GROUP BY GROUPING SETS ((1, 2, 3, n.currency, l.account, l.free, l.linked), (1, 2, 3, n.currency)) ORDER BY 1, 2, 3, 9, 6, 7, 8;

-- name: money
SELECT company, source, to_char(business_date, 'YYYY-MM') AS month, CASE outcome WHEN 'accepted' THEN kind ELSE outcome END, reason, '', false, true, currency,
    count(*), 0, 0, sum(amount_minor), 0, 0
FROM money_submission WHERE $1 IN ('', company) AND $2 IN ('', source)
GROUP BY 1, 2, 3, 4, 5, currency ORDER BY 1, 2, 3, 4, 5, 9;

-- name: turnovers
SELECT v.company, to_char(CASE WHEN $2 THEN v.business_date ELSE v.posting_date END, 'YYYY-MM'), l.account,
    coalesce(sum(l.functional_minor) FILTER (WHERE l.side = 'D'), 0),
    coalesce(sum(l.functional_minor) FILTER (WHERE l.side = 'C'), 0),
    coalesce(-sum(l.functional_minor) FILTER (WHERE l.side = 'D' AND l.functional_minor < 0), 0),
    coalesce(-sum(l.functional_minor) FILTER (WHERE l.side = 'C' AND l.functional_minor < 0), 0)
FROM voucher v JOIN voucher_line l USING (position) WHERE $1 IN ('', v.company)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- name: trail
-- Also payments that name this order and of which it takes nothing: nothing was open, or others come first.
WITH only_named AS (
    SELECT d.position FROM money_submission s JOIN money_document d USING (document_id)
    WHERE s.orders @> ARRAY[$1::uuid] AND s.orders <> '{}' AND s.outcome = 'accepted'
      AND NOT EXISTS (SELECT FROM money_part p WHERE p.document_id = s.document_id AND p.item_id = $1)
)
SELECT v.posted_at, v.template, v.document_id, v.document_no, v.word, v.period, v.number, v.currency,
    coalesce((SELECT sum(l.amount_minor) FROM voucher_line l WHERE l.position = v.position AND l.side = 'D' AND l.currency = v.currency
        AND (v.template NOT IN ('T01', 'T02b') OR l.role = 'receivable')), 0)::bigint AS amount,
    coalesce((SELECT string_agg(DISTINCT i.order_no, ', ') FROM money_document d JOIN money_part p USING (document_id) JOIN open_item i USING (item_id)
        WHERE d.position = v.position AND i.of_order AND i.item_id <> $1), '') AS others,
    v.position = ANY (ARRAY(SELECT position FROM only_named)) AS only_named
FROM (
    SELECT position FROM voucher WHERE chain_id = $1
    UNION SELECT d.position FROM money_part p JOIN money_document d USING (document_id) WHERE p.item_id = $1
    UNION SELECT p.moved FROM money_part p WHERE p.item_id = $1 AND p.moved > 0
    UNION SELECT position FROM only_named
    UNION SELECT v.position FROM credit_line l JOIN voucher v ON v.cause_position = l.position AND v.cause = 'order' WHERE l.item_id = $1
) found JOIN voucher v USING (position) ORDER BY v.position;

-- name: without_effect
-- Also papers that name this order, and refunds that are booked although more went back than came.
SELECT submitted_at, number, kind, outcome, reason, detail, intake_id,
    EXISTS (SELECT FROM money_part p JOIN open_item i USING (item_id, currency)
        WHERE p.document_id = s.document_id AND i.refunded > i.received AND i.billed - i.credited - i.settled > 0) AS claimed
FROM (
    SELECT * FROM money_submission WHERE document_id = $1 AND (outcome <> 'accepted' OR reason <> '')
    UNION SELECT * FROM money_submission WHERE orders @> ARRAY[$1::uuid] AND orders <> '{}' AND (outcome <> 'accepted' OR reason <> '')
) s ORDER BY submitted_at, number, outcome DESC, intake_id;  -- Of one batch: what came again before what differs.

-- name: orders_of_voucher
-- Of each company that has one of this number: the orders whose items it moves, or the paper that it is of.
SELECT DISTINCT v.company, coalesce(o.order_no, v.document_no) AS order_no, coalesce(o.item_id, v.chain_id)::text AS chain_id
FROM company c JOIN voucher v ON v.company = c.company AND v.word = $1 AND v.period = $2 AND v.number = $3
LEFT JOIN LATERAL (
    SELECT i.item_id, i.order_no FROM open_item i WHERE i.of_order AND i.item_id IN (
        SELECT v.chain_id
        UNION SELECT l.item_id FROM voucher_line l WHERE l.position = v.position AND l.item_id IS NOT NULL
        UNION SELECT p.item_id FROM money_document d JOIN money_part p USING (document_id) WHERE d.position = v.position
        UNION SELECT l.item_id FROM credit_line l WHERE l.position = v.cause_position AND v.cause = 'order')) o ON true
ORDER BY 1, 2 LIMIT 100;

-- name: orders_of_money
SELECT DISTINCT i.company, i.order_no, i.item_id::text FROM money_part p JOIN open_item i USING (item_id)
WHERE p.document_id = $1 AND i.of_order ORDER BY 1, 2 LIMIT 100;

-- name: money_of_chain
-- What a customer's money without an order was applied to orders (`passed`) has left it like a refund, and is none.
-- The items of an order; of a payment or refund of its own chain those of its customer, where it brought or took something without an order.
SELECT i.item_id, i.currency, i.of_order, i.customer, i.billed, i.credited, i.received, i.refunded, i.settled, coalesce(i.forgiven, 0) AS forgiven,
    i.deposit_net + i.deposit_tax + i.refundable + i.unapplied AS held,
    CASE WHEN i.of_order THEN 0 ELSE coalesce((SELECT sum(a.amount_minor)::bigint FROM application a WHERE a.customer_item = i.item_id AND a.currency = i.currency COLLATE "C"), 0) END AS passed
FROM open_item i
WHERE (i.item_id = $1 OR i.item_id IN (SELECT p.item_id FROM money_part p WHERE p.document_id = $1) AND NOT i.of_order)
    AND (i.billed, i.credited, i.received, i.refunded, i.settled) <> (0, 0, 0, 0, 0)
ORDER BY i.of_order DESC, i.currency;

-- name: money_papers
-- All of an order's; of a customer's item the asked one alone, for others have nothing to do with it. What went on to another order is not of this one.
SELECT coalesce(d.kind, 'application') AS kind, coalesce(d.number, a.number) AS number, p.item_id, p.currency, sum(p.amount_minor)::bigint AS amount,
    coalesce(max(d.amount_minor), max(a.amount_minor)) AS whole
FROM money_part p LEFT JOIN money_document d USING (document_id) LEFT JOIN application a USING (document_id)
WHERE p.item_id = $1 OR p.document_id = $1 AND p.item_id = ANY ($2::uuid[])
GROUP BY p.document_id, d.kind, d.number, a.number, p.item_id, p.currency HAVING sum(p.amount_minor) <> 0
ORDER BY coalesce(min(d.booked_at), min(a.applied_at)), number LIMIT 200;
