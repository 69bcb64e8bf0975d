-- name: satellites
SELECT satellite, name, companies, zone, authentication, default_warehouse, due_days, held, created_at,
    control_passes, changed_at, changed_by
FROM satellite ORDER BY satellite;

-- name: document
SELECT r.satellite, r.channel, r.topic, r.received_at, octet_length(r.body) AS bytes, r.body, r.corrects,
       w.external_id AS waits_for, i.reason AS ignored
FROM raw_document r LEFT JOIN waiting w USING (id) LEFT JOIN ignored i USING (id) WHERE r.id = $1;

-- name: rebuilt
-- Its id begins with the instant of its arrival.
SELECT satellite, instant_of(id) AS received_at FROM rebuilt_document WHERE id = $1;

-- name: is_lost
SELECT EXISTS (SELECT FROM lost_time WHERE instant_of($1) >= since AND instant_of($1) <= coalesce(until, now()));

-- name: commands
-- A document's commands have the ids that follow its own.
SELECT kind, number, company, chain_id::text, position, business_date, lines, quantity_micro, amount_minor, order_no
FROM command WHERE id > $1 AND id < $2 ORDER BY id;

-- name: refusals
SELECT f.at, f.reason, f.field, f.detail, d.at, coalesce(d.decision, ''), coalesce(d.decided_by, ''), coalesce(d.note, ''), d.corrected_by
FROM refusal f LEFT JOIN decision d USING (entry) WHERE f.id = $1 ORDER BY f.entry;

-- name: states
-- What is last decides: a resubmitted document is pending again, then mapped or refused anew.
SELECT a.id,
    CASE WHEN EXISTS (SELECT FROM rebuilt_document b WHERE b.id = a.id) THEN 'rebuilt'
         WHEN EXISTS (SELECT FROM command c WHERE c.id > a.id AND c.id < a.upto) THEN 'mapped'
         WHEN EXISTS (SELECT FROM ignored i WHERE i.id = a.id) THEN 'ignored'
         WHEN EXISTS (SELECT FROM waiting w WHERE w.id = a.id) THEN 'waiting'
         WHEN f.entry IS NULL OR f.decision = 'resubmitted' THEN 'pending'
         WHEN f.decision IS NULL THEN 'quarantined'
         ELSE f.decision END
FROM unnest($1::uuid[], $2::uuid[]) AS a (id, upto)
LEFT JOIN LATERAL (
    SELECT r.entry, d.decision FROM refusal r LEFT JOIN decision d USING (entry) WHERE r.id = a.id ORDER BY r.entry DESC LIMIT 1
) f ON true;

-- name: documents
(SELECT id, satellite, channel, topic, received_at, octet_length(body) AS bytes FROM raw_document
 WHERE ($1 = '' OR satellite = $1) AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3)
UNION ALL
(SELECT id, satellite, '', '', instant_of(id), 0 FROM rebuilt_document
 WHERE ($1 = '' OR satellite = $1) AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3)
ORDER BY id DESC LIMIT $3;

-- name: quarantine
SELECT f.entry, f.id AS intake_id, r.satellite, r.channel, r.topic, r.received_at, f.at AS refused_at, f.reason, f.field, f.detail,
       f.kind, f.company, f.number, f.business_date, f.lines, f.quantity_micro, f.amount_minor, coalesce(d.decision, '') AS decision
FROM refusal f JOIN raw_document r ON r.id = f.id LEFT JOIN decision d ON d.entry = f.entry
WHERE f.entry > $5 AND ($1 = '' OR f.satellite = $1) AND ($2 = '' OR f.reason = $2) AND ($3 = '' OR $3 IN (f.field, of_any_line(f.field)))
  AND ($4 OR d.entry IS NULL)
ORDER BY f.entry LIMIT $6;

-- name: is_satellite
-- Also one that sent without being described: what came from it is in quarantine.
SELECT EXISTS (SELECT FROM satellite WHERE satellite = $1) OR EXISTS (SELECT FROM refusal WHERE satellite = $1);

-- name: is_reason
SELECT EXISTS (SELECT FROM refusal WHERE reason = $1);

-- name: is_field
SELECT EXISTS (SELECT FROM refusal WHERE $1 IN (field, of_any_line(field)));

-- name: quarantine_open
-- The newest one bounds what a decision about all of them may touch.
SELECT count(*), coalesce(max(f.entry), 0) FROM refusal f
WHERE ($1 = '' OR f.satellite = $1) AND ($2 = '' OR f.reason = $2) AND ($3 = '' OR $3 IN (f.field, of_any_line(f.field)))
AND NOT EXISTS (SELECT FROM decision d WHERE d.entry = f.entry);

-- name: quarantine_groups
-- One mistake of a sender stands in many lines; by the field of each line it would be as many groups.
SELECT f.satellite, f.reason, of_any_line(f.field) AS field, count(*), min(f.at) FROM refusal f
WHERE ($1 = '' OR f.satellite = $1) AND ($2 = '' OR f.reason = $2) AND ($3 = '' OR $3 IN (f.field, of_any_line(f.field)))
AND NOT EXISTS (SELECT FROM decision d WHERE d.entry = f.entry)
GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT $4;

-- name: outcomes
-- A corrected or resubmitted document is counted where it ended, not here.
SELECT f.company, f.satellite, to_char(coalesce(f.business_date, (coalesce(r.received_at, f.at) AT TIME ZONE 'UTC')::date), 'YYYY-MM') AS month, f.kind,
       CASE WHEN d.entry IS NULL THEN 'quarantined' ELSE 'dismissed' END AS outcome, f.reason,
       count(*)::bigint, sum(f.lines)::bigint, sum(f.quantity_micro), sum(f.amount_minor)
FROM refusal f LEFT JOIN raw_document r ON r.id = f.id LEFT JOIN decision d ON d.entry = f.entry
WHERE (d.decision IS NULL OR d.decision = 'dismissed') AND ($1 = '' OR f.company = $1) AND ($2 = '' OR f.satellite = $2)
GROUP BY 1, 2, 3, 4, 5, 6
UNION ALL
SELECT '', i.satellite, to_char(i.at AT TIME ZONE 'UTC', 'YYYY-MM'), '', 'ignored', i.reason, count(*), 0, 0, 0
FROM ignored i
WHERE ($1 = '') AND ($2 = '' OR i.satellite = $2)
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 2, 3, 4, 5, 6;

-- name: audit
SELECT entry, at, who, token, operation, path, status, encode(digest, 'hex') AS digest FROM audit
WHERE ($1 = '' OR who = $1) AND ($2 = '' OR operation = $2) AND starts_with(path, $3) AND ($4 = 0 OR entry < $4)
ORDER BY entry DESC LIMIT $5;

-- name: rates
-- Of each pair and date what was put last.
SELECT DISTINCT ON (date, currency, quoted_in) currency, quoted_in, date, rate_micro, source, put_at, put_by
FROM exchange_rate
WHERE ($1 = '' OR currency = $1) AND ($2 = '' OR quoted_in = $2) AND ($3::date IS NULL OR date <= $3)
ORDER BY date DESC, currency, quoted_in, entry DESC LIMIT $4;

-- name: progress
-- A document was mapped where it has a first command; raw_document, which is large, need not be read.
WITH mapped AS (
    SELECT satellite, count(*) AS n FROM command
    WHERE right(id::text, 1) = '1' AND ($1 = '' OR satellite = $1) GROUP BY satellite
),
queued AS (SELECT satellite, sum(documents)::bigint AS n FROM pending GROUP BY satellite),
waits AS (SELECT satellite, count(*) AS n FROM waiting GROUP BY satellite),
passed AS (SELECT satellite, count(*) AS n FROM ignored GROUP BY satellite),
newest AS (
    SELECT DISTINCT ON (f.id) f.satellite, d.decision FROM refusal f LEFT JOIN decision d USING (entry) ORDER BY f.id, f.entry DESC
),
refused AS (
    SELECT satellite, count(*) FILTER (WHERE decision IS NULL) AS open, count(*) FILTER (WHERE decision = 'corrected') AS corrected,
           count(*) FILTER (WHERE decision = 'dismissed') AS dismissed
    FROM newest GROUP BY satellite
),
named AS (
    SELECT satellite FROM satellite UNION SELECT satellite FROM mapped UNION SELECT satellite FROM queued
    UNION SELECT satellite FROM waits UNION SELECT satellite FROM passed UNION SELECT satellite FROM refused
)
SELECT satellite,
       coalesce(q.n, 0) + coalesce(w.n, 0) + coalesce(m.n, 0) + coalesce(p.n, 0)
           + coalesce(f.open, 0) + coalesce(f.corrected, 0) + coalesce(f.dismissed, 0),
       coalesce(q.n, 0), coalesce(w.n, 0), coalesce(m.n, 0), coalesce(f.open, 0), coalesce(f.corrected, 0), coalesce(f.dismissed, 0),
       coalesce(p.n, 0)
FROM named n LEFT JOIN mapped m USING (satellite) LEFT JOIN queued q USING (satellite) LEFT JOIN waits w USING (satellite)
LEFT JOIN passed p USING (satellite) LEFT JOIN refused f USING (satellite)
WHERE $1 = '' OR satellite = $1
ORDER BY satellite;

-- name: progress_commands
SELECT satellite, kind, count(*) FROM command WHERE $1 = '' OR satellite = $1 GROUP BY satellite, kind;

-- name: trail_commands
-- The document itself may have been let go. A command without an order number belongs to several orders or to none: found by its own chain.
SELECT c.kind, c.number, c.id, c.quantity_micro, c.amount_minor, c.currency, c.at, coalesce(r.received_at, c.at) AS received_at, c.satellite, coalesce(r.channel, '') AS channel
FROM command c LEFT JOIN raw_document r
  ON r.id = (overlay(c.id::text placing '0' from 36 for 1))::uuid
WHERE (c.order_no = $2 AND c.order_no <> '' AND c.chain_id = $1) OR (c.order_no = '' AND c.chain_id = $1)
ORDER BY c.position LIMIT 200;

-- name: orders_of_paper
-- Of a payment, a credit note, a confirmation by its own number.
SELECT DISTINCT company, order_no FROM command WHERE number = $1 AND order_no <> '' AND number <> order_no
ORDER BY company, order_no LIMIT 20;

-- name: trail_refusals
SELECT f.id, f.at, f.number, f.reason, f.field, d.decision, d.at AS decided_at, d.decided_by, d.note FROM refusal f LEFT JOIN decision d USING (entry)
WHERE f.number = $1 ORDER BY f.entry LIMIT 50;

-- name: satellite_commands
-- By position, so that a page ends where the next begins.
SELECT position, chain_id FROM command
WHERE satellite = $1 AND ($2::timestamptz IS NULL OR at <= $2) AND position > $3 ORDER BY position LIMIT $4;
