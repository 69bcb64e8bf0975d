-- name: lock_orders
-- Only orders whose terms are known; without them nobody can say what a stopped quantity is worth.
SELECT o.item_id, o.currency, o.lines, o.business_date FROM open_item o
WHERE o.item_id = ANY ($1::uuid[]) AND o.order_net IS NOT NULL ORDER BY o.item_id, o.currency FOR UPDATE OF o;

-- name: stopped_before
SELECT DISTINCT document_id FROM stopped_line WHERE document_id = ANY ($1::uuid[]);

-- name: stopped
SELECT item_id, line_no, sum(quantity_micro)::bigint FROM stopped_line WHERE item_id = ANY ($1::uuid[]) GROUP BY item_id, line_no;
