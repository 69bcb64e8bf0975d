-- name: sent_upto
-- Every letter up to this batch was sent before we ask; null where none was. One that is sent later lies behind the end
-- that the stream tells us of, and would seem lost.
SELECT least((SELECT max(batch) FROM outbox WHERE stream = 'DEAD' AND first_seq IS NOT NULL),
             (SELECT min(batch) - 1 FROM outbox WHERE stream = 'DEAD' AND first_seq IS NULL))
WHERE EXISTS (SELECT FROM outbox WHERE stream = 'DEAD' AND first_seq IS NOT NULL);

-- name: newest_subjects
-- Of the newest letters: what a broker loses of a stream that it keeps is its tail.
SELECT DISTINCT unnest(subjects) AS subject FROM (SELECT subjects FROM outbox WHERE stream = 'DEAD' AND first_seq IS NOT NULL ORDER BY batch DESC LIMIT 20) o;

-- name: lacking
-- Rows whose letters are not where they were put: the stream was made anew ($1), emptied ($2), ends earlier ($3), had some
-- deleted ($4), or its last letter of a subject ($6, $7) stands before ours, so that others have our numbers.
SELECT o.batch FROM outbox o
WHERE o.stream = 'DEAD' AND o.first_seq IS NOT NULL AND o.written_at > now() - make_interval(secs => $5::float8 * 3600)
  AND (o.stream_created <> $1 OR o.first_seq < $2 OR o.last_seq > $3
    OR EXISTS (SELECT FROM unnest($4::bigint[]) gone WHERE gone BETWEEN o.first_seq AND o.last_seq AND (o.seqs IS NULL OR gone = ANY (o.seqs)))
    OR EXISTS (SELECT FROM unnest($6::text[], $7::bigint[]) s (subject, last), unnest(o.subjects, o.message) m (subject, message)
               WHERE m.subject = s.subject AND coalesce(o.seqs[m.message], o.first_seq + m.message - 1) > s.last))
  AND o.batch > $8 AND o.batch <= $9 ORDER BY o.batch LIMIT $10;

-- name: hold
SELECT subjects, bodies, message FROM outbox WHERE batch = $1 FOR UPDATE;

-- name: settled
-- Sent by a process that had not yet seen the stream.
UPDATE outbox SET stream_created = $1 WHERE stream = 'DEAD' AND first_seq IS NOT NULL AND stream_created IS NULL;
