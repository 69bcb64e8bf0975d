-- A replay: what was chosen, why and by whom, how far it is, and what came of it.
CREATE TABLE replay (
    replay      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state       text        NOT NULL DEFAULT 'frozen',
    selection   text        NOT NULL,  -- JSON of contracts.replay.Selection.
    reason      text        NOT NULL,
    frozen_by   text        NOT NULL,
    frozen_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    items       integer     NOT NULL,
    documents   integer     NOT NULL,
    done        integer     NOT NULL DEFAULT 0,
    per_second  integer     NOT NULL DEFAULT 0,
    started_at  timestamptz,
    ended_at    timestamptz,
    seconds     float8      NOT NULL DEFAULT 0,
    sentence    text        NOT NULL DEFAULT '',
    leased_until timestamptz NOT NULL DEFAULT '-infinity',  -- Who runs it keeps this ahead; behind, another process takes over.
    taken       integer     NOT NULL DEFAULT 0  -- How often a process took it in hand. Only the latest one may write here.
);
CREATE INDEX replay_at_work ON replay (replay) WHERE state IN ('rehearsing', 'running', 'proving');
CALL state_table('replay');

-- One event for one flow, frozen. Waves keep each document's own history: the next begins when one is through.
CREATE TABLE replay_item (
    replay    bigint  NOT NULL REFERENCES replay,
    item      integer NOT NULL,
    wave      integer NOT NULL,
    flow      text    NOT NULL,
    subject   text    NOT NULL,
    producer  text    NOT NULL,
    position  bigint  NOT NULL,
    sequence  bigint  NOT NULL,  -- 0 where it is known by its position alone.
    event_id  text    NOT NULL,
    chain_id  text    NOT NULL,
    order_no  text    NOT NULL,
    company   text    NOT NULL,
    letter    bigint  NOT NULL DEFAULT 0,  -- The dead letter that holds its body.
    original  bytea,                       -- Kept where it was edited.
    edited    bytea,
    edited_by text    NOT NULL DEFAULT '',
    edited_why text   NOT NULL DEFAULT '',
    rehearsed text    NOT NULL DEFAULT '',
    outcome   text    NOT NULL DEFAULT '',
    reason    text    NOT NULL DEFAULT '',
    field     text    NOT NULL DEFAULT '',
    detail    text    NOT NULL DEFAULT '',
    done_at   timestamptz,
    PRIMARY KEY (replay, item)
) WITH (fillfactor = 60);  -- Each row is updated twice, in its page.
CREATE INDEX replay_item_of_letter ON replay_item (letter) WHERE letter > 0;
CREATE INDEX replay_item_of_chain ON replay_item (replay, chain_id);
CALL state_table('replay_item');

-- What the dry run would have done.
CREATE TABLE replay_effect (
    replay   bigint NOT NULL REFERENCES replay,
    service  text   NOT NULL,
    figure   text   NOT NULL,
    value_a  text   NOT NULL,
    value_b  text   NOT NULL,
    currency text   NOT NULL,
    rows     bigint NOT NULL,
    a        numeric NOT NULL,
    b        numeric NOT NULL,
    PRIMARY KEY (replay, service, figure, currency)
);
CALL state_table('replay_effect');

-- Who did what with it, and why. Nothing in here is ever changed.
CREATE TABLE replay_log (
    entry  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    replay bigint      NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor  text        NOT NULL,
    action text        NOT NULL,
    note   text        NOT NULL
);
CREATE INDEX replay_log_of ON replay_log (replay, entry);
CALL fact_table('replay_log');
