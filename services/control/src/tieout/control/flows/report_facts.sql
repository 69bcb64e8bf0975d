-- name: note
-- An event may come twice and is counted once. Returned: those that are new.
INSERT INTO ticketed (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id::text;
