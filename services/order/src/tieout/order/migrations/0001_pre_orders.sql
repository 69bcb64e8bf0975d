-- Sales orders as facts. An order is named inside this database by the position of its OrderPlaced: eight bytes, and
-- ascending, so that every index on it grows at its right edge. Only `anchor` is indexed by random ids.

-- What flows lock before they read. Also for ids that others have named before the document came.
CREATE TABLE anchor (
    id uuid PRIMARY KEY,                       -- Of an order, cancellation or credit note.
    position bigint,                           -- Of the event that accepted it; null while nobody has brought it.
    awaited boolean NOT NULL DEFAULT false,    -- Messages are parked until a fact of it comes.
    cancel_waits boolean NOT NULL DEFAULT false  -- A cancellation came before its order, which says so when it is placed.
) WITH (fillfactor = 90);
CALL state_table('anchor');

-- One row per command of the gateway, whatever became of it. Position: the gateway's.
CREATE TABLE submission (
    position bigint PRIMARY KEY,
    quantity_micro bigint NOT NULL,
    amount_minor bigint NOT NULL,              -- Net and tax of its lines.
    rounding_micro bigint NOT NULL,
    intake_id uuid NOT NULL,
    document_id uuid NOT NULL,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    business_date date NOT NULL,
    line_no smallint NOT NULL DEFAULT 1,
    line_count integer NOT NULL,               -- Of the source: parts of one line count once.
    kind text NOT NULL CHECK (kind IN ('order', 'cancel', 'credit')),
    outcome text NOT NULL CHECK (outcome IN ('accepted', 'duplicate', 'conflict')),
    reason text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    company text NOT NULL,
    source text NOT NULL,
    number text NOT NULL,
    version text NOT NULL,
    chain_id uuid,                             -- Of the journey that tells of it; null of an accepted one.
    currency text NOT NULL                     -- As handed over, also where it had no effect; '' of a cancellation.
);
CREATE INDEX submission_without_effect ON submission (chain_id) WHERE outcome <> 'accepted';
CALL fact_table('submission');
CREATE TABLE order_header (
    position bigint PRIMARY KEY,
    net_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    rate_micro bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now(),
    order_id uuid NOT NULL,
    intake_id uuid NOT NULL,
    business_date date NOT NULL,
    rate_date date,
    due_days integer NOT NULL,
    at_delivery boolean NOT NULL DEFAULT false, -- Control passes then, and not when the goods leave.
    company text NOT NULL,
    source text NOT NULL,
    order_no text NOT NULL,
    version text NOT NULL,
    fingerprint text NOT NULL,
    customer text NOT NULL,
    currency text NOT NULL,
    zone text NOT NULL
);
CREATE INDEX order_header_by_number ON order_header (order_no);
CALL fact_table('order_header');

-- What a customer may owe at most, in one currency. Who has no row has no limit.
CREATE TABLE credit_limit (
    company text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    limit_minor bigint NOT NULL CHECK (limit_minor >= 0),
    PRIMARY KEY (company, customer, currency)
);
CALL settings_table('credit_limit');

-- Orders of customers with a limit, so that theirs are found and no index on all orders is needed for it.
CREATE TABLE limited_order (
    company text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    order_position bigint NOT NULL,
    PRIMARY KEY (company, customer, currency, order_position)
);
CALL fact_table('limited_order');

CREATE TABLE order_line (
    position bigint NOT NULL,
    quantity_micro bigint NOT NULL CHECK (quantity_micro > 0),
    net_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    unit_price_micro bigint NOT NULL,
    rounding_micro bigint NOT NULL,
    line_no integer NOT NULL,
    sku text NOT NULL,
    uom text NOT NULL,
    warehouse text NOT NULL,
    kind text NOT NULL,
    account text NOT NULL,
    cost_account text NOT NULL,
    PRIMARY KEY (position, line_no)
);
CALL fact_table('order_line');

-- For those who compare books: what people call the order whose facts stand under a position.
CREATE FUNCTION order_id_at(at bigint) RETURNS text STABLE LANGUAGE sql
    RETURN (SELECT h.order_id::text FROM order_header h WHERE h.position = at);
CREATE FUNCTION order_no_at(at bigint) RETURNS text STABLE LANGUAGE sql
    RETURN (SELECT h.order_no FROM order_header h WHERE h.position = at);

CALL digest_attach('order_line', '[{"measure": 2, "book": "order_line", "a": "quantity_micro",
    "b": "net_minor + tax_minor", "chain": "order_id_at(position)", "order_no": "order_no_at(position)",
    "currency": "(SELECT h.currency FROM order_header h WHERE h.position = order_line.position)"}]');

-- Facts that inventory announced. Position: inventory's; line_no: of the order.
CREATE TABLE reservation (
    position bigint NOT NULL,
    order_position bigint NOT NULL,
    reserved_micro bigint NOT NULL,            -- Deltas: a back-order that is served is negative here.
    back_ordered_micro bigint NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    line_no integer NOT NULL,
    PRIMARY KEY (position, line_no)
);
CREATE INDEX reservation_by_order ON reservation (order_position);
CALL fact_table('reservation');

CREATE TABLE stop (
    position bigint NOT NULL,
    order_position bigint NOT NULL,
    quantity_micro bigint NOT NULL,            -- What will never ship.
    of_back_ordered_micro bigint NOT NULL,
    of_reserved_micro bigint NOT NULL,
    too_late_micro bigint NOT NULL,            -- Asked for, but control had passed.
    of_issued_micro bigint NOT NULL DEFAULT 0, -- Stopped on its way: it had left, and is back.
    noted_at timestamptz NOT NULL DEFAULT now(),
    line_no integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('refused', 'cancelled')),
    PRIMARY KEY (position, line_no)
);
CREATE INDEX stop_by_order ON stop (order_position);
CALL fact_table('stop');
CALL digest_attach('stop', '[{"measure": 3, "book": "stop", "a": "quantity_micro", "b": "0",
    "where": "quantity_micro <> 0", "chain": "order_id_at(order_position)",
    "order_no": "order_no_at(order_position)"}]');

CREATE TABLE shipped_line (
    position bigint NOT NULL,
    order_position bigint NOT NULL,
    from_micro bigint NOT NULL,
    to_micro bigint NOT NULL,
    net_minor bigint NOT NULL,                 -- Of this part, by A(to) - A(from) of our own line; 0 before it passes.
    tax_minor bigint NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    line_no integer NOT NULL,
    from_reserved boolean NOT NULL,
    leaves boolean NOT NULL DEFAULT true,      -- Goods left with it;
    passes boolean NOT NULL DEFAULT true,      -- control passed with it: false where it passes at delivery.
    PRIMARY KEY (position, line_no)
);
CREATE INDEX shipped_line_by_order ON shipped_line (order_position);
CALL fact_table('shipped_line');
CALL digest_attach('shipped_line', '[
    {"measure": 4, "book": "shipped_line", "a": "to_micro - from_micro", "b": "0",
     "chain": "order_id_at(order_position)", "order_no": "order_no_at(order_position)"},
    {"measure": 6, "book": "billed", "a": "net_minor", "b": "tax_minor",
     "chain": "order_id_at(order_position)", "order_no": "order_no_at(order_position)",
     "currency": "(SELECT h.currency FROM order_header h WHERE h.position = shipped_line.order_position)"}]');

-- Goods of a credit note that inventory has put back into stock. line_no: of the credit note.
CREATE TABLE taken_back (
    position bigint NOT NULL,
    credit_position bigint NOT NULL,
    quantity_micro bigint NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    line_no integer NOT NULL,
    PRIMARY KEY (position, line_no)
);
CREATE INDEX taken_back_by_credit ON taken_back (credit_position);
CALL fact_table('taken_back');

-- Requests to stop. Position: of their CancelRequested.
CREATE TABLE cancellation (
    position bigint PRIMARY KEY,
    order_position bigint NOT NULL,
    cancel_id uuid NOT NULL,
    intake_id uuid,                            -- Null: asked by a clerk, or by a credit for what had not left yet.
    requested_at timestamptz NOT NULL DEFAULT now(),
    business_date date NOT NULL,
    source text NOT NULL,
    number text NOT NULL,
    version text NOT NULL,
    fingerprint text NOT NULL,
    reason text NOT NULL
);
CREATE INDEX cancellation_by_order ON cancellation (order_position);
CALL fact_table('cancellation');

CREATE TABLE cancellation_line (
    position bigint NOT NULL,
    quantity_micro bigint NOT NULL,
    line_no integer NOT NULL,                  -- Of the order.
    PRIMARY KEY (position, line_no)
);
CALL fact_table('cancellation_line');

-- Credit notes. Position: of their OrderReturned.
CREATE TABLE credit_note (
    position bigint PRIMARY KEY,
    rate_micro bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    credited_at timestamptz NOT NULL DEFAULT now(),
    credit_id uuid NOT NULL,
    intake_id uuid NOT NULL,
    business_date date NOT NULL,
    company text NOT NULL,
    source text NOT NULL,
    credit_no text NOT NULL,
    version text NOT NULL,
    fingerprint text NOT NULL,
    customer text NOT NULL,
    currency text NOT NULL,
    zone text NOT NULL,
    reason text NOT NULL
);
CREATE INDEX credit_note_by_number ON credit_note (credit_no);
CALL fact_table('credit_note');

CREATE TABLE credit_line (
    position bigint NOT NULL,
    order_position bigint,                     -- Null: unlinked.
    quantity_micro bigint NOT NULL,
    net_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    rounding_micro bigint NOT NULL,
    line_no integer NOT NULL,
    order_line_no integer NOT NULL,            -- 0: of the order as a whole, or unlinked.
    part integer NOT NULL CHECK (part > 0),    -- 2 and above: goes on with a line of the source that counts already.
    restock boolean NOT NULL,
    sku text NOT NULL,
    warehouse text NOT NULL,
    kind text NOT NULL,
    account text NOT NULL,
    PRIMARY KEY (position, line_no)
);
CREATE INDEX credit_line_by_order ON credit_line (order_position) WHERE order_position IS NOT NULL;
CALL fact_table('credit_line');

CALL digest_attach('submission', '[{"measure": 1, "book": "submission", "a": "quantity_micro", "b": "amount_minor",
    "chain": "document_id::text", "order_no": "number", "currency": "currency"}]');

CREATE FUNCTION credit_id_at(at bigint) RETURNS text STABLE LANGUAGE sql
    RETURN (SELECT c.credit_id::text FROM credit_note c WHERE c.position = at);
CREATE FUNCTION credit_no_at(at bigint) RETURNS text STABLE LANGUAGE sql
    RETURN (SELECT c.credit_no FROM credit_note c WHERE c.position = at);

CALL digest_attach('credit_line', '[
    {"measure": 7, "book": "credit", "a": "net_minor", "b": "tax_minor",
     "currency": "(SELECT c.currency FROM credit_note c WHERE c.position = credit_line.position)",
     "chain": "coalesce(order_id_at(order_position), credit_id_at(position))",
     "order_no": "coalesce(order_no_at(order_position), credit_no_at(position))"},
    {"measure": 8, "book": "restock", "a": "quantity_micro", "b": "0", "where": "restock",
     "chain": "coalesce(order_id_at(order_position), credit_id_at(position))",
     "order_no": "coalesce(order_no_at(order_position), credit_no_at(position))"}]');

-- Parts of credit lines that had not left when the credit came: asked to be stopped, credited if that was too late.
CREATE TABLE conditional_line (
    position bigint NOT NULL,                  -- Of the credit note.
    cancel_position bigint NOT NULL,
    order_position bigint NOT NULL,
    quantity_micro bigint NOT NULL,            -- Of the whole credit line, like net and tax.
    net_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    credited_micro bigint NOT NULL,            -- Credited at once.
    asked_micro bigint NOT NULL,               -- Asked to be stopped.
    line_no integer NOT NULL,
    order_line_no integer NOT NULL,
    part integer NOT NULL CHECK (part > 0),
    sku text NOT NULL,
    warehouse text NOT NULL,
    kind text NOT NULL,
    account text NOT NULL,
    scrap boolean NOT NULL,                    -- What comes back after all is thrown away.
    PRIMARY KEY (position, line_no)
);
CREATE INDEX conditional_line_by_cancel ON conditional_line (cancel_position);
CALL fact_table('conditional_line');

-- Money that finance applied to orders, or took back. Position: finance's; line_no counts the items of its event.
CREATE TABLE settlement (
    position bigint NOT NULL,
    order_position bigint NOT NULL,
    amount_minor bigint NOT NULL,
    held_minor bigint NOT NULL,                -- Change of what is held for it besides: a deposit, or owed back.
    settled_at timestamptz NOT NULL DEFAULT now(),
    line_no integer NOT NULL,
    cause text NOT NULL,
    document_no text NOT NULL,
    PRIMARY KEY (position, line_no)
);
CREATE INDEX settlement_by_order ON settlement (order_position);
CALL fact_table('settlement');
CALL digest_attach('settlement', '[{"measure": 9, "book": "settlement", "a": "amount_minor", "b": "0",
    "chain": "order_id_at(order_position)", "order_no": "order_no_at(order_position)",
    "currency": "(SELECT h.currency FROM order_header h WHERE h.position = settlement.order_position)"}]');

-- Announced as completed. What comes later (a return, a refund) changes the balances, never this row.
CREATE TABLE completion (
    order_position bigint PRIMARY KEY,
    position bigint NOT NULL,                  -- Of its OrderCompleted.
    completed_at timestamptz NOT NULL DEFAULT now()
);
CALL fact_table('completion');
