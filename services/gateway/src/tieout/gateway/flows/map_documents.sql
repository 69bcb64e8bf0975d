-- name: claim
-- The oldest first; replicas take different rows; what belongs to a held satellite stays where it is.
SELECT p.number, p.documents, p.bytes FROM pending p
WHERE NOT EXISTS (SELECT FROM satellite s WHERE s.satellite = p.satellite AND s.held)
ORDER BY p.number LIMIT 200 FOR UPDATE OF p SKIP LOCKED;

-- name: count_pending
-- How far behind we are. Few rows, because one stands for up to 500 documents.
SELECT coalesce(sum(documents), 0)::bigint FROM pending;

-- name: take
-- Ids ascend in the order of arrival, and so do the rows of raw_document. What is too large stays where it is: its size
-- is read without its bytes.
WITH taken AS (DELETE FROM pending WHERE number = ANY($1::bigint[]) RETURNING number, ids)
SELECT r.id, r.satellite, r.channel, r.topic, CASE WHEN octet_length(r.body) <= $2 THEN r.body END, r.received_at
FROM taken t CROSS JOIN LATERAL unnest(t.ids) WITH ORDINALITY AS d (id, ordinal) JOIN raw_document r ON r.id = d.id
ORDER BY t.number, d.ordinal;

-- name: sizes
SELECT id, octet_length(body) FROM raw_document WHERE id = ANY($1::uuid[]);

-- name: companies
SELECT company, currency, zone, control_passes FROM known_company;

-- name: rates
-- Of each pair the newest rate at or before the day, unless it is older than so many days; of its date what was put last.
SELECT w.currency, w.quoted_in, w.day, r.rate_micro, r.date
FROM unnest($1::text[], $2::text[], $3::date[]) AS w (currency, quoted_in, day)
CROSS JOIN LATERAL (
    SELECT rate_micro, date FROM exchange_rate e
    WHERE e.currency = w.currency AND e.quoted_in = w.quoted_in AND e.date <= w.day AND e.date >= w.day - $4::integer
    ORDER BY e.date DESC, e.entry DESC LIMIT 1
) r;

-- name: unknown_skus
SELECT w.company, w.sku FROM unnest($1::text[], $2::text[]) AS w (company, sku)
WHERE NOT EXISTS (SELECT FROM known_sku k WHERE k.company = w.company AND k.sku = w.sku);

-- name: unknown_warehouses
SELECT w.company, w.warehouse FROM unnest($1::text[], $2::text[]) AS w (company, warehouse)
WHERE NOT EXISTS (SELECT FROM known_warehouse k WHERE k.company = w.company AND k.warehouse = w.warehouse);

-- name: known_orders
SELECT k.satellite, k.external_id, k.told
FROM known_order k JOIN unnest($1::text[], $2::text[]) AS w (satellite, external_id) USING (satellite, external_id);

-- name: note_orders
-- The first document that tells of an order and is accepted stands: a later one with other content is a conflict for
-- its owner to tell. A refused one is believed until then, because money for its order may come meanwhile.
INSERT INTO known_order AS k (satellite, external_id, told, accepted)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::boolean[])
ON CONFLICT (satellite, external_id) DO UPDATE SET told = excluded.told, accepted = true
WHERE excluded.accepted AND NOT k.accepted;

-- name: wake
-- Documents that waited for these orders go back into the queue.
WITH woken AS (
    DELETE FROM waiting w USING unnest($1::text[], $2::text[]) AS k (satellite, external_id)
    WHERE w.satellite = k.satellite AND w.external_id = k.external_id RETURNING w.satellite, w.id
)
INSERT INTO pending (satellite, documents, bytes, ids)
SELECT satellite, count(*), count(*) * 4096, array_agg(id ORDER BY id) FROM woken GROUP BY satellite;

-- name: wake_waiting
-- Each second: what another replica made known, and what has waited long enough.
WITH woken AS (
    DELETE FROM waiting w
    WHERE w.since < now() - $1::interval
       OR EXISTS (SELECT FROM known_order k WHERE k.satellite = w.satellite AND k.external_id = w.external_id)
    RETURNING w.satellite, w.id
), queued AS (
    INSERT INTO pending (satellite, documents, bytes, ids)
    SELECT satellite, count(*), count(*) * 4096, array_agg(id ORDER BY id) FROM woken GROUP BY satellite
    RETURNING true
)
SELECT EXISTS (SELECT FROM queued) OR EXISTS (SELECT FROM pending);

-- name: read_documents
-- For a rehearsal: as `take` gives them, and the queue stays as it is.
SELECT id, satellite, channel, topic, CASE WHEN octet_length(body) <= $2 THEN body END, received_at
FROM raw_document WHERE id = ANY($1::uuid[]) ORDER BY id;
