-- name: chains_of_order
-- By the number that people type: all chains that ever named it.
SELECT DISTINCT chain_id::text FROM membership WHERE order_no = $1 AND ($2 = '' OR company = $2) LIMIT $3;

-- name: notices_of_chains
SELECT DISTINCT n.producer, n.first_position, n.body, n.repeats
FROM heard AS h JOIN notice AS n USING (producer, first_position)
WHERE h.chain_id = ANY($1::uuid[])
ORDER BY n.producer, n.first_position LIMIT $2;

-- name: latencies
SELECT before, after, bucket, sum(n)::bigint AS n
FROM latency WHERE slot >= clock_timestamp() - $1::integer * interval '1 minute'
GROUP BY before, after, bucket;

-- name: throughput
-- The last minute is counted in whole slots of ten seconds that have ended.
SELECT event_type,
       sum(n)::bigint AS total,
       coalesce(sum(n) FILTER (WHERE slot >= date_bin('10 s', clock_timestamp(), 'epoch') - interval '1 minute'
                                 AND slot < date_bin('10 s', clock_timestamp(), 'epoch')), 0)::float8 / 60 AS last_minute,
       max(n)::float8 / 10 AS peak
FROM tally WHERE slot >= clock_timestamp() - $1::integer * interval '1 minute'
GROUP BY event_type ORDER BY event_type;

-- name: open_counts
SELECT (SELECT count(*) FROM dead_letter) AS dead_letters,
       (SELECT count(*) FROM disagreement WHERE gone_at IS NULL) AS disagreements;

-- name: dead_letters
SELECT number, at, service, flow, subject, reason, field, detail, order_no, company, chain_id, position, attempts
FROM dead_letter
WHERE number > $1 AND ($2 = '' OR service = $2)
ORDER BY number LIMIT $3;
