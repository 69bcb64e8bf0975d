-- name: claim
-- Sorted, so that two batches that bring the same new ids queue for them; the second waits for the first one's commit.
INSERT INTO anchor (id) SELECT unnest($1::uuid[]) AS id ORDER BY id
ON CONFLICT (id) DO NOTHING;

-- name: lock
-- A statement of its own after `claim`: only a new snapshot sees what the one we waited for has committed.
SELECT id, position, awaited, cancel_waits FROM anchor
WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE;

-- name: accept
-- The document has come under an id that others may have named before.
UPDATE anchor SET position = brought.position
FROM unnest($1::uuid[], $2::bigint[]) AS brought(id, position)
WHERE anchor.id = brought.id;

-- name: await_them
-- Under the lock: whoever brings the next fact of these ids sees that somebody waits.
UPDATE anchor SET awaited = true, cancel_waits = cancel_waits OR id = ANY($2::uuid[])
WHERE id = ANY($1::uuid[]) AND NOT (awaited AND (cancel_waits OR id <> ALL($2::uuid[])));

-- name: await_no_more
-- The parked messages run again after this commit; those that still must wait say so again.
UPDATE anchor SET awaited = false WHERE id = ANY($1::uuid[]);
