-- name: standing
SELECT count(*) FROM disagreement WHERE gone_at IS NULL;

-- name: stands
SELECT EXISTS (SELECT FROM disagreement WHERE measure = $1 AND cause = $2 AND gone_at IS NULL);

-- name: note_found
-- Returned are those to announce: found for the first time, or again after they had gone.
INSERT INTO disagreement AS d (measure, position, order_no, chain_id, detail, cause, why, repair)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
ORDER BY 1, 2
ON CONFLICT (measure, position) DO UPDATE
SET gone_at = NULL, times = d.times + 1, found_at = clock_timestamp(), detail = excluded.detail,
    cause = excluded.cause, why = excluded.why, repair = excluded.repair
WHERE d.gone_at IS NOT NULL
RETURNING measure, position, order_no, chain_id, detail, times, cause, why;

-- name: note_gone
-- What was found once, in a measure that was now compared whole up to a position beyond, and is not found any more.
UPDATE disagreement d SET gone_at = clock_timestamp()
FROM unnest($1::smallint[], $2::bigint[]) AS whole (measure, upto)
WHERE d.gone_at IS NULL AND d.measure = whole.measure AND d.position <= whole.upto
  AND (d.measure, d.position) NOT IN (SELECT * FROM unnest($3::smallint[], $4::bigint[]))
RETURNING d.measure, d.position, d.cause;
