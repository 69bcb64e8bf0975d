-- name: forget
-- Published, confirmed by every consumer, and older than so many hours; the newest row stays in any case.
DELETE FROM outbox WHERE batch = ANY(ARRAY(
    SELECT batch FROM outbox
    WHERE stream = $1 AND last_seq <= $2 AND written_at < now() - make_interval(hours => $3)
      AND batch < (SELECT max(batch) FROM outbox)
    LIMIT $4));

-- name: forget_letters
-- Other services' letters lie in the same stream, so its consumers say nothing about ours: only age counts. control keeps
-- each letter for as long as its own settings say.
DELETE FROM outbox WHERE stream = 'DEAD' AND first_seq IS NOT NULL AND written_at < now() - make_interval(hours => $1);

-- name: lowest_sequence
SELECT min(first_seq) FROM outbox WHERE stream = $1;
