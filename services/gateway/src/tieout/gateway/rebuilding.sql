-- name: open_lost_time
-- Goes on where a recovery was interrupted. Else it begins with the last that this database knows of anything.
WITH known AS (
    SELECT coalesce(greatest(
        (SELECT max(written_at) FROM outbox), (SELECT instant_of(id) FROM raw_document ORDER BY id DESC LIMIT 1),
        (SELECT max(at) FROM refusal), (SELECT max(at) FROM decision), (SELECT max(at) FROM audit), (SELECT max(until) FROM lost_time)
    ), now()) AS at
), opened AS (
    INSERT INTO lost_time (since) SELECT at FROM known WHERE NOT EXISTS (SELECT FROM lost_time WHERE until IS NULL)
    ON CONFLICT (since) DO UPDATE SET until = NULL RETURNING since
)
SELECT since FROM opened UNION ALL SELECT since FROM lost_time WHERE until IS NULL ORDER BY since DESC LIMIT 1;

-- name: close_lost_time
UPDATE lost_time SET until = now() WHERE since = $1 RETURNING until;

-- name: note_rebuilt
-- Those whose bytes the backup has were only in the queue: of them nothing is lost.
INSERT INTO rebuilt_document (id, satellite, since)
SELECT d.id, d.satellite, $3 FROM unnest($1::uuid[], $2::text[]) AS d (id, satellite)
WHERE NOT EXISTS (SELECT FROM raw_document r WHERE r.id = d.id)
ON CONFLICT DO NOTHING;

-- name: led_to_commands
-- What was in the queue or in quarantine when the backup was made, and has led to its commands since. In the order of
-- arrival: of two documents that tell of one order the first stands.
SELECT d.id FROM (
    SELECT unnest(ids) AS id FROM pending
    UNION SELECT f.id FROM refusal f WHERE NOT EXISTS (SELECT FROM decision d WHERE d.entry = f.entry)
) d WHERE EXISTS (SELECT FROM command c WHERE c.id = overlay(d.id::text placing '1' from 36 for 1)::uuid) ORDER BY d.id;

-- name: documents
SELECT id, satellite, channel, topic, body, received_at FROM raw_document WHERE id = ANY($1::uuid[]) ORDER BY id;

-- name: leave_queue
-- What was in the queue when the backup was made, and has led to its commands since.
WITH looked AS (
    SELECT p.number, array_agg(d.id ORDER BY d.id) FILTER (WHERE c.id IS NULL) AS left_over
    FROM pending p CROSS JOIN LATERAL unnest(p.ids) AS d (id)
    LEFT JOIN command c ON c.id = overlay(d.id::text placing '1' from 36 for 1)::uuid
    GROUP BY p.number HAVING count(c.id) > 0
), gone AS (
    DELETE FROM pending p USING looked l WHERE p.number = l.number AND l.left_over IS NULL
)
UPDATE pending p SET ids = l.left_over, documents = cardinality(l.left_over)
FROM looked l WHERE p.number = l.number AND l.left_over IS NOT NULL;

-- name: stop_waiting
DELETE FROM waiting w WHERE EXISTS (SELECT FROM command c WHERE c.id = overlay(w.id::text placing '1' from 36 for 1)::uuid);

-- name: settle_refusals
-- In quarantine when the backup was made, mapped since: somebody resubmitted it, and who is forgotten.
INSERT INTO decision (entry, decision, decided_by, note)
SELECT f.entry, 'resubmitted', 'recovery', 'Its command stands in the stream; who resubmitted it was lost with the database.'
FROM refusal f
WHERE NOT EXISTS (SELECT FROM decision d WHERE d.entry = f.entry)
  AND EXISTS (SELECT FROM command c WHERE c.id = overlay(f.id::text placing '1' from 36 for 1)::uuid)
ON CONFLICT DO NOTHING;

-- name: oldest_delivery
-- Names of deliveries are let go by age: from here on all are known that this database has taken in.
SELECT min(received_at) FROM delivery;

-- name: satellites
-- A delivery's documents are numbered from 0, in the 20 bits before the last four: a number that is missing below another one was lost.
WITH numbered AS (
    SELECT satellite, left(hex, 26) AS delivery, ('x' || lpad(substr(hex, 27, 5), 8, '0'))::bit(32)::integer AS number
    FROM (SELECT satellite, replace(id::text, '-', '') AS hex FROM rebuilt_document WHERE since = $1) r
), counted AS (
    SELECT satellite, sum(n)::bigint AS rebuilt, sum(top + 1 - n)::bigint AS lost
    FROM (SELECT satellite, delivery, count(*) AS n, max(number) AS top FROM numbered GROUP BY satellite, delivery) d GROUP BY satellite
), named AS (
    SELECT satellite FROM satellite UNION SELECT satellite FROM counted UNION SELECT unnest($2::text[])
)
SELECT satellite, coalesce(c.rebuilt, 0) AS rebuilt, coalesce(c.lost, 0) AS lost,
       EXISTS (SELECT FROM satellite s WHERE s.satellite = n.satellite) AS known
FROM named n LEFT JOIN counted c USING (satellite) ORDER BY satellite;

-- name: unknown_rates
SELECT w.company, w.currency, w.day, k.currency AS quoted_in
FROM unnest($1::text[], $2::text[], $3::text[]) AS w (company, currency, day) JOIN known_company k ON k.company = w.company
WHERE NOT EXISTS (SELECT FROM exchange_rate e WHERE e.currency = w.currency AND e.quoted_in = k.currency AND e.date = w.day::date)
ORDER BY w.day, w.currency, k.currency;
