-- name: today_there
-- The business date of what is done now, in the zone in which the order was placed.
SELECT (now() AT TIME ZONE zone)::date FROM order_header WHERE position = $1;
