-- What the gateway keeps. Documents, commands, refusals and decisions are facts: inserted, never edited.
--
-- A document's id is a UUIDv7: time first, so that rows are appended at the end of the index. Its lowest four bits are
-- 0; the id with 1 to 15 there names a command that the document led to (contracts call both the intake id).

CREATE TABLE satellite (
    satellite         text COLLATE "C" PRIMARY KEY,
    name              text NOT NULL,
    companies         text[] NOT NULL,  -- It may speak for these; empty: for all.
    zone              text NOT NULL,
    authentication    text NOT NULL CHECK (authentication IN ('key', 'hmac', 'shopify', 'leaf')),
    default_warehouse text NOT NULL,
    due_days          integer NOT NULL,
    control_passes    text NOT NULL DEFAULT '' CHECK (control_passes IN ('', 'issue', 'delivery')),  -- '': as the company decided.
    held              boolean NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL DEFAULT now(),
    changed_at        timestamptz NOT NULL DEFAULT now(),
    changed_by        text NOT NULL
);
CALL settings_table('satellite');

-- Apart from the rest, so that whoever may read satellites need not be able to read these.
CREATE TABLE satellite_secret (
    satellite text COLLATE "C" PRIMARY KEY REFERENCES satellite,
    key_hash  bytea,  -- SHA-256 of an API key that we made ourselves: 256 random bits need no slow hash.
    secret    text    -- HMAC needs the secret itself.
);
CALL settings_table('satellite_secret', '{key_hash, secret}');
DO $$
DECLARE
    reader text;
BEGIN
    SELECT auditor INTO reader FROM kit_role;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
        EXECUTE format('REVOKE ALL ON satellite_secret FROM %I', reader);
    END IF;
END $$;

-- Who may call operations besides whoever runs the stack. A row stays when its token has ended: logs name it.
CREATE TABLE api_token (
    name       text COLLATE "C" PRIMARY KEY,
    actor      text NOT NULL,
    scopes     text[] NOT NULL,
    key_hash   bytea NOT NULL UNIQUE,  -- SHA-256 of 256 random bits.
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    expires_at timestamptz,
    rotated_at timestamptz,
    rotated_by text NOT NULL DEFAULT '',
    revoked_at timestamptz,
    revoked_by text NOT NULL DEFAULT ''
);
CALL settings_table('api_token', '{key_hash}');

-- What one unit of a currency was worth on a day. Of one pair and date the last entry stands.
CREATE TABLE exchange_rate (
    entry      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    currency   text COLLATE "C" NOT NULL,
    quoted_in  text COLLATE "C" NOT NULL,
    date       date NOT NULL,
    rate_micro bigint NOT NULL CHECK (rate_micro > 0),
    source     text NOT NULL,
    put_at     timestamptz NOT NULL DEFAULT now(),
    put_by     text NOT NULL
);
CREATE INDEX exchange_rate_pair ON exchange_rate (currency, quoted_in, date DESC, entry DESC);
CALL fact_table('exchange_rate');

-- A delivery that named itself: the same again is answered with the same ids, and kept once.
CREATE TABLE delivery (
    satellite   text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    digest      bytea NOT NULL,  -- SHA-256 of channel, topic and body: another body under the same key is refused.
    first_id    uuid NOT NULL,
    documents   integer NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (satellite, key)
);
CALL state_table('delivery');
CREATE INDEX delivery_age ON delivery USING brin (received_at);

CREATE TABLE raw_document (
    id          uuid PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    corrects    uuid,
    satellite   text COLLATE "C" NOT NULL,
    channel     text COLLATE "C" NOT NULL,
    topic       text NOT NULL,
    body        bytea NOT NULL
) WITH (toast_tuple_target = 8160);
-- Up to 8 kB a document lies in its page, as it came; what is larger goes out of line. Nobody waits for a compressor.
ALTER TABLE raw_document ALTER body SET STORAGE EXTERNAL;
CALL fact_table('raw_document');

-- The queue: one row per group of documents that were committed together.
CREATE TABLE pending (
    number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    satellite text COLLATE "C" NOT NULL,
    documents integer NOT NULL,
    bytes     bigint NOT NULL,
    ids       uuid[] NOT NULL,
    since     timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE pending ALTER ids SET STORAGE EXTERNAL;
CALL state_table('pending');

-- Documents that name an order by its source's own id, and came before it.
CREATE TABLE waiting (
    id          uuid PRIMARY KEY,
    satellite   text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    since       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX waiting_for ON waiting (satellite, external_id);
CALL state_table('waiting');

-- What later documents of a dialect need to know of an order that they name by its source's own id.
CREATE TABLE known_order (
    satellite   text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    told        bytea NOT NULL,  -- JSON of domain.drafts.KnownOrder.
    accepted    boolean NOT NULL,  -- False: so far only a refused document has told of it.
    PRIMARY KEY (satellite, external_id)
);
CALL state_table('known_order');

CREATE TABLE command (
    position       bigint PRIMARY KEY,
    quantity_micro bigint NOT NULL,
    amount_minor   bigint NOT NULL,
    id             uuid NOT NULL,  -- Of the document, its lowest four bits counting its commands.
    chain_id       uuid NOT NULL,
    at             timestamptz NOT NULL DEFAULT now(),
    business_date  date NOT NULL,
    lines          integer NOT NULL,
    line_no        smallint NOT NULL DEFAULT 1,
    kind           text NOT NULL CHECK (kind IN ('order', 'cancel', 'credit', 'payment', 'refund', 'receipt', 'adjustment', 'confirmation', 'delivery')),
    company        text COLLATE "C" NOT NULL,
    satellite      text COLLATE "C" NOT NULL,
    number         text NOT NULL,
    order_no       text NOT NULL,
    currency       text NOT NULL DEFAULT ''  -- '' where the amount is none.
);
CREATE UNIQUE INDEX command_id ON command (id);  -- A document leads to its commands once.
CREATE INDEX command_order_no ON command (order_no);
CREATE INDEX command_chain ON command (chain_id) WHERE order_no = '';
CREATE INDEX command_paper ON command (number) WHERE order_no <> '' AND number <> order_no;  -- Orders themselves are not in it.
CALL fact_table('command');
CALL digest_attach('command', '[
    {"measure": 1, "book": "command", "a": "quantity_micro", "b": "amount_minor",
     "where": "kind IN (''order'', ''cancel'', ''credit'')", "chain": "chain_id::text", "order_no": "number", "currency": "currency"},
    {"measure": 11, "book": "money_command", "a": "amount_minor",
     "where": "kind IN (''payment'', ''refund'')", "chain": "chain_id::text", "order_no": "number", "currency": "currency"},
    {"measure": 12, "book": "stock_command", "a": "quantity_micro", "b": "amount_minor",
     "where": "kind IN (''receipt'', ''adjustment'', ''confirmation'', ''delivery'')", "chain": "chain_id::text", "order_no": "number",
     "currency": "currency"}]');

CREATE TABLE ignored (
    id        uuid PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    satellite text COLLATE "C" NOT NULL,
    reason    text NOT NULL
);
CALL fact_table('ignored');

CREATE TABLE refusal (
    entry          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             uuid NOT NULL,
    at             timestamptz NOT NULL DEFAULT now(),
    satellite      text COLLATE "C" NOT NULL,
    reason         text NOT NULL,
    field          text NOT NULL,
    detail         text NOT NULL,
    -- As far as the document could be read:
    kind           text NOT NULL,
    company        text NOT NULL,
    number         text NOT NULL,
    business_date  date,
    lines          integer NOT NULL,
    quantity_micro numeric NOT NULL,  -- A faulty document may hold any number.
    amount_minor   numeric NOT NULL
);
CREATE INDEX refusal_document ON refusal (id);
CREATE INDEX refusal_number ON refusal (number);
CALL fact_table('refusal');

-- lines[0].sku -> lines[].sku: the field, whichever line it was.
CREATE FUNCTION of_any_line(field text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT regexp_replace(field, '\[\d+\]', '[]', 'g') $$;

CREATE TABLE decision (
    entry        bigint PRIMARY KEY REFERENCES refusal,
    at           timestamptz NOT NULL DEFAULT now(),
    decision     text NOT NULL CHECK (decision IN ('resubmitted', 'corrected', 'dismissed')),
    decided_by   text NOT NULL,
    note         text NOT NULL,
    corrected_by uuid
);
CALL fact_table('decision');

-- What other services announced.
CREATE TABLE known_company (
    company  text COLLATE "C" PRIMARY KEY,
    currency text NOT NULL,
    zone     text NOT NULL,
    control_passes text NOT NULL DEFAULT 'issue',  -- Of orders whose satellite has no rule of its own.
    revision integer NOT NULL
);
CALL settings_table('known_company');
CREATE TABLE known_sku (
    company text COLLATE "C" NOT NULL,
    sku     text COLLATE "C" NOT NULL,
    PRIMARY KEY (company, sku)
);
CALL settings_table('known_sku');
CREATE TABLE known_warehouse (  -- Without MAIN, which every company has, unless somebody described it.
    company   text COLLATE "C" NOT NULL,
    warehouse text COLLATE "C" NOT NULL,
    PRIMARY KEY (company, warehouse)
);
CALL settings_table('known_warehouse');

-- Who changed what through the gateway.
CREATE TABLE audit (
    entry     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    who       text NOT NULL,
    token     text NOT NULL,  -- By its name; '' is the one of whoever runs the stack.
    operation text NOT NULL,
    path      text NOT NULL,
    status    integer NOT NULL,
    digest    bytea NOT NULL  -- SHA-256 of the request: proves what was asked without keeping it.
);
CALL fact_table('audit');
