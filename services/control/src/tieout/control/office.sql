-- name: clocks
-- All that a clock needs, in one round trip.
SELECT zone, spans, holidays,
       ARRAY(SELECT due_minutes FROM ticket_priority ORDER BY priority) AS minutes,
       ARRAY(SELECT clock FROM ticket_priority ORDER BY priority) AS kinds,
       ARRAY(SELECT year FROM calendar_year ORDER BY year) AS years,
       ARRAY(SELECT day FROM calendar_year, unnest(free) day) AS free,
       ARRAY(SELECT day FROM calendar_year, unnest(worked) day) AS worked
FROM desk_hours;

-- name: teams
SELECT service, team FROM team ORDER BY service;

-- name: known_teams
SELECT DISTINCT team FROM team;

-- name: deadlines
SELECT priority, due_minutes, clock FROM ticket_priority ORDER BY priority;

-- name: year
SELECT free, worked FROM calendar_year WHERE year = $1;

-- name: put_team
-- What is so already is not written: the log of settings tells changes.
INSERT INTO team AS t (service, team) VALUES ($1, $2) ON CONFLICT (service) DO UPDATE SET team = excluded.team WHERE t.team <> excluded.team;

-- name: put_deadline
UPDATE ticket_priority SET due_minutes = $2, clock = $3 WHERE priority = $1 AND (due_minutes, clock) <> ($2, $3);

-- name: put_hours
UPDATE desk_hours SET zone = $1, spans = $2, holidays = $3 WHERE (zone, spans, holidays) <> ($1, $2, $3);

-- name: put_year
INSERT INTO calendar_year AS c (year, free, worked) VALUES ($1, $2, $3)
ON CONFLICT (year) DO UPDATE SET free = excluded.free, worked = excluded.worked WHERE (c.free, c.worked) <> (excluded.free, excluded.worked);
