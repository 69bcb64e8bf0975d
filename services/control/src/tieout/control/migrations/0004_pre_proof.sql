-- Why the books differ there, and what mends it, as the proof found it first.
ALTER TABLE disagreement
    ADD cause  text NOT NULL DEFAULT 'unknown',
    ADD why    text NOT NULL DEFAULT '',
    ADD repair text NOT NULL DEFAULT '';

-- Repairs that were asked for: what, by whom, why, and how it ended. What they did stands in the services' own facts.
CREATE TABLE repair (
    repair_id    uuid        PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind         text        NOT NULL,
    measure      smallint    NOT NULL,
    positions    bigint[]    NOT NULL,
    order_nos    text[]      NOT NULL,
    actor        text        NOT NULL,
    reason       text        NOT NULL,
    preview      bytea       NOT NULL  -- JSON, as it was shown.
);
CREATE INDEX repair_at ON repair (at);
CALL fact_table('repair');

CREATE TABLE repair_outcome (
    repair_id uuid        PRIMARY KEY REFERENCES repair,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    state     text        NOT NULL CHECK (state IN ('proved', 'not_proved', 'failed')),
    told      text        NOT NULL
);
CALL fact_table('repair_outcome');
