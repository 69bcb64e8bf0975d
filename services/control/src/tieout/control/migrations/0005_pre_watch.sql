-- What stands still that should move: one row per alarm, closed when it moves again.
CREATE TABLE alarm (
    number    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      text        NOT NULL CHECK (kind IN ('stall', 'silence')),
    about     text        NOT NULL,  -- The flow, or the satellite.
    cause     text        NOT NULL,
    since     timestamptz NOT NULL,
    told      text        NOT NULL,
    told_zh   text        NOT NULL,
    next_step text        NOT NULL,
    waiting   bigint      NOT NULL,
    ended_at  timestamptz
);
CREATE UNIQUE INDEX alarm_standing ON alarm (kind, about) WHERE ended_at IS NULL;
CALL state_table('alarm');

-- Retention. Notices are found by age through ranges of pages, which costs the write path next to nothing; what follows
-- from them goes with them.
CREATE INDEX notice_age ON notice USING brin (heard_at);
ALTER TABLE membership ADD noted_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX membership_age ON membership USING brin (noted_at);
