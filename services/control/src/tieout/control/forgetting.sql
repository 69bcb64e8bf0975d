-- name: forget_latencies
WITH gone AS (
    DELETE FROM latency WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM latency WHERE slot < clock_timestamp() - make_interval(days => $1) LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone;

-- name: forget_tallies
WITH gone AS (
    DELETE FROM tally WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM tally WHERE slot < clock_timestamp() - make_interval(days => $1) LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone;

-- name: forget_notices
-- With the places where its chains were heard; these are found by chain, as the notice itself tells them.
WITH gone AS (
    DELETE FROM notice WHERE (producer, first_position) IN (
        SELECT producer, first_position FROM notice WHERE heard_at < now() - make_interval(days => $1) LIMIT $2)
    RETURNING producer, first_position, body
), chains AS (
    SELECT DISTINCT g.producer, g.first_position, c.chain::uuid AS chain_id
    FROM gone g CROSS JOIN LATERAL jsonb_array_elements_text(convert_from(g.body, 'UTF8')::jsonb -> 'chains') AS c (chain)
), places AS (
    DELETE FROM heard h USING chains c
    WHERE h.chain_id = c.chain_id AND h.producer = c.producer AND h.first_position = c.first_position
)
SELECT count(*) FROM gone;

-- name: forget_memberships
-- Only of chains of which nothing is heard any more: an order that lives for years keeps its number.
WITH gone AS (
    DELETE FROM membership WHERE ctid = ANY(ARRAY(
        SELECT m.ctid FROM membership m
        WHERE m.noted_at < now() - make_interval(days => $1) AND NOT EXISTS (SELECT FROM heard h WHERE h.chain_id = m.chain_id)
        LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone;

-- name: forget_letters
-- A letter whose ticket stands, or has none, is a document that is not booked: it stays.
WITH gone AS (
    DELETE FROM dead_letter WHERE number = ANY(ARRAY(
        SELECT d.number FROM dead_letter d JOIN ticket t ON t.number = d.ticket
        WHERE d.at < now() - make_interval(days => $1) AND t.state = 'resolved' AND t.resolved_at < now() - make_interval(days => $1)
        LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone;

-- name: forget_alarms
WITH gone AS (
    DELETE FROM alarm WHERE number = ANY(ARRAY(
        SELECT number FROM alarm WHERE ended_at < now() - make_interval(days => $1) LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone;

-- name: forget_tickets
SELECT forget_tickets($1, $2);

-- name: forget_claims
-- Only of those whose end is told, or whose ticket stands no more.
WITH gone AS (
    DELETE FROM refund_claim WHERE document_id = ANY(ARRAY(
        SELECT c.document_id FROM refund_claim c
        WHERE c.noted_at < now() - make_interval(days => $1)
          AND (c.settled OR NOT EXISTS (SELECT FROM ticket t WHERE t.fingerprint = c.fingerprint AND t.state <> 'resolved'))
        LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone;

-- name: forget_ticketed
-- Events that were counted; they cannot come again once their stream has let them go.
WITH gone AS (
    DELETE FROM ticketed WHERE event_id = ANY(ARRAY(
        SELECT event_id FROM ticketed WHERE noted_at < now() - make_interval(days => $1) LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone;

-- name: forget_replays
SELECT forget_replays($1, $2);
