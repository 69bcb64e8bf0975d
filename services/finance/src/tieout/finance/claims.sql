-- name: refunds_above
-- Also of this transaction. A refund that is booked is accepted; its reason says that it was told. Those of an earlier claim of
-- the item are not told again, unless that is open again: a customer without an order would have ever more of them.
SELECT p.item_id, p.currency, s.document_id
FROM unnest($1::uuid[], $2::text[]) AS k (item_id, currency)
JOIN money_part p ON p.item_id = k.item_id AND p.currency = k.currency COLLATE "C"
JOIN money_submission s ON s.document_id = p.document_id
WHERE s.outcome = 'accepted' AND s.reason = 'above_received'
  AND NOT coalesce((SELECT e.ended FROM told_claim e WHERE e.item_id = k.item_id AND e.currency = k.currency COLLATE "C" AND e.document_id = p.document_id
                    ORDER BY e.position DESC LIMIT 1), false)
ORDER BY 1, 2, 3;

-- name: refunds_again
-- The latest refunds that make up the claim, as far as their end was told. What came pays the earlier ones.
SELECT source, document_id FROM (
    SELECT d.source, d.document_id, sum(-p.amount_minor) OVER (ORDER BY d.position DESC) + p.amount_minor AS later
    FROM money_part p
    JOIN money_document d USING (document_id)
    JOIN money_submission s ON s.document_id = d.document_id AND s.outcome = 'accepted' AND s.reason = 'above_received'
    WHERE p.item_id = $1 AND p.currency = $2::text COLLATE "C") r
WHERE later < $3
  AND (SELECT e.ended FROM told_claim e WHERE e.item_id = $1 AND e.currency = $2::text COLLATE "C" AND e.document_id = r.document_id ORDER BY e.position DESC LIMIT 1)
ORDER BY 1, 2;
