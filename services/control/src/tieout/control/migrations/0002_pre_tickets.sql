-- Who looks after what a service says; as in CODEOWNERS. A service without a row belongs to control's team.
CREATE TABLE team (
    service text PRIMARY KEY,
    team    text NOT NULL
);
INSERT INTO team (service, team)
VALUES ('order', 'order'), ('inventory', 'inventory'), ('finance', 'finance'), ('gateway', 'gateway'), ('control', 'control');
CALL settings_table('team');

-- How long a ticket may stay open: minutes by the wall clock, or of the working hours below.
CREATE TABLE ticket_priority (
    priority    smallint PRIMARY KEY CHECK (priority BETWEEN 1 AND 4),
    due_minutes integer  NOT NULL CHECK (due_minutes > 0),
    clock       text     NOT NULL CHECK (clock IN ('wall', 'working'))
);
INSERT INTO ticket_priority (priority, due_minutes, clock) VALUES (1, 60, 'wall'), (2, 480, 'working'), (3, 1440, 'working'), (4, 2400, 'working');
CALL settings_table('ticket_priority');

-- When people work; one row.
CREATE TABLE desk_hours (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    zone     text NOT NULL,
    spans    text NOT NULL,  -- 09:00-12:00 13:00-18:00
    holidays text NOT NULL CHECK (holidays IN ('CN', 'none'))
);
INSERT INTO desk_hours (zone, spans, holidays) VALUES ('Asia/Shanghai', '09:00-12:00 13:00-18:00', 'CN');
CALL settings_table('desk_hours');

-- The company's own calendar of a year, instead of the published one.
CREATE TABLE calendar_year (
    year   integer PRIMARY KEY,
    free   date[] NOT NULL,  -- Holidays on weekdays,
    worked date[] NOT NULL   -- and weekend days that are worked instead (调休).
);
CALL settings_table('calendar_year');

-- One row per cause, however often it strikes and however often it comes back.
CREATE TABLE ticket (
    number          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint     text        NOT NULL UNIQUE,
    kind            text        NOT NULL,
    service         text        NOT NULL,
    flow            text        NOT NULL,
    reason          text        NOT NULL,
    field           text        NOT NULL,
    title_en        text        NOT NULL,
    title_zh        text        NOT NULL,
    detail          text        NOT NULL,  -- Of the latest occurrence.
    runbook         text        NOT NULL,
    state           text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'waiting', 'resolved', 'muted')),
    priority        smallint    NOT NULL CHECK (priority BETWEEN 1 AND 4),
    owner           text        NOT NULL,  -- A team,
    assignee        text        NOT NULL DEFAULT '',  -- and who of it has taken it.
    count           bigint      NOT NULL,
    first_at        timestamptz NOT NULL,
    last_at         timestamptz NOT NULL,
    opened_at       timestamptz NOT NULL DEFAULT now(),  -- The last time it was; the clock runs from here.
    due_at          timestamptz NOT NULL,  -- Moves on by the time spent waiting,
    paused_seconds  bigint      NOT NULL DEFAULT 0,  -- of which this much has been, by the ticket's own clock.
    waiting_since   timestamptz,
    muted_until     timestamptz,
    acknowledged_at timestamptz,
    resolved_at     timestamptz,
    overdue_told    boolean     NOT NULL DEFAULT false,
    times           integer     NOT NULL DEFAULT 1,  -- Opened and opened again.
    rebuilding      boolean     NOT NULL DEFAULT false  -- By a recovery that is under way: nothing that it plays ends it.
);
CREATE INDEX ticket_standing ON ticket (priority, number) WHERE state <> 'resolved';
CREATE INDEX ticket_of_flow ON ticket (kind, flow);
CALL state_table('ticket');

-- Whom it hurts: each order once, with its money where that is known. Also documents that are no orders.
CREATE TABLE ticket_order (
    ticket       bigint NOT NULL,
    company      text   NOT NULL,
    order_no     text   NOT NULL,
    currency     text   NOT NULL,
    amount_minor bigint NOT NULL,
    paper        boolean NOT NULL DEFAULT false,  -- A payment, a receipt: found by its number, and not counted as an order.
    PRIMARY KEY (ticket, company, order_no, paper)
);
CREATE INDEX ticket_order_number ON ticket_order (order_no);
CALL state_table('ticket_order');

-- What became of a ticket, who did it and why. Nothing in here is ever changed.
CREATE TABLE ticket_history (
    number bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket bigint      NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    what   text        NOT NULL,  -- opened, reopened, acknowledged, waiting, resolved, muted, commented, assigned …
    actor  text        NOT NULL,
    note   text        NOT NULL
);
CREATE INDEX ticket_history_of ON ticket_history (ticket, number);
CALL fact_table('ticket_history');

-- What has to be told outside: written with the change of the ticket, sent after its commit (notify/).
CREATE TABLE notification (
    number bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket bigint      NOT NULL,
    what   text        NOT NULL,  -- opened, reopened, overdue, resolved
    note   text        NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    spread boolean     NOT NULL DEFAULT false  -- It stands in `delivery` for each channel that wants it.
);
CREATE INDEX notification_fresh ON notification (number) WHERE NOT spread;
CALL state_table('notification');

-- One row per channel that wants it, until the channel has it.
CREATE TABLE delivery (
    notification bigint      NOT NULL,
    channel      text        NOT NULL,
    sent_at      timestamptz,
    PRIMARY KEY (notification, channel)
);
CREATE INDEX delivery_waiting ON delivery (channel, notification) WHERE sent_at IS NULL;
CALL state_table('delivery');

-- How a channel does; also the lock under which one process sends to it. In the database, because the vendor counts a
-- robot's messages across our restarts and replicas.
CREATE TABLE notify_channel (
    channel      text        PRIMARY KEY,
    attempted_at timestamptz NOT NULL DEFAULT '-infinity',
    busy_until   timestamptz NOT NULL DEFAULT '-infinity',  -- Somebody sends; should he die, another one may then.
    retry_at     timestamptz NOT NULL DEFAULT '-infinity',
    failures     integer     NOT NULL DEFAULT 0,            -- In a row.
    error        text        NOT NULL DEFAULT ''
);
CALL state_table('notify_channel');

-- Facts of other services that a ticket has counted: their events may come twice.
CREATE TABLE ticketed (
    event_id uuid PRIMARY KEY,
    noted_at timestamptz NOT NULL DEFAULT now()
);
CALL state_table('ticketed');

-- Refunds that a ticket has counted because more went back than came. What ends their claim may be heard of first, and what
-- opens it again before its end.
CREATE TABLE refund_claim (
    document_id uuid        PRIMARY KEY,
    fingerprint text        NOT NULL DEFAULT '',     -- Of its ticket; '': not heard of yet.
    settled     boolean     NOT NULL DEFAULT false,  -- Or set aside: somebody resolved its ticket without it.
    position    bigint      NOT NULL DEFAULT 0,      -- Of the latest end or reopening that was heard of: finance draws them in order. 0: of none.
    noted_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refund_claim_open ON refund_claim (fingerprint) WHERE NOT settled;
CALL state_table('refund_claim');

-- A letter belongs to the ticket of its cause.
ALTER TABLE dead_letter
    ADD fingerprint text   NOT NULL DEFAULT '',
    ADD ticket      bigint NOT NULL DEFAULT 0;
CREATE INDEX dead_letter_of_ticket ON dead_letter (ticket, number);
