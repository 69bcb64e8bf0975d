-- name: keep_letters
-- The letter's hash is its key: the relay of a service may publish one letter twice. A message that is given up again (its
-- replay failed) has the same key and a later instant: it takes the place of the older one. Returned: which are new.
INSERT INTO dead_letter AS d (letter_id, at, service, flow, subject, reason, field, detail, order_no, company, chain_id,
                         position, attempts, fingerprint, letter)
SELECT letter_id::uuid, at::timestamptz, service, flow, subject, reason, field, detail, order_no, company, chain_id,
       position, attempts, fingerprint, letter
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::bigint[], $13::integer[], $14::text[], $15::bytea[])
     AS l (letter_id, at, service, flow, subject, reason, field, detail, order_no, company, chain_id, position,
           attempts, fingerprint, letter)
ON CONFLICT (letter_id) DO UPDATE SET at = excluded.at, reason = excluded.reason, field = excluded.field,
    detail = excluded.detail, attempts = excluded.attempts, fingerprint = excluded.fingerprint, letter = excluded.letter
WHERE d.at < excluded.at
RETURNING letter_id::text;

-- name: tickets_of_flows
SELECT flow, fingerprint FROM ticket WHERE kind = 'dead_letter' AND flow = ANY($1::text[]);

-- name: note_tickets
UPDATE dead_letter AS d SET ticket = t.ticket
FROM unnest($1::text[], $2::bigint[]) AS t (letter_id, ticket) WHERE d.letter_id = t.letter_id::uuid;
