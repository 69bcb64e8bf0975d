-- name: refunds_above
-- Also of this transaction. A refund that is booked is accepted; its reason says that it was told. Those of an earlier claim of
-- the item are not told again: a customer without an order would have ever more of them.
SELECT p.item_id, p.currency, s.document_id
FROM unnest($1::uuid[], $2::text[]) AS k (item_id, currency)
JOIN money_part p ON p.item_id = k.item_id AND p.currency = k.currency COLLATE "C"
JOIN money_submission s ON s.document_id = p.document_id
WHERE s.outcome = 'accepted' AND s.reason = 'above_received'
  AND NOT EXISTS (SELECT FROM ended_claim e WHERE e.item_id = k.item_id AND e.currency = k.currency COLLATE "C" AND e.document_id = p.document_id)
ORDER BY 1, 2, 3;
