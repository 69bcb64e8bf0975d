-- name: billed_before
-- Asked under the locks of their orders: whoever held them before us has committed by now.
SELECT shipment_id FROM receivable WHERE shipment_id = ANY ($1::uuid[]);
