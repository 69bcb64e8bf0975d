-- name: anchor_orders
-- How many are new, and whether any customer has a credit limit. Sorted, so that two batches that bring the same order queue for it instead of deadlocking.
WITH fresh AS (
    INSERT INTO anchor (id, position)
    SELECT id, position FROM unnest($1::uuid[], $2::bigint[]) AS placed(id, position) ORDER BY id
    ON CONFLICT (id) DO NOTHING RETURNING 1
)
SELECT count(*), EXISTS (SELECT FROM credit_limit) FROM fresh;

-- name: lock_known
-- Those that were there before: placed already, or named by a cancellation or credit that came first.
SELECT a.id, a.position, a.awaited, a.cancel_waits
FROM unnest($1::uuid[], $2::bigint[]) AS placed(id, position)
JOIN anchor a ON a.id = placed.id AND a.position IS DISTINCT FROM placed.position
ORDER BY a.id FOR UPDATE OF a;

-- name: accepted
-- What each order number was accepted with.
SELECT position, version, fingerprint FROM order_header WHERE position = ANY($1::bigint[]);
