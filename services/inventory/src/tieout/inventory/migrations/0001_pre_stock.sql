-- What inventory keeps. Facts (moves, promises, stops) are inserted and never edited; each balance that is kept beside
-- them for speed (stock, open_line) is proved against their sum by violations.sql.
-- Quantities are millionths of the unit of measure, values minor units of the company's functional currency.

-- Finance owns companies and periods; this is what it announced. A row without currency is an anchor: something waits
-- for the company, and whoever opens it takes this lock first.
CREATE TABLE company (
    company    text COLLATE "C" PRIMARY KEY,
    currency   text,
    zone       text,
    revision   integer NOT NULL DEFAULT 0,
    calendar   integer NOT NULL DEFAULT 0,  -- Revision of the next line: periods close, and may be opened again.
    first_open text NOT NULL DEFAULT ''  -- First posting period that is not closed; '' while none is.
);
CALL settings_table('company');

CREATE TABLE warehouse (
    company      text COLLATE "C" NOT NULL,
    warehouse    text COLLATE "C" NOT NULL,
    name         text NOT NULL,
    stock_policy text NOT NULL CHECK (stock_policy IN ('refuse', 'back_order', 'allow_negative')),
    fulfilment   text NOT NULL CHECK (fulfilment IN ('auto', 'confirmed')),
    method       text NOT NULL CHECK (method IN ('moving_average', 'fifo', 'period_average')),
    PRIMARY KEY (company, warehouse)
);
CALL settings_table('warehouse');

CREATE TABLE article (
    company                 text COLLATE "C" NOT NULL,
    sku                     text COLLATE "C" NOT NULL,
    name                    text NOT NULL,
    uom                     text NOT NULL,
    standard_cost_minor     bigint NOT NULL CHECK (standard_cost_minor >= 0),  -- So much value
    standard_quantity_micro bigint NOT NULL CHECK (standard_quantity_micro > 0),  -- for so much quantity.
    PRIMARY KEY (company, sku)
);
CALL settings_table('article');

-- One row, one lock: quantity, value and promises of one SKU in one warehouse. Locked in the order of stock_id, and
-- before any order: whoever brings stock serves the orders that wait for it, and cannot know them earlier.
CREATE TABLE stock (
    stock_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company            text COLLATE "C" NOT NULL,
    warehouse          text COLLATE "C" NOT NULL,
    sku                text COLLATE "C" NOT NULL,
    on_hand_micro      bigint NOT NULL DEFAULT 0,
    reserved_micro     bigint NOT NULL DEFAULT 0 CHECK (reserved_micro >= 0),
    back_ordered_micro bigint NOT NULL DEFAULT 0 CHECK (back_ordered_micro >= 0),
    value_minor        bigint NOT NULL DEFAULT 0,
    last_quantity_micro bigint NOT NULL DEFAULT 0,  -- Quantity and value just before it last ran out:
    last_value_minor    bigint NOT NULL DEFAULT 0,  -- the last known average.
    valuation_seq      bigint NOT NULL DEFAULT 0,
    layers             bigint[],  -- FIFO only: quantity, value, quantity, value …, oldest first.
    UNIQUE (company, warehouse, sku)
) WITH (fillfactor = 60);  -- Room on the page, so that an update touches no index.
CALL state_table('stock');

-- The anchor of an order, and what its shipments repeat of it. A row that is not placed yet keeps the place of an order
-- that somebody already asked about: its lock is where an early cancellation and its order meet.
CREATE TABLE sales_order (
    order_id      uuid PRIMARY KEY,
    placed        boolean NOT NULL DEFAULT false,
    cancel_waits  boolean NOT NULL DEFAULT false,  -- A cancellation came first: promise, but let nothing leave yet.
    at_delivery   boolean NOT NULL DEFAULT false,  -- Control passes then, and not when the goods leave.
    position      bigint,  -- Of order.placed.
    company       text,
    source        text,
    order_no      text,
    customer      text,
    currency      text,
    business_date date,
    due_days      integer,
    rate_micro    bigint,
    net_minor     bigint,
    tax_minor     bigint,
    noted_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sales_order_number ON sales_order (order_no);
CALL state_table('sales_order');

-- Facts: what was ordered, per line (measure 2). Found by position, which ascends, and not by a random order id.
CREATE TABLE demand (
    position       bigint NOT NULL,  -- Of order.placed.
    line_no        integer NOT NULL,
    order_id       uuid NOT NULL,
    stock_id       bigint,  -- NULL: a service.
    sku            text NOT NULL,
    warehouse      text NOT NULL,
    account        text NOT NULL,
    cost_account   text NOT NULL,
    quantity_micro bigint NOT NULL,
    net_minor      bigint NOT NULL,
    tax_minor      bigint NOT NULL,
    residual_minor integer NOT NULL,  -- Of net: what the order's header differs from its lines.
    PRIMARY KEY (position, line_no)
);
CALL fact_table('demand');
CALL digest_attach('demand', '[{
    "measure": 2, "book": "demand", "a": "quantity_micro", "b": "net_minor + tax_minor",
    "order_no": "(SELECT o.order_no FROM sales_order o WHERE o.order_id = demand.order_id)",
    "currency": "(SELECT o.currency FROM sales_order o WHERE o.order_id = demand.order_id)"}]');

-- Facts: all that left or came (measures 4 and 5). One row per line of an announced event, in its position.
CREATE TABLE move (
    position       bigint NOT NULL,
    line_no        integer NOT NULL,  -- Of the order for an issue, else of the document.
    kind           text NOT NULL CHECK (kind IN ('issue', 'service', 'return', 'opening', 'purchase', 'count', 'revaluation',
        'delivery',  -- Moves no stock: what had left has arrived, and control passes.
        'recall',  -- Stopped on its way, and back.
        'scrap')),  -- Came back, and was thrown away at the same value: the move after its return.
    stock_id       bigint,  -- NULL: a service, a delivery.
    seq            bigint,  -- valuation_seq: the order in which the moves of one stock were valued.
    quantity_micro bigint NOT NULL,  -- Signed.
    value_minor    bigint NOT NULL,  -- Signed.
    from_micro     bigint,  -- Issue, service, delivery: the part of the order line that left or arrived.
    to_micro       bigint,
    from_reserved  boolean,
    order_position bigint,  -- Position of the order.placed that it belongs to: all but documents without an order.
    order_line_no  integer,  -- Linked return, recall: the line of the sale.
    chain_id       uuid NOT NULL,  -- The order, or the document where there is none.
    document_no    text NOT NULL,
    business_date  date NOT NULL,
    period         text NOT NULL,  -- Posting period, stamped here.
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (position, line_no)
);
-- Orders move soon after they were placed, so this index grows at its right end, unlike one on random order ids.
CREATE INDEX move_order ON move (order_position) WHERE order_position IS NOT NULL;
CREATE UNIQUE INDEX move_stock ON move (stock_id, seq) WHERE stock_id IS NOT NULL;
CREATE INDEX move_document ON move (chain_id) WHERE kind NOT IN ('issue', 'service');
CALL fact_table('move');
CALL digest_attach('move', '[
    {"measure": 4, "book": "shipped_line", "a": "to_micro - from_micro", "b": "0", "where": "kind IN (''issue'', ''service'', ''delivery'')",
     "chain": "chain_id::text", "order_no": "document_no"},
    {"measure": 5, "book": "move", "a": "quantity_micro", "b": "value_minor", "where": "kind <> ''service'' AND kind <> ''delivery''",
     "chain": "chain_id::text", "order_no": "document_no",
     "currency": "(SELECT c.currency FROM stock s JOIN company c USING (company) WHERE s.stock_id = move.stock_id)"}]');

-- Facts: periods that were valued at their weighted average (月末一次加权平均), each as often as something new had come. The
-- sums are of the whole period; what left stands by account, with all that has been announced for it.
CREATE TABLE valuation (
    stock_id      bigint NOT NULL,
    period        text NOT NULL,
    ordinal       integer NOT NULL,
    opening_micro bigint NOT NULL,
    opening_minor bigint NOT NULL,
    came_micro    bigint NOT NULL,
    came_minor    bigint NOT NULL,
    accounts      text[] NOT NULL,
    gone_micro    bigint[] NOT NULL,
    gone_minor    bigint[] NOT NULL,
    first_seq     bigint NOT NULL,  -- The revaluations that it announced are the moves from here
    upto_seq      bigint NOT NULL,  -- to here; none where this is less. Moves of its period up to here are in its sums.
    next_seq      bigint NOT NULL,  -- No move before this one is still to be valued.
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stock_id, period, ordinal)
);
CALL fact_table('valuation');

-- Facts: goods between warehouse and customer, where control passes at delivery (measure 10, account 1406): sent, then
-- delivered or recalled. In the position of the event that tells of it.
CREATE TABLE transit (
    position       bigint NOT NULL,
    line_no        integer NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('sent', 'delivered', 'recalled')),
    order_id       uuid NOT NULL,
    order_position bigint NOT NULL,
    quantity_micro bigint NOT NULL,  -- Signed; their sum is on its way.
    value_minor    bigint NOT NULL,  -- Signed: its cost.
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (position, line_no)
);
CREATE INDEX transit_order ON transit (order_position);
CALL fact_table('transit');
CALL digest_attach('transit', '[{
    "measure": 10, "book": "transit", "a": "quantity_micro", "b": "value_minor",
    "order_no": "(SELECT o.order_no FROM sales_order o WHERE o.order_id = transit.order_id)",
    "currency": "(SELECT c.currency FROM sales_order o JOIN company c USING (company) WHERE o.order_id = transit.order_id)"}]');

-- Facts: each change of what is promised to an order line. reserved and back-ordered are their sums.
CREATE TABLE reservation (
    position           bigint NOT NULL,  -- Of the event that announced the change.
    line_no            integer NOT NULL,
    kind               text NOT NULL CHECK (kind IN ('promise', 'stop', 'leave')),
    order_id           uuid NOT NULL,
    order_position     bigint NOT NULL,
    stock_id           bigint,
    reserved_micro     bigint NOT NULL,  -- Signed.
    back_ordered_micro bigint NOT NULL,  -- Signed.
    recorded_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (position, line_no)
);
CREATE INDEX reservation_order ON reservation (order_position);
CREATE INDEX reservation_stock ON reservation (stock_id) WHERE stock_id IS NOT NULL;
CALL fact_table('reservation');

-- Kept: the lines that still have something promised, so that "who waits longest for this SKU" is one index scan.
CREATE TABLE open_line (
    order_id           uuid NOT NULL,
    line_no            integer NOT NULL,
    order_position     bigint NOT NULL,
    stock_id           bigint,
    reserved_micro     bigint NOT NULL CHECK (reserved_micro >= 0),
    back_ordered_micro bigint NOT NULL CHECK (back_ordered_micro >= 0),
    since              bigint NOT NULL,  -- Position of its first promise: first come, first served.
    PRIMARY KEY (order_id, line_no)
);
CREATE INDEX open_line_waiting ON open_line (stock_id, since, line_no) WHERE back_ordered_micro > 0;
CALL state_table('open_line');

-- Facts: what will never leave (measure 3). Negative: a cancelled quantity left all the same.
CREATE TABLE stop (
    position           bigint NOT NULL,
    line_no            integer NOT NULL,
    kind               text NOT NULL CHECK (kind IN ('refused', 'cancelled')),
    order_id           uuid NOT NULL,
    order_position     bigint NOT NULL,
    short              boolean NOT NULL DEFAULT false,  -- Refused: this line was the reason.
    quantity_micro     bigint NOT NULL,
    back_ordered_micro bigint NOT NULL DEFAULT 0,
    reserved_micro     bigint NOT NULL DEFAULT 0,
    too_late_micro     bigint NOT NULL DEFAULT 0,
    issued_micro       bigint NOT NULL DEFAULT 0,  -- Stopped on its way, where control passes at delivery.
    recorded_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (position, line_no)
);
CREATE INDEX stop_order ON stop (order_position);
CALL fact_table('stop');
CALL digest_attach('stop', '[{
    "measure": 3, "book": "stop", "a": "quantity_micro", "where": "quantity_micro <> 0",
    "order_no": "(SELECT o.order_no FROM sales_order o WHERE o.order_id = stop.order_id)"}]');

-- Facts: decided cancellations; the key makes each decided once. `ordinal` counts the announcements about one.
CREATE TABLE cancellation (
    cancel_id   uuid NOT NULL,
    ordinal     integer NOT NULL,
    position    bigint NOT NULL,
    order_id    uuid NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cancel_id, ordinal)
);
CREATE INDEX cancellation_order ON cancellation (order_id);
CALL fact_table('cancellation');

-- Facts: goods of credit notes that are back (measure 8), in the position of order.returned.
CREATE TABLE take_back (
    position       bigint NOT NULL,
    line_no        integer NOT NULL,
    credit_id      uuid NOT NULL,
    credit_no      text NOT NULL,
    source         text NOT NULL,
    quantity_micro bigint NOT NULL,
    PRIMARY KEY (position, line_no)
);
CREATE INDEX take_back_credit ON take_back (credit_id);
CALL fact_table('take_back');
CALL digest_attach('take_back', '[{
    "measure": 8, "book": "take_back", "a": "quantity_micro", "chain": "credit_id::text", "order_no": "credit_no"}]');

-- The anchor of each receipt, count, confirmation and delivery: whoever holds its lock decides the number.
CREATE TABLE document (
    document_id uuid PRIMARY KEY,
    intake_id   uuid NOT NULL,  -- The paper that holds the number.
    kind        text NOT NULL CHECK (kind IN ('receipt', 'adjustment', 'confirmation', 'delivery')),
    company     text NOT NULL,
    source      text NOT NULL,
    number      text NOT NULL,
    version     text NOT NULL,
    fingerprint text NOT NULL
);
CALL state_table('document');

-- Facts: what became of each paper that was handed in; a redelivery has the intake id of the first delivery.
CREATE TABLE submission (
    intake_id      uuid PRIMARY KEY,
    position       bigint,  -- Of the gateway's command (measure 12). NULL: a person entered it here.
    document_id    uuid NOT NULL,
    kind           text NOT NULL,
    outcome        text NOT NULL CHECK (outcome IN ('accepted', 'duplicate', 'conflict')),
    reason         text NOT NULL,
    company        text NOT NULL,
    source         text NOT NULL,
    number         text NOT NULL,
    business_date  date NOT NULL,
    lines          integer NOT NULL,
    quantity_micro bigint NOT NULL,                -- What it moved; of one without effect what it says.
    value_minor    bigint NOT NULL,
    said_micro     bigint NOT NULL,                -- What its lines say, as handed over. 0: it names none, and means all.
    said_minor     bigint NOT NULL,                -- Of receipts.
    currency       text NOT NULL,                  -- Of receipts, else ''.
    detail         text NOT NULL,
    order_id       uuid,                           -- Of confirmations and deliveries.
    recorded_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX submission_position ON submission (position) WHERE position IS NOT NULL;
CREATE INDEX submission_document ON submission (document_id);
CREATE INDEX submission_order ON submission (order_id) WHERE outcome <> 'accepted';
CALL fact_table('submission');
CALL digest_attach('submission', '[{
    "measure": 12, "book": "submission", "a": "said_micro", "b": "said_minor", "line": "1", "where": "position IS NOT NULL",
    "chain": "document_id::text", "order_no": "number", "currency": "currency"}]');
