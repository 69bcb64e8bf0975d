-- name: accepted
-- What each cancellation number was accepted with.
SELECT position, version, fingerprint FROM cancellation WHERE position = ANY($1::bigint[]);

-- name: ordered
-- Of orders that somebody wants to stop.
SELECT position, line_no, quantity_micro FROM order_line WHERE position = ANY($1::bigint[]);
