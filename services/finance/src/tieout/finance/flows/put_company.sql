-- name: hold_name
-- Postings that find no company hold this shared: they park before we wake, or they see the company.
SELECT pg_advisory_xact_lock(hashtextextended('company ' || $1, 0));

-- name: company
SELECT company, name, currency, zone, tax_point, voucher_words, closed_through, revision, opened_at, control_passes
FROM company WHERE company = $1;

-- name: put_company
INSERT INTO company (company, name, currency, zone, tax_point, voucher_words, control_passes) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (company) DO UPDATE SET name = excluded.name, tax_point = excluded.tax_point, voucher_words = excluded.voucher_words,
    control_passes = excluded.control_passes;

-- name: count_revision
UPDATE company SET revision = revision + CASE WHEN $2 THEN 1 ELSE 0 END WHERE company = $1
RETURNING company, name, currency, zone, tax_point, voucher_words, closed_through, revision, opened_at, control_passes;

-- name: put_accounts
INSERT INTO ledger_account (company, code, name, name_zh, kind)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) ON CONFLICT DO NOTHING;

-- name: roles
SELECT role, code FROM account_role WHERE company = $1;

-- name: put_roles
INSERT INTO account_role (company, role, code) SELECT $1, * FROM unnest($2::text[], $3::text[])
ON CONFLICT (company, role) DO UPDATE SET code = excluded.code;
