-- name: voucher_is_balanced_and_complete
-- Enforced when posted; asked again, because a superuser may have switched the trigger off. Lines are summed before they meet
-- their vouchers, here and below: that is one probe for each voucher, and not for each line.
SELECT v.word || '-' || v.period || '-' || v.number AS key, v.line_count || ' lines, debits ' || v.total_minor AS kept,
    coalesce(l.lines, 0) || ' lines, debits ' || coalesce(l.debits, 0) || ', credits ' || coalesce(l.credits, 0) AS facts, 'company ' || v.company AS detail
FROM voucher v
LEFT JOIN (SELECT position, count(*) AS lines, sum(functional_minor) FILTER (WHERE side = 'D') AS debits, sum(functional_minor) FILTER (WHERE side = 'C') AS credits
           FROM voucher_line GROUP BY position) l USING (position)
WHERE (v.line_count, v.total_minor, v.total_minor) IS DISTINCT FROM (coalesce(l.lines, 0), coalesce(l.debits, 0), coalesce(l.credits, 0));

-- name: voucher_balances_in_each_currency
SELECT v.word || '-' || v.period || '-' || v.number AS key, 'debits - credits = 0' AS kept, l.difference::text AS facts, v.company || ', ' || l.currency AS detail
FROM voucher v JOIN (SELECT position, currency, sum(CASE side WHEN 'D' THEN amount_minor ELSE -amount_minor END) AS difference FROM voucher_line GROUP BY 1, 2
                     HAVING sum(CASE side WHEN 'D' THEN amount_minor ELSE -amount_minor END) <> 0) l USING (position);

-- name: lines_belong_to_a_voucher
SELECT 'position ' || l.position AS key, 'a voucher' AS kept, count(*) || ' lines that nobody posted' AS facts, '' AS detail
FROM voucher_line l WHERE NOT EXISTS (SELECT FROM voucher v WHERE v.position = l.position) GROUP BY l.position;

-- name: voucher_comes_from_what_caused_it
-- Finance keeps the paper behind each template: same document, and same event of the same producer; papers of people have no
-- event. Where the paper knows its voucher's position, it is that very one; elsewhere a document has one of each template.
-- All papers meet all vouchers in one hash: MATERIALIZED, or a plan without statistics asks each paper for each voucher.
WITH source AS MATERIALIZED (
    SELECT document_id, cause, cause_position, position, templates FROM (
        SELECT shipment_id, 'inventory', cause_position, position, '{T01,T02b,T11b,T01t}'::text[] FROM receivable
        UNION ALL SELECT document_id, 'inventory', position, NULL, CASE kind WHEN 'sent' THEN '{T02}' WHEN 'recalled' THEN '{T04}'
            WHEN 'returned' THEN '{T05s}' WHEN 'opening' THEN '{T16}' WHEN 'purchase' THEN '{T17}' WHEN 'adjusted' THEN '{T19,T19c}'
            WHEN 'revalued' THEN '{T18r}' END::text[] FROM stock_document
        UNION ALL SELECT DISTINCT document_id, 'inventory', position, NULL::bigint, '{T03b,T01t}'::text[] FROM stopped_line
        UNION ALL SELECT credit_id, 'order', position, NULL, '{T05,T06,T07,T10c,T01t}' FROM credit_note
        UNION ALL SELECT DISTINCT p.item_id, 'order', NULL::bigint, NULL::bigint, '{T11,T01t}'::text[]  -- The order came after its money.
            FROM money_part p JOIN open_item i ON i.item_id = p.item_id AND i.currency = p.currency COLLATE "C" WHERE i.order_net IS NOT NULL
        UNION ALL SELECT v.document_id, 'order', v.cause_position, p.moved, '{T10a}' FROM money_part p JOIN voucher v ON v.position = p.moved WHERE p.moved > 0
        UNION ALL SELECT document_id, 'gateway', cause_position, position, CASE kind WHEN 'payment' THEN '{T09,T10,T11,T01t}' ELSE '{T08,T01t}' END::text[] FROM money_document
        UNION ALL SELECT document_id, 'gateway', NULL, NULL, '{T14b}' FROM forgiveness WHERE kind = 'discount'  -- Taken with a payment.
        UNION ALL SELECT document_id, '', 0, NULL, CASE kind WHEN 'discount' THEN '{T14b,T01t}' WHEN 'write_off' THEN '{T15,T01t}'
            ELSE '{T15r,T01t}' END::text[] FROM forgiveness
        UNION ALL SELECT document_id, '', 0, NULL, '{T01t}' FROM invoice
        UNION ALL SELECT document_id, '', 0, NULL, '{T10a,T01t}' FROM application
        UNION ALL SELECT document_id, '', 0, NULL, '{T22}' FROM free_goods
        UNION ALL SELECT document_id, '', 0, NULL, '{T21,T21r}' FROM revaluation
        UNION ALL SELECT CASE r.kind WHEN 'count' THEN r.document_id ELSE r.request_id END, '', 0, NULL,
            CASE r.kind WHEN 'count' THEN '{T19b,T19t}' ELSE '{T15p}' END::text[]
            FROM approval_request r WHERE r.kind IN ('count', 'provision')
                AND (SELECT count(*) FROM verdict g WHERE g.request_id = r.request_id AND g.approved) >= r.approvals_needed
    ) s (document_id, cause, cause_position, position, templates)
)
SELECT v.word || '-' || v.period || '-' || v.number AS key, v.template || ' for ' || v.document_no AS kept, 'no such paper' AS facts,
    format('company %s, %s', v.company, CASE v.cause WHEN '' THEN 'prepared by ' || v.prepared_by ELSE v.cause || ' position ' || v.cause_position END) AS detail
FROM voucher v LEFT JOIN source s ON s.document_id = v.document_id AND s.cause = v.cause COLLATE "C" AND v.template = ANY (s.templates)
    AND coalesce(s.cause_position, v.cause_position) = v.cause_position
    AND (coalesce(s.position, v.position) = v.position OR v.template IN ('T11b', 'T01t'))  -- Of the same paper, after its own.
WHERE s.document_id IS NULL
UNION ALL SELECT min(word || '-' || period || '-' || number), template || ' for ' || min(document_no), count(*) || ' vouchers of one paper', 'company ' || min(company)
FROM voucher WHERE template NOT IN ('T01', 'T02b', 'T08', 'T09', 'T10', 'T11') GROUP BY template, document_id HAVING count(*) > 1;

-- name: trial_balance_is_zero
SELECT v.company AS key, '0' AS kept, sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END)::text AS facts, 'functional currency' AS detail
FROM voucher v JOIN voucher_line l USING (position) GROUP BY v.company
HAVING sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END) <> 0;

-- name: numbers_have_no_gaps
SELECT coalesce(c.word, v.word) || '-' || coalesce(c.period, v.period) AS key, 'counter at ' || coalesce(c.last_number, 0) AS kept,
    coalesce(v.vouchers, 0) || ' vouchers, ' || coalesce(v.first, 0) || ' to ' || coalesce(v.last, 0) AS facts, 'company ' || coalesce(c.company, v.company) AS detail
FROM voucher_counter c
FULL JOIN (SELECT company, word, period, count(*) AS vouchers, min(number) AS first, max(number) AS last FROM voucher GROUP BY 1, 2, 3) v
    ON v.company = c.company AND v.word = c.word AND v.period = c.period
WHERE (c.last_number, v.vouchers, v.first, v.last) IS DISTINCT FROM (v.last, v.last::bigint, 1, c.last_number);

-- name: open_item_is_the_sum_of_its_facts
SELECT coalesce(nullif(i.order_no, ''), i.item_id::text) AS key,
    format('billed %s, credited %s, received %s, refunded %s, settled %s', i.billed, i.credited, i.received, i.refunded, CASE WHEN i.of_order THEN i.settled END) AS kept,
    format('billed %s, credited %s, received %s, refunded %s, settled %s', coalesce(b.amount, 0), coalesce(c.amount, 0), coalesce(m.received, 0), coalesce(m.refunded, 0),
        CASE WHEN i.of_order THEN coalesce(s.amount, 0) END) AS facts,
    'company ' || i.company || ', ' || i.currency AS detail
FROM open_item i
LEFT JOIN (SELECT item_id, currency, sum(amount_minor) AS amount FROM receivable GROUP BY 1, 2) b ON b.item_id = i.item_id AND b.currency = i.currency COLLATE "C"
LEFT JOIN (SELECT l.item_id, n.currency, sum(l.net_minor + l.tax_minor) AS amount FROM credit_line l JOIN credit_note n USING (position) GROUP BY 1, 2) c
    ON c.item_id = i.item_id AND c.currency = i.currency COLLATE "C"
LEFT JOIN (SELECT item_id, currency, sum(amount_minor) FILTER (WHERE amount_minor > 0 OR moved > 0) AS received,
               -sum(amount_minor) FILTER (WHERE amount_minor < 0 AND moved = 0) AS refunded
           FROM money_part GROUP BY 1, 2) m ON m.item_id = i.item_id AND m.currency = i.currency COLLATE "C"
LEFT JOIN (SELECT order_id, currency, sum(amount_minor) AS amount FROM settlement GROUP BY 1, 2) s ON s.order_id = i.item_id AND s.currency = i.currency COLLATE "C"
WHERE i.billed <> coalesce(b.amount, 0) OR i.credited <> coalesce(c.amount, 0) OR i.received <> coalesce(m.received, 0) OR i.refunded <> coalesce(m.refunded, 0)
    OR (i.of_order AND i.settled <> coalesce(s.amount, 0))
    OR i.received - i.refunded <> i.settled - coalesce(i.forgiven, 0) + i.deposit_net + i.deposit_tax + i.refundable + i.unapplied;

-- name: open_item_has_the_amounts_of_its_lines
-- Unnested once: `lines[n]` reads a long order's whole array from its own storage for each n.
SELECT i.order_no AS key, i.order_net || ' + ' || i.order_tax AS kept, l.net || ' + ' || l.tax AS facts, 'company ' || i.company AS detail
FROM open_item i CROSS JOIN LATERAL (
    SELECT coalesce(sum(x) FILTER (WHERE n % 4 = 3), 0) AS net, coalesce(sum(x) FILTER (WHERE n % 4 = 0), 0) AS tax
    FROM unnest(i.lines) WITH ORDINALITY AS u (x, n)
) l
WHERE i.lines IS NOT NULL AND (i.order_net, i.order_tax) IS DISTINCT FROM (l.net, l.tax);

-- name: stopped_is_what_its_lines_will_never_be_billed
-- Net and tax of the order's lines, minus those of the quantities that are left: A(ordered) - A(ordered - stopped).
-- Ordered and stopped lines meet in a GROUP BY and not in a join: an order of ten thousand lines has no good row estimate.
SELECT i.order_no AS key, i.stopped::text AS kept, s.amount::text AS facts, 'company ' || i.company AS detail
FROM (SELECT item_id, sum(net + tax - div(2 * net * (ordered - stopped) + ordered, 2 * ordered) - div(2 * tax * (ordered - stopped) + ordered, 2 * ordered)) AS amount
      FROM (SELECT item_id, line_no, max(ordered)::numeric AS ordered, max(net)::numeric AS net, max(tax)::numeric AS tax, coalesce(sum(stopped), 0) AS stopped
            FROM (SELECT item_id, line_no, NULL::bigint AS ordered, NULL::bigint AS net, NULL::bigint AS tax, quantity_micro AS stopped FROM stopped_line
                  UNION ALL
                  SELECT o.item_id, t.line_no, t.ordered, t.net, t.tax, NULL
                  FROM open_item o CROSS JOIN LATERAL (
                      SELECT max(x) FILTER (WHERE n % 4 = 1) AS line_no, max(x) FILTER (WHERE n % 4 = 2) AS ordered,
                             max(x) FILTER (WHERE n % 4 = 3) AS net, max(x) FILTER (WHERE n % 4 = 0) AS tax
                      FROM unnest(o.lines) WITH ORDINALITY AS u (x, n) GROUP BY (n - 1) / 4) t
                  WHERE o.order_net IS NOT NULL AND o.item_id IN (SELECT item_id FROM stopped_line)) x
            GROUP BY item_id, line_no) l
      GROUP BY item_id) s
JOIN open_item i ON i.item_id = s.item_id AND i.lines IS NOT NULL
WHERE i.stopped <> coalesce(s.amount, 0)
UNION ALL SELECT i.order_no, i.stopped::text, '0', 'company ' || i.company
FROM open_item i WHERE i.stopped <> 0 AND NOT EXISTS (SELECT FROM stopped_line s WHERE s.item_id = i.item_id);

-- name: billed_in_the_currency_of_its_order
-- An order has one currency, as it was placed. Money may come in others; shipments and deliveries may not.
SELECT i.order_no AS key, i.currency AS kept, b.currency AS facts, format('company %s, %s', i.company, string_agg(DISTINCT b.told, ', ')) AS detail
FROM (SELECT item_id, currency, 'receivable' AS told FROM receivable
      UNION ALL SELECT chain_id, currency, template FROM voucher WHERE template IN ('T01', 'T02b')
      UNION ALL SELECT chain_id, currency, 'lines' FROM posted_line WHERE kind IN ('shipped', 'service', 'delivered')) b
JOIN open_item i ON i.item_id = b.item_id AND i.order_net IS NOT NULL AND i.currency <> b.currency COLLATE "C"
GROUP BY i.item_id, i.currency, b.currency;

-- name: control_accounts_are_the_open_items
-- 1122, 2204, 2221.06, 2241.01 and 2203, per open item: what the ledger says and what the item says. Few have more than 1122, and
-- what is 0 on a side need not meet the other one.
SELECT coalesce(nullif(i.order_no, ''), coalesce(i.item_id, l.item_id)::text) || ' ' || coalesce(i.role, l.role) AS key,
    coalesce(i.balance, 0)::text AS kept, coalesce(l.balance, 0)::text AS facts, coalesce(i.currency, l.currency) AS detail
FROM (SELECT item_id, currency, order_no, 'receivable' AS role, billed - credited - settled AS balance FROM open_item WHERE billed - credited - settled <> 0
      UNION ALL SELECT o.item_id, o.currency, o.order_no, b.role, b.balance FROM open_item o CROSS JOIN LATERAL (VALUES
        ('deposit', -o.deposit_net), ('deposit_tax', -o.deposit_tax),
        ('refundable', -o.refundable), ('unapplied', -o.unapplied), ('output_tax_pending', coalesce(o.tax_due - o.tax_billed, 0)))
        b (role, balance)
      WHERE (o.deposit_net <> 0 OR o.deposit_tax <> 0 OR o.refundable <> 0 OR o.unapplied <> 0 OR o.tax_due <> o.tax_billed) AND b.balance <> 0) i
FULL JOIN (SELECT item_id, currency, role, sum(CASE side WHEN 'D' THEN amount_minor ELSE -amount_minor END) AS balance
           FROM voucher_line WHERE role IN ('receivable', 'deposit', 'deposit_tax', 'refundable', 'unapplied', 'output_tax_pending') GROUP BY 1, 2, 3
           HAVING sum(CASE side WHEN 'D' THEN amount_minor ELSE -amount_minor END) <> 0) l
    ON l.item_id = i.item_id AND l.currency = i.currency AND l.role = i.role
WHERE coalesce(i.balance, 0) <> coalesce(l.balance, 0);

-- name: shipments_are_posted_as_billed
-- Subledger lines of a shipment against the voucher that was posted for it: net, tax and cost.
SELECT 'inventory position ' || p.position AS key, format('net and tax %s, cost %s', p.gross, p.cost) AS kept,
    format('net and tax %s, cost %s', coalesce(l.gross, 0), coalesce(l.cost, 0)) AS facts, p.document_no AS detail
FROM (SELECT position, document_no, sum(net_minor + tax_minor) AS gross, -sum(value_minor) AS cost
      FROM posted_line WHERE kind IN ('shipped', 'service', 'delivered') GROUP BY 1, 2) p
LEFT JOIN (SELECT v.cause_position, sum(l.amount_minor) FILTER (WHERE l.role = 'receivable') AS gross,
               sum(l.amount_minor) FILTER (WHERE l.side = 'C' AND l.role IN ('stock', 'in_transit')) AS cost
           FROM voucher v JOIN voucher_line l USING (position)
           WHERE v.template IN ('T01', 'T02', 'T02b') AND (l.role = 'receivable' OR (l.side = 'C' AND l.role IN ('stock', 'in_transit')))
           GROUP BY 1) l ON l.cause_position = p.position
WHERE (p.gross, p.cost) IS DISTINCT FROM (coalesce(l.gross, 0), coalesce(l.cost, 0));

-- name: stock_account_is_the_sum_of_its_moves
-- 1405 per company: what the ledger says and what inventory announced. All lines of an event are of one company, so they are summed
-- before it is looked for.
SELECT coalesce(v.company, p.company) AS key, coalesce(v.balance, 0)::text AS kept, coalesce(p.value, 0)::text AS facts, '1405' AS detail
FROM (SELECT v.company, sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END) AS balance
      FROM voucher v JOIN voucher_line l USING (position) WHERE l.role = 'stock' GROUP BY 1) v
FULL JOIN (SELECT coalesce(i.company, d.company) AS company, sum(p.value_minor) AS value
           FROM (SELECT position, sum(value_minor) AS value_minor FROM posted_line WHERE kind <> 'delivered' GROUP BY 1) p
           LEFT JOIN receivable r ON r.cause_position = p.position
           LEFT JOIN open_item i ON i.item_id = r.item_id AND i.currency = r.currency COLLATE "C"
           LEFT JOIN stock_document d ON d.position = p.position GROUP BY 1) p ON p.company = v.company
WHERE coalesce(v.balance, 0) <> coalesce(p.value, 0);

-- name: goods_on_their_way_are_the_account
-- 1406 per order: what the ledger says and what was sent, and neither delivered nor stopped.
SELECT coalesce(v.chain_id, t.chain_id)::text AS key, coalesce(v.balance, 0)::text AS kept, coalesce(t.value, 0)::text AS facts, '1406' AS detail
FROM (SELECT v.chain_id, sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END) AS balance
      FROM voucher v JOIN voucher_line l USING (position) WHERE l.role = 'in_transit' GROUP BY 1) v
FULL JOIN (SELECT chain_id, sum(value_minor) AS value FROM transit GROUP BY 1) t ON t.chain_id = v.chain_id
WHERE coalesce(v.balance, 0) <> coalesce(t.value, 0);

-- name: credits_are_posted_as_noted
SELECT n.credit_no AS key, sum(c.net_minor + c.tax_minor)::text AS kept, coalesce(max(l.gross), 0)::text AS facts, 'company ' || n.company AS detail
FROM credit_note n JOIN credit_line c USING (position)
LEFT JOIN (SELECT v.cause_position, -sum(l.amount_minor) AS gross FROM voucher v JOIN voucher_line l USING (position)
           WHERE v.template IN ('T05', 'T06', 'T07') AND l.role = 'receivable' GROUP BY 1) l ON l.cause_position = n.position
GROUP BY n.credit_id HAVING sum(c.net_minor + c.tax_minor) <> coalesce(max(l.gross), 0);

-- name: company_is_closed_through_its_last_close
-- Or its last reopening, whatever came last.
SELECT c.company AS key, coalesce(nullif(c.closed_through, ''), 'never closed') AS kept, coalesce(nullif(p.closed_through, ''), 'nothing closed') AS facts, '' AS detail
FROM company c LEFT JOIN LATERAL (SELECT closed_through FROM calendar WHERE company = c.company ORDER BY position DESC LIMIT 1) p ON true
WHERE c.closed_through IS DISTINCT FROM coalesce(p.closed_through, '');

-- name: nothing_was_posted_after_its_period_was_closed
-- By positions: a posting draws its own after it has locked its company, as a close and a reopening do.
SELECT v.word || '-' || v.period || '-' || v.number AS key, 'posted at position ' || v.position AS kept, 'closed through ' || c.closed_through AS facts, 'company ' || v.company AS detail
FROM voucher v JOIN LATERAL (SELECT k.closed_through FROM calendar k WHERE k.company = v.company AND k.position < v.position ORDER BY k.position DESC LIMIT 1) c
    ON v.period <= c.closed_through;

-- name: closed_periods_have_no_open_counts
SELECT c.company AS key, '0' AS kept, sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END)::text AS facts, '1901' AS detail
FROM company c JOIN voucher v ON v.company = c.company AND v.period <= c.closed_through JOIN voucher_line l USING (position)
WHERE l.role = 'count_difference' GROUP BY c.company HAVING sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END) <> 0;

-- name: invoiced_is_the_sum_of_its_invoices
SELECT i.order_no AS key, i.tax_invoiced::text AS kept, coalesce(sum(v.tax_minor), 0)::text AS facts, 'company ' || i.company AS detail
FROM open_item i LEFT JOIN invoice v ON v.item_id = i.item_id AND v.currency = i.currency COLLATE "C"
WHERE i.tax_point IS NOT NULL GROUP BY i.item_id, i.currency HAVING i.tax_invoiced <> coalesce(sum(v.tax_minor), 0);

-- name: nobody_approved_his_own_voucher
SELECT word || '-' || period || '-' || number AS key, prepared_by AS kept, reviewed_by AS facts, 'company ' || company AS detail
FROM voucher WHERE reviewed_by <> '' AND prepared_by = ANY (string_to_array(reviewed_by, ', '));

-- name: forgiven_is_the_sum_of_its_documents
SELECT i.order_no AS key, coalesce(i.forgiven, 0)::text AS kept, coalesce(f.amount, 0)::text AS facts, 'company ' || i.company AS detail
FROM open_item i LEFT JOIN (SELECT item_id, currency, sum(amount_minor) AS amount FROM forgiveness GROUP BY 1, 2) f
    ON f.item_id = i.item_id AND f.currency = i.currency COLLATE "C"
WHERE coalesce(i.forgiven, 0) <> coalesce(f.amount, 0);

-- name: what_needs_approval_was_approved
SELECT f.number AS key, f.kind AS kept, count(v.given_by) || ' approvals' AS facts, 'company ' || f.company AS detail
FROM forgiveness f LEFT JOIN approval_request r ON r.request_id = f.document_id LEFT JOIN verdict v ON v.request_id = r.request_id AND v.approved
WHERE f.kind <> 'discount' GROUP BY f.document_id HAVING count(v.given_by) < coalesce(max(r.approvals_needed), 1)
UNION ALL SELECT p.document_no, p.template, count(v.given_by) || ' approvals', 'company ' || p.company
FROM voucher p LEFT JOIN approval_request r ON r.request_id = p.document_id LEFT JOIN verdict v ON v.request_id = r.request_id AND v.approved
WHERE p.template = 'T15p' GROUP BY p.position HAVING count(v.given_by) < coalesce(max(r.approvals_needed), 1);

-- name: unrealised_differences_are_reversed
SELECT v.company AS key, '0' AS kept, sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END)::text AS facts, '6603.04' AS detail
FROM voucher v JOIN voucher_line l USING (position) WHERE v.template IN ('T21', 'T21r') AND l.role = 'fx_unrealised'
GROUP BY v.company HAVING sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END) <> 0;

-- name: waiting_claims_are_what_their_orders_hold
-- What orders named without an amount hold of a payment, while one of them is unknown, is at most what it brought them.
SELECT d.number AS key, w.taken_minor::text AS kept, coalesce(p.amount, 0)::text AS facts, 'company ' || d.company AS detail
FROM waiting_claim w JOIN money_document d USING (document_id)
LEFT JOIN (SELECT document_id, item_id, sum(amount_minor) AS amount FROM money_part GROUP BY 1, 2) p USING (document_id, item_id)
WHERE w.taken_minor > coalesce(p.amount, 0);

-- name: orders_were_told_what_is_held_for_them
SELECT i.order_no AS key, i.held::text AS kept, coalesce(s.held, 0)::text AS facts, 'company ' || i.company AS detail
FROM (SELECT *, CASE WHEN order_net IS NULL THEN 0 ELSE deposit_net + deposit_tax + refundable + unapplied END AS held FROM open_item WHERE of_order) i
LEFT JOIN (SELECT order_id, currency, sum(held_minor) AS held FROM settlement GROUP BY 1, 2) s
    ON s.order_id = i.item_id AND s.currency = i.currency COLLATE "C"
WHERE i.held <> coalesce(s.held, 0);
