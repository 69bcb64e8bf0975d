-- name: forget_counts
-- Latencies and rates are for looking at the day; journeys stay.
DELETE FROM latency WHERE slot < clock_timestamp() - interval '1 day';

-- name: forget_tallies
DELETE FROM tally WHERE slot < clock_timestamp() - interval '1 day';
