-- name: note
-- SKUs are only ever added; a listing that comes again changes nothing.
INSERT INTO known_sku (company, sku) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
RETURNING company, sku;

-- name: note_warehouses
-- The same.
INSERT INTO known_warehouse (company, warehouse) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
RETURNING company, warehouse;
