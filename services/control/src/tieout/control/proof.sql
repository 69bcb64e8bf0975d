-- name: watermarks
SELECT measure, position, at FROM watermark;

-- name: raise_watermarks
-- Two proofs may run at once: the higher watermark is right, unless the producer's own mark has fallen below it.
INSERT INTO watermark AS w (measure, position, at)
SELECT measure, position, clock_timestamp() FROM unnest($1::smallint[], $2::bigint[]) AS n (measure, position)
ORDER BY measure
ON CONFLICT (measure) DO UPDATE SET position = excluded.position, at = excluded.at
WHERE excluded.position > w.position OR w.position > ($3::bigint[])[array_position($1::smallint[], excluded.measure)];

-- name: companies
SELECT DISTINCT chain_id, order_no, company FROM membership WHERE order_no = ANY($1::text[]);
