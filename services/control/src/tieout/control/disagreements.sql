-- name: standing
SELECT count(*) FROM disagreement WHERE gone_at IS NULL;

-- name: note_found
-- Returned are those to announce: found for the first time, or again after they had gone.
INSERT INTO disagreement AS d (measure, position, order_no, chain_id, detail)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
ORDER BY 1, 2
ON CONFLICT (measure, position) DO UPDATE
SET gone_at = NULL, times = d.times + 1, found_at = clock_timestamp(), detail = excluded.detail
WHERE d.gone_at IS NOT NULL
RETURNING measure, position, order_no, chain_id, detail, times;

-- name: note_gone
-- What was found once, in a measure that was now compared whole, and is not among those found any more.
UPDATE disagreement SET gone_at = clock_timestamp()
WHERE gone_at IS NULL AND measure = ANY($1::smallint[])
  AND (measure, position) NOT IN (SELECT * FROM unnest($2::smallint[], $3::bigint[]));
