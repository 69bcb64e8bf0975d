-- Each rule answers rows (key, kept, facts, detail) where what is kept is not what the facts say.

-- name: document_without_outcome
-- Every document of the last day is in the queue, waits, or has led to something. Ids begin with the time of arrival.
WITH queued AS MATERIALIZED (SELECT unnest(ids) AS id FROM pending)
SELECT r.id::text AS key, 'received' AS kept, 'nothing' AS facts,
    format('%s/%s at %s', r.satellite, r.channel, r.received_at) AS detail
FROM raw_document r
WHERE r.id >= (substr(lpad(to_hex((extract(epoch FROM now() - interval '1 day') * 1000)::bigint), 12, '0'), 1, 12) || repeat('0', 20))::uuid
  AND NOT EXISTS (SELECT FROM command c WHERE c.id = overlay(r.id::text placing '1' from 36 for 1)::uuid)
  AND NOT EXISTS (SELECT FROM refusal f WHERE f.id = r.id)
  AND NOT EXISTS (SELECT FROM ignored i WHERE i.id = r.id)
  AND NOT EXISTS (SELECT FROM waiting w WHERE w.id = r.id)
  AND NOT EXISTS (SELECT FROM queued q WHERE q.id = r.id)
LIMIT 100;

-- name: delivery_without_documents
-- What was acknowledged under a name is here, down to its last document.
SELECT d.satellite || ' ' || d.key AS key, d.documents::text AS kept, 'no document' AS facts, d.first_id::text AS detail
FROM delivery d
WHERE d.received_at > now() - interval '1 day' AND NOT EXISTS (SELECT FROM raw_document r WHERE r.id = d.first_id)
LIMIT 100;

-- name: waits_for_a_known_order
-- Nothing waits for longer than a minute for an order that is known.
SELECT w.id::text AS key, 'waiting' AS kept, 'known' AS facts, w.external_id AS detail
FROM waiting w JOIN known_order k USING (satellite, external_id) WHERE w.since < now() - interval '1 minute'
LIMIT 100;

-- name: mapped_and_ignored
SELECT i.id::text AS key, 'ignored' AS kept, 'mapped' AS facts, i.reason AS detail
FROM ignored i WHERE EXISTS (SELECT FROM command c WHERE c.id = overlay(i.id::text placing '1' from 36 for 1)::uuid)
LIMIT 100;
