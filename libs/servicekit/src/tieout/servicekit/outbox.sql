-- name: write
-- One row is what one transaction announced; it is published as a whole, again and again until the broker has it.
-- Its number is the turn of its transaction, which the notice ends with ($9 is the rest of it): no further round trip.
INSERT INTO outbox (batch, stream, pos, first_pos, last_pos, ids, subjects, bodies, message) OVERRIDING SYSTEM VALUE
SELECT n, $1, $2::bigint[], $3, $4, $5::uuid[], $6::text[],
       CASE WHEN $9::bytea IS NULL THEN $7::bytea[]
            ELSE $7::bytea[] || ARRAY[$9 || convert_to(coalesce($10::bigint, n) || '}', 'UTF8')] END, $8::integer[]
FROM (SELECT nextval('outbox_batch_seq') AS n) AS drawn RETURNING batch;

-- name: turn
-- Of a transaction that says nothing.
SELECT nextval('outbox_batch_seq');

-- name: sent
-- On a connection whose commits do not wait for the disk: a lost mark costs one publish more, never an event.
UPDATE outbox SET first_seq = $2, last_seq = $3, seqs = NULL, stream_created = $4 WHERE batch = $1;

-- name: sent_apart
-- Another replica published in between, or the audit put single messages behind the others: not consecutive.
UPDATE outbox SET first_seq = $2, last_seq = $3, seqs = $4::bigint[], stream_created = $5 WHERE batch = $1;

-- name: unsent
-- Rows that another replica is publishing are locked, and passed over.
SELECT batch, stream, pos, subjects, bodies, message FROM outbox
WHERE first_seq IS NULL AND NOT batch = ANY($1::bigint[])
  AND (batch = ANY($2::bigint[]) OR written_at < now() - make_interval(secs => $3))
ORDER BY batch LIMIT 20 FOR UPDATE SKIP LOCKED;

-- name: waiting
-- For health: how many batches lie here unpublished, and since when.
SELECT count(*) AS batches, coalesce(extract(epoch FROM clock_timestamp() - min(written_at)), 0)::float8 AS seconds
FROM outbox WHERE first_seq IS NULL;

-- name: top_sequence
-- The highest sequence that the broker ever gave us. A new stream begins above it: no number is given out twice.
SELECT coalesce(max(last_seq), 0) FROM outbox WHERE stream = $1;

-- name: newest_sent
SELECT batch, stream_created FROM outbox WHERE stream = $1 AND first_seq IS NOT NULL ORDER BY batch DESC LIMIT $2;

-- name: all_sent
-- Only what is young enough to be in the stream still.
SELECT batch, stream_created FROM outbox
WHERE stream = $1 AND first_seq IS NOT NULL AND written_at > now() - make_interval(hours => $2) ORDER BY batch;

-- name: stands
-- The messages of a row and where the broker put them.
SELECT subjects, bodies, message,
       coalesce(seqs, (SELECT array_agg(first_seq + g - 1 ORDER BY g) FROM generate_series(1, (SELECT max(m) FROM unnest(message) m)) g)) AS seqs
FROM outbox WHERE batch = $1;

-- name: next_sent
-- For the slow look through all that was ever sent and still lies here. About how many events: without reading the arrays.
SELECT batch, coalesce(last_pos - first_pos, 0) + 1 AS events FROM outbox WHERE stream = $1 AND batch > $2 AND first_seq IS NOT NULL ORDER BY batch LIMIT $3;

-- name: batches_of
-- Whose messages stood at these places of the stream.
SELECT DISTINCT o.batch FROM outbox o JOIN unnest($2::bigint[]) AS lost (seq) ON o.first_seq <= lost.seq AND o.last_seq >= lost.seq
WHERE o.stream = $1 AND (o.seqs IS NULL OR lost.seq = ANY (o.seqs)) ORDER BY o.batch;

-- name: batches_at
-- The rows that announced these positions.
SELECT o.batch, o.pos, array_agg(p.position) AS asked
FROM outbox o JOIN unnest($2::bigint[]) AS p (position) ON o.first_pos <= p.position AND o.last_pos >= p.position
WHERE o.stream = $1 AND o.first_seq IS NOT NULL AND p.position = ANY (o.pos)
GROUP BY o.batch, o.pos ORDER BY o.batch;

-- name: hold
SELECT FROM outbox WHERE batch = $1 FOR UPDATE;

-- name: restate_mark
SELECT restate_mark();
