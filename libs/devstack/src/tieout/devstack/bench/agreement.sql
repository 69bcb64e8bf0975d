-- name: order_headers
-- Orders $1 to $2; a header has no lines of its own. Ids follow from the number, so that every book holds the same.
INSERT INTO order_header (position, net_minor, tax_minor, rate_micro, occurred_at, order_id, intake_id, business_date, due_days,
    company, source, order_no, version, fingerprint, customer, currency, zone)
SELECT p, 1000, 190, 1000000, now(), md5('o' || p)::uuid, md5('i' || p)::uuid, current_date, 30,
       'BENCH', 'bench-shop', (900000000 + p)::text, '1', '', 'c', 'EUR', 'Europe/Berlin'
FROM generate_series($1::bigint, $2::bigint) p WHERE $3::integer > 0;

-- name: order_lines
INSERT INTO order_line (position, quantity_micro, net_minor, tax_minor, unit_price_micro, rounding_micro, line_no, sku, uom, warehouse, kind, account, cost_account)
SELECT p, (p % 7 + line) * 1000000, p % 1000 + 100, p % 190, 1000000, 0, line, 'BENCH-001', 'pcs', 'MAIN', 'goods', 'goods', 'goods'
FROM generate_series($1::bigint, $2::bigint) p, generate_series(1, $3::integer) line;

-- name: order_shipped
INSERT INTO shipped_line (position, order_position, from_micro, to_micro, net_minor, tax_minor, line_no, from_reserved)
SELECT p, p, 0, (p % 7 + line) * 1000000, p % 1000 + 100, p % 190, line, false
FROM generate_series($1::bigint, $2::bigint) p, generate_series(1, $3::integer) line;

-- name: inventory_orders
INSERT INTO sales_order (order_id, placed, position, company, source, order_no, customer, currency, business_date)
SELECT md5('o' || p)::uuid, true, p, 'BENCH', 'bench-shop', (900000000 + p)::text, 'c', 'EUR', current_date
FROM generate_series($1::bigint, $2::bigint) p WHERE $3::integer > 0;

-- name: inventory_demand
INSERT INTO demand (position, line_no, order_id, sku, warehouse, account, cost_account, quantity_micro, net_minor, tax_minor, residual_minor)
SELECT p, line, md5('o' || p)::uuid, 'BENCH-001', 'MAIN', 'goods', 'goods', (p % 7 + line) * 1000000, p % 1000 + 100, p % 190, 0
FROM generate_series($1::bigint, $2::bigint) p, generate_series(1, $3::integer) line;

-- name: inventory_moves
INSERT INTO move (position, line_no, kind, quantity_micro, value_minor, from_micro, to_micro, from_reserved, order_position, chain_id, document_no, business_date, period)
SELECT p, line, 'issue', -(p % 7 + line) * 1000000, -(p % 500), 0, (p % 7 + line) * 1000000, false, p, md5('o' || p)::uuid, (900000000 + p)::text, current_date, '2026-01'
FROM generate_series($1::bigint, $2::bigint) p, generate_series(1, $3::integer) line;

-- name: finance_posted
INSERT INTO posted_line (position, quantity_micro, value_minor, net_minor, tax_minor, chain_id, line_no, kind, account, starts, document_no, currency)
SELECT p, -(p % 7 + line) * 1000000, -(p % 500), p % 1000 + 100, p % 190, md5('o' || p)::uuid, line, 'shipped', 'goods', true, (900000000 + p)::text, 'EUR'
FROM generate_series($1::bigint, $2::bigint) p, generate_series(1, $3::integer) line;

-- name: edit
-- What a hand would do, and the way back.
UPDATE demand SET quantity_micro = quantity_micro + $2::bigint WHERE position = ANY($1::bigint[]) AND line_no = 1;

-- name: edit_of_three
-- The same in one of the three books of a measure.
UPDATE shipped_line SET to_micro = to_micro + $2::bigint WHERE position = ANY($1::bigint[]) AND line_no = 1;
