-- name: lock_companies
-- Shared: postings of the same company do not wait for each other, but a close of its period waits for all of them.
SELECT c.company, c.currency, c.tax_point, c.voucher_words, c.closed_through,
    ARRAY(SELECT r.role FROM account_role r WHERE r.company = c.company ORDER BY r.role),
    ARRAY(SELECT r.code FROM account_role r WHERE r.company = c.company ORDER BY r.role)
FROM company c WHERE c.company = ANY ($1::text[]) ORDER BY c.company FOR SHARE OF c;

-- name: hold_names
-- A row that does not exist cannot be locked; its name can.
SELECT pg_advisory_xact_lock_shared(hashtextextended('company ' || name, 0)) FROM unnest($1::text[]) name ORDER BY name;

-- name: advance_counters
-- Sorted, and the last lock of every transaction: held for the shortest time, and never in a circle.
INSERT INTO voucher_counter AS c (company, word, period, last_number)
SELECT company, word, period, vouchers FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[]) AS n (company, word, period, vouchers)
ORDER BY company COLLATE "C", word COLLATE "C", period COLLATE "C"
ON CONFLICT (company, word, period) DO UPDATE SET last_number = c.last_number + excluded.last_number
RETURNING company, word, period, last_number;
