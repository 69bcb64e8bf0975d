-- name: decided
-- Asked after the locks: the same request may have come before.
SELECT cancel_id FROM cancellation WHERE cancel_id = ANY($1::uuid[]) AND ordinal = 1;

-- name: mark_waiting
-- The place of an order that has not come yet: when it comes, it is promised but does not leave.
UPDATE sales_order SET cancel_waits = true WHERE order_id = ANY($1::uuid[]);
