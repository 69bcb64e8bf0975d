-- What control has heard, as it came: one row per notice, which tells of up to a thousand events. A row per event would
-- cost more than everything else that control does.
CREATE TABLE notice (
    producer       text        NOT NULL,
    first_position bigint      NOT NULL,  -- A position belongs to one notice: with the producer the idempotency key.
    last_position  bigint      NOT NULL,
    body           bytea       NOT NULL,
    repeats        integer     NOT NULL DEFAULT 0,
    heard_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (producer, first_position)
);
ALTER TABLE notice ALTER body SET STORAGE EXTERNAL;  -- Mostly random ids: not worth a compressor's time.
-- Who takes it away by hand takes orders out of the journey and out of what is chosen for a replay: both would say so as if nothing was.
CALL memory_table('notice', '{producer, first_position}');

-- In which notices a chain was heard. Filled in the transaction that inserts the notice, so it needs no key.
CREATE TABLE heard (
    chain_id       uuid   NOT NULL,
    producer       text   NOT NULL,
    first_position bigint NOT NULL
);
CREATE INDEX heard_of_chain ON heard USING hash (chain_id);  -- Random ids, four rows an order: 0.8 us a row less than a tree's.
CALL memory_table('heard', '{chain_id, producer, first_position}');

-- Which chains belong to which order number: a payment for two orders belongs to two, an order has several. May hold a
-- pair more than once (each process notes it once).
CREATE TABLE membership (
    order_no text NOT NULL,
    company  text NOT NULL,
    chain_id uuid NOT NULL
);
CREATE INDEX membership_of_order ON membership (order_no);
CALL memory_table('membership', '{order_no, company, chain_id}');

-- Counts per ten seconds, so that percentiles and rates of any span are sums; kept for a day.
CREATE TABLE latency (
    slot   timestamptz NOT NULL,
    before text        NOT NULL,
    after  text        NOT NULL,
    bucket smallint    NOT NULL,
    n      bigint      NOT NULL,
    PRIMARY KEY (slot, before, after, bucket)
);
CALL state_table('latency', watched => false);

CREATE TABLE tally (
    slot       timestamptz NOT NULL,
    event_type text        NOT NULL,
    n          bigint      NOT NULL,
    PRIMARY KEY (slot, event_type)
);
CALL state_table('tally', watched => false);

-- Messages that a flow put aside. The key is a hash of the letter, because the relay may publish it twice.
CREATE TABLE dead_letter (
    number      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    letter_id   uuid        NOT NULL UNIQUE,
    at          timestamptz NOT NULL,
    service     text        NOT NULL,
    flow        text        NOT NULL,
    subject     text        NOT NULL,
    reason      text        NOT NULL,
    field       text        NOT NULL,
    detail      text        NOT NULL,
    order_no    text        NOT NULL,
    company     text        NOT NULL,
    chain_id    text        NOT NULL,
    position    bigint      NOT NULL,  -- Of the event inside; 0 where it could not be read.
    attempts    integer     NOT NULL,
    letter      bytea       NOT NULL   -- As it came, for the repair.
);
CREATE INDEX dead_letter_of_position ON dead_letter (flow, position);
CALL state_table('dead_letter');

-- How far every book of a measure has followed; it only ever grows, unless a producer was restored from a backup.
CREATE TABLE watermark (
    measure  smallint    PRIMARY KEY,
    position bigint      NOT NULL,
    at       timestamptz NOT NULL
);
CALL state_table('watermark', watched => false);

-- What the proof found and nothing explained. `gone_at` is set when a later proof no longer finds it.
CREATE TABLE disagreement (
    measure  smallint    NOT NULL,
    position bigint      NOT NULL,
    order_no text        NOT NULL,
    chain_id text        NOT NULL,
    detail   text        NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    gone_at  timestamptz,
    times    integer     NOT NULL DEFAULT 1,
    PRIMARY KEY (measure, position)
);
CALL state_table('disagreement');
