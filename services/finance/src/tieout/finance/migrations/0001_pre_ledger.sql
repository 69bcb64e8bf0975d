-- Books that cannot be out of balance: vouchers are complete, balanced, numbered without gaps and in an open period, or
-- they are not there. Amounts are minor units of the currency beside them; functional amounts are in the company's own.

CREATE TABLE company (
    company        text COLLATE "C" PRIMARY KEY,
    name           text NOT NULL,
    currency       text NOT NULL,                  -- The functional one; it never changes.
    zone           text NOT NULL,
    tax_point      text NOT NULL CHECK (tax_point IN ('goods_issue', 'invoice', 'payment')),
    voucher_words  text NOT NULL CHECK (voucher_words IN ('one', 'three')),
    control_passes text NOT NULL DEFAULT 'issue' CHECK (control_passes IN ('issue', 'delivery')),  -- Of new orders.
    closed_through text NOT NULL DEFAULT '',       -- This posting period and all before it are closed; '' while none is.
    calendar       integer NOT NULL DEFAULT 0,     -- How often periods were closed and opened again.
    revision       integer NOT NULL DEFAULT 1,
    opened_at      timestamptz NOT NULL DEFAULT now()
);
CALL settings_table('company');

-- The chart of accounts, and which account plays which role in the voucher templates.
CREATE TABLE ledger_account (
    company text COLLATE "C" NOT NULL REFERENCES company,
    code    text COLLATE "C" NOT NULL,
    name    text NOT NULL,
    name_zh text NOT NULL,
    kind    text NOT NULL CHECK (kind IN ('asset', 'liability', 'equity', 'income', 'expense')),
    PRIMARY KEY (company, code)
);
CALL settings_table('ledger_account');

CREATE TABLE account_role (
    company text COLLATE "C" NOT NULL,
    role    text NOT NULL,
    code    text COLLATE "C" NOT NULL,
    PRIMARY KEY (company, role),
    FOREIGN KEY (company, code) REFERENCES ledger_account
);
CALL settings_table('account_role');

CREATE TABLE period_close (
    company    text COLLATE "C" NOT NULL,
    period     text NOT NULL,
    first_open text NOT NULL,
    closed_by  text NOT NULL,
    position   bigint NOT NULL,                    -- Of its PeriodClosed, drawn under the lock: after all postings before it.
    closed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason     text NOT NULL DEFAULT '',           -- In the words of who closed it; '' for none.
    PRIMARY KEY (company, position)
);
CALL fact_table('period_close');

-- A closed period that two people opened again, and with it all after it. The database asks for a row here, made in the
-- same transaction, before it lets `closed_through` go back.
CREATE TABLE period_reopening (
    company        text COLLATE "C" NOT NULL,
    period         text NOT NULL,
    closed_through text NOT NULL,                  -- What is still closed then.
    requested_by   text NOT NULL,
    approved_by    text NOT NULL CHECK (approved_by <> requested_by),
    reason         text NOT NULL CHECK (reason <> ''),
    request_id     uuid NOT NULL,
    position       bigint NOT NULL,                -- Of its PeriodReopened.
    made_in        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    reopened_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (company, position)
);
CALL fact_table('period_reopening');

-- Closes and reopenings in their order: after each, everything up to `closed_through` is closed.
CREATE VIEW calendar AS
    SELECT company, position, period AS closed_through FROM period_close
    UNION ALL SELECT company, position, closed_through FROM period_reopening;
CALL kit_grant('SELECT', 'calendar');

CREATE FUNCTION check_reopening() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.closed_through < OLD.closed_through AND NOT EXISTS (SELECT FROM period_reopening r WHERE r.company = NEW.company
            AND r.closed_through = NEW.closed_through AND r.made_in = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'a closed period of company % is opened again by two people only: ask for it and have it approved', NEW.company;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_reopening BEFORE UPDATE OF closed_through ON company FOR EACH ROW EXECUTE FUNCTION check_reopening();
ALTER TABLE company ENABLE ALWAYS TRIGGER check_reopening;

-- What a person asks for and others approve. It happens in the transaction of the last approval that it needs.
CREATE TABLE approval_request (
    request_id       uuid PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('reopening', 'write_off', 'recovery', 'count', 'provision')),
    company          text COLLATE "C" NOT NULL,
    subject          text NOT NULL,                -- The period, the order, the count.
    item_id          uuid,                         -- Write-offs: whose receivable.
    document_id      uuid,                         -- Counts: the adjustment.
    currency         text NOT NULL,
    amount_minor     bigint NOT NULL,
    tax_minor        bigint NOT NULL DEFAULT 0 CHECK (tax_minor >= 0),  -- Counts: input tax that is transferred out.
    business_date    date,
    cause            text NOT NULL,
    reason           text NOT NULL CHECK (reason <> ''),
    requested_by     text NOT NULL CHECK (requested_by <> ''),
    approvals_needed integer NOT NULL CHECK (approvals_needed > 0),
    requested_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (request_id, requested_by)
);
CREATE INDEX approval_request_document ON approval_request (document_id) WHERE document_id IS NOT NULL;
CALL fact_table('approval_request');

-- Nobody approves his own request, and nobody twice.
CREATE TABLE verdict (
    request_id   uuid NOT NULL,
    given_by     text NOT NULL CHECK (given_by <> ''),
    requested_by text NOT NULL,
    approved     boolean NOT NULL,
    note         text NOT NULL,
    given_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (request_id, given_by),
    FOREIGN KEY (request_id, requested_by) REFERENCES approval_request (request_id, requested_by),
    CHECK (given_by <> requested_by OR NOT approved)
);
CALL fact_table('verdict');

-- 凭证字号: one row per company, word and period, locked last in each transaction and advanced by n.
CREATE TABLE voucher_counter (
    company     text COLLATE "C" NOT NULL,
    word        text COLLATE "C" NOT NULL,
    period      text COLLATE "C" NOT NULL,
    last_number integer NOT NULL,
    PRIMARY KEY (company, word, period)
) WITH (fillfactor = 20);                          -- Updated by every batch; room on its page keeps that cheap.
CALL state_table('voucher_counter');

CREATE TABLE voucher (
    position       bigint PRIMARY KEY,             -- Of the event that announces it.
    cause_position bigint NOT NULL,                -- Of the event that it was posted for; 0 for none.
    total_minor    bigint NOT NULL,                -- Sum of its debits in the company's functional currency.
    posted_at      timestamptz NOT NULL DEFAULT now(),
    chain_id       uuid NOT NULL,                  -- The journey: an order, or a document without one.
    document_id    uuid NOT NULL,                  -- Shipment, credit note, payment …
    number         integer NOT NULL CHECK (number > 0),
    business_date  date NOT NULL,
    posting_date   date NOT NULL,
    line_count     smallint NOT NULL CHECK (line_count > 0),
    company        text COLLATE "C" NOT NULL,
    word           text COLLATE "C" NOT NULL,
    period         text COLLATE "C" NOT NULL,
    deferred_from  text NOT NULL DEFAULT '',       -- The closed period that it belonged to by its business date.
    template       text NOT NULL,                  -- T01 …; version 1 of it is the preparer of an automatic voucher.
    prepared_by    text NOT NULL DEFAULT 'finance templates 1',
    reviewed_by    text NOT NULL DEFAULT '',       -- Names, separated by a comma and a space. Templates are reviewed as code.
    currency       text NOT NULL,                  -- Of the document.
    document_no    text NOT NULL,
    order_no       text NOT NULL,
    customer       text NOT NULL,
    cause          text NOT NULL,                  -- Producer of the event that it was posted for.
    UNIQUE (company, word, period, number),
    CHECK (reviewed_by = '' OR prepared_by <> ALL (string_to_array(reviewed_by, ', ')))
);
CREATE INDEX voucher_chain ON voucher USING hash (chain_id);  -- Random ids: dearer in a tree.
CREATE INDEX voucher_cause ON voucher (cause_position);
-- Those that post on 1901; few, and asked for by what is still open.
CREATE INDEX voucher_of_count ON voucher (company, period) WHERE template IN ('T18r', 'T19', 'T19b', 'T19c', 'T19t');
CALL fact_table('voucher');

CREATE TABLE voucher_line (
    position         bigint NOT NULL,              -- Of its voucher.
    amount_minor     bigint NOT NULL,              -- Negative in red: the same side as its original.
    functional_minor bigint NOT NULL,
    item_id          uuid,                         -- Control accounts: whose open item.
    line_no          smallint NOT NULL,
    side             "char" NOT NULL CHECK (side IN ('D', 'C')),
    account          text COLLATE "C" NOT NULL,
    role             text NOT NULL,                -- Why it is there: receivable, revenue, cost …
    currency         text NOT NULL,
    PRIMARY KEY (position, line_no),
    CHECK (amount_minor <> 0 OR functional_minor <> 0)
);
CREATE INDEX voucher_line_item ON voucher_line (item_id) WHERE item_id IS NOT NULL AND role <> 'receivable';
CALL fact_table('voucher_line');

-- Lines are written first; the row in `voucher` posts them. So a voucher without lines cannot be, lines of a posted
-- voucher cannot be added, and lines that were never posted count nowhere.
CREATE FUNCTION refuse_lines_of_posted() RETURNS trigger LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    posted bigint;
BEGIN
    SELECT v.position INTO posted FROM (SELECT DISTINCT position FROM fresh) f JOIN voucher v USING (position) LIMIT 1;
    IF posted IS NOT NULL THEN
        RAISE EXCEPTION 'voucher at position % is posted and takes no further line; reverse it instead', posted;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refuse_lines_of_posted AFTER INSERT ON voucher_line REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_lines_of_posted();
ALTER TABLE voucher_line ENABLE ALWAYS TRIGGER refuse_lines_of_posted;

-- Holds for every path into the ledger, ours or psql's. The planner may not choose a scan over all vouchers for it.
CREATE FUNCTION check_posting() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    wrong text;
BEGIN
    SELECT format('voucher at position %s: %s', b.position, CASE
            WHEN sum(b.lines) <> max(b.line_count) THEN format('has %s lines instead of %s', sum(b.lines), max(b.line_count))
            WHEN sum(b.functional) <> 0 THEN format('debits differ from credits by %s in the functional currency', sum(b.functional))
            ELSE 'debits differ from credits in a currency' END)
    INTO wrong
    FROM (
        SELECT p.position, p.line_count, l.currency, count(l.line_no) AS lines,
            coalesce(sum(CASE l.side WHEN 'D' THEN l.amount_minor ELSE -l.amount_minor END), 0) AS off,
            coalesce(sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END), 0) AS functional
        FROM posted p LEFT JOIN voucher_line l ON l.position = p.position GROUP BY p.position, p.line_count, l.currency
    ) b
    GROUP BY b.position
    HAVING bool_or(b.off <> 0) OR sum(b.functional) <> 0 OR sum(b.lines) <> max(b.line_count)
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'not balanced: %', wrong;
    END IF;

    -- The share lock lets no period be closed under a posting.
    PERFORM FROM company WHERE company IN (SELECT DISTINCT p.company FROM posted p) ORDER BY company FOR SHARE;
    SELECT format('voucher at position %s: period %s of company %s is closed through %s', p.position, p.period, p.company, coalesce(c.closed_through, 'ever'))
    INTO wrong FROM (SELECT company, period, posting_date, min(position) AS position FROM posted GROUP BY 1, 2, 3) p LEFT JOIN company c USING (company)
    WHERE c.company IS NULL OR p.period <= c.closed_through OR p.period <> to_char(p.posting_date, 'YYYY-MM') LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'not in an open period: %', wrong;
    END IF;

    SELECT format('%s-%s of company %s: numbers %s to %s for %s vouchers, counter at %s', n.word, n.period, n.company, n.first, n.last, n.vouchers, c.last_number)
    INTO wrong
    FROM (SELECT p.company, p.word, p.period, min(p.number) AS first, max(p.number) AS last, count(*) AS vouchers
          FROM posted p GROUP BY p.company, p.word, p.period) n
    LEFT JOIN voucher_counter c USING (company, word, period)
    WHERE c.last_number IS DISTINCT FROM n.last OR n.last - n.first + 1 <> n.vouchers LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'numbers have gaps: %', wrong;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER check_posting AFTER INSERT ON voucher REFERENCING NEW TABLE AS posted
    FOR EACH STATEMENT EXECUTE FUNCTION check_posting();
ALTER TABLE voucher ENABLE ALWAYS TRIGGER check_posting;

-- Nor is a posted voucher edited, by anybody: it is reversed. Statement-level, and not on the way in: postings do not pay for it.
-- The owner may switch triggers off; that, and what he edits then, is found (guard, digests, violations).
CREATE FUNCTION refuse_edit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'posted vouchers are never edited: no % of %; post a red voucher instead', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER refuse_edit BEFORE UPDATE OR DELETE OR TRUNCATE ON voucher FOR EACH STATEMENT EXECUTE FUNCTION refuse_edit();
CREATE TRIGGER refuse_edit BEFORE UPDATE OR DELETE OR TRUNCATE ON voucher_line FOR EACH STATEMENT EXECUTE FUNCTION refuse_edit();
ALTER TABLE voucher ENABLE ALWAYS TRIGGER refuse_edit;
ALTER TABLE voucher_line ENABLE ALWAYS TRIGGER refuse_edit;

-- What the customer of one order owes us in one currency and what money of his we hold for it; also one per customer for
-- credits and money that name no order. The anchor of all money flows: locked, sorted, before anything is read.
-- The lower half follows from the upper half by domain/open_item.py, whatever came first.
CREATE TABLE open_item (
    item_id        uuid NOT NULL,                  -- The order's id, or one derived from the customer.
    currency       text COLLATE "C" NOT NULL,
    of_order       boolean NOT NULL,
    awaited        boolean NOT NULL DEFAULT false, -- Credit notes are parked until a shipment of it is billed.
    order_net      bigint,                         -- As placed; null while the order is not known here.
    order_tax      bigint,
    rate_micro     bigint,                         -- Of the order, or of the first document while it is not known.
    billed         bigint NOT NULL DEFAULT 0,      -- Net and tax of what was shipped.
    credited       bigint NOT NULL DEFAULT 0,
    received       bigint NOT NULL DEFAULT 0,
    refunded       bigint NOT NULL DEFAULT 0,
    stopped        bigint NOT NULL DEFAULT 0,      -- Net and tax of what will never ship.
    settled        bigint NOT NULL DEFAULT 0,      -- Money applied to the receivable: 1122 = billed - credited - settled.
    deposit_net    bigint NOT NULL DEFAULT 0,      -- 2204: paid for what is still to be shipped,
    deposit_tax    bigint NOT NULL DEFAULT 0,      -- and its tax, 2221.06.
    refundable     bigint NOT NULL DEFAULT 0,      -- 2241.01: paid for what was stopped.
    unapplied      bigint NOT NULL DEFAULT 0,      -- 2203: all other money.
    forgiven       bigint,                         -- Cash discounts taken, and written off minus recovered; null for none.
    tax_point      text CHECK (tax_point IN ('goods_issue', 'invoice', 'payment')),  -- Null: at goods issue, without the next three.
    tax_billed     bigint,                         -- Into 2221.06, minus credited.
    tax_invoiced   bigint,                         -- On invoices (发票), minus red ones.
    tax_due        bigint,                         -- Of tax_billed: transferred to 2221.01.01.
    money_date     date,                           -- Business date of the latest money that came or went.
    lines          bigint[],                       -- As placed: number, quantity, net, tax; number, quantity …
    business_date  date,                           -- Of the order.
    due_days       integer,
    company        text COLLATE "C" NOT NULL,
    customer       text NOT NULL,
    source         text NOT NULL,
    order_no       text NOT NULL,
    noted_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (item_id, currency)
) WITH (fillfactor = 50);                          -- Updated once by nearly every order: its next version fits beside it.
CREATE INDEX open_item_order_no ON open_item (order_no);
CALL state_table('open_item');

-- Facts: what inventory refused or stopped, so that it will never be billed.
CREATE TABLE stopped_line (
    document_id    uuid NOT NULL,                  -- The cancellation, or the order where it was refused as a whole.
    line_no        integer NOT NULL,
    item_id        uuid NOT NULL,
    quantity_micro bigint NOT NULL,
    position       bigint NOT NULL,                -- Inventory's.
    PRIMARY KEY (document_id, line_no)
);
CREATE INDEX stopped_line_item ON stopped_line (item_id);
CALL fact_table('stopped_line');

-- Facts: shipments that were billed, or deliveries where control passes then. The primary key is what makes billing happen once.
CREATE TABLE receivable (
    shipment_id    uuid PRIMARY KEY,
    item_id        uuid NOT NULL,
    amount_minor   bigint NOT NULL,
    cause_position bigint NOT NULL,                -- Of inventory.shipped or delivered.
    position       bigint NOT NULL,                -- Of the ReceivableOpened, and of its voucher where there is one.
    business_date  date NOT NULL,
    posting_date   date NOT NULL,
    due_date       date NOT NULL,
    currency       text NOT NULL,
    source         text NOT NULL,
    billed_at      timestamptz NOT NULL DEFAULT now()
);
-- An order's receivables are found by its vouchers: this index grows at its right end, one on order ids would not.
CREATE UNIQUE INDEX receivable_position ON receivable (position);
CALL fact_table('receivable');

-- Facts: each line of inventory's events and what it did to the books. Position: inventory's (measures 4, 5, 6).
CREATE TABLE posted_line (
    position       bigint NOT NULL,
    quantity_micro bigint NOT NULL,                -- Signed as stock moves: what left is negative.
    value_minor    bigint NOT NULL,                -- Signed, functional currency: what 1405 gained; delivered: what 1406 did.
    net_minor      bigint NOT NULL,                -- Billed; 0 but for shipments.
    tax_minor      bigint NOT NULL,
    chain_id       uuid NOT NULL,
    line_no        integer NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('shipped', 'service', 'delivered', 'returned', 'recalled', 'opening', 'purchase', 'adjusted', 'revalued')),
    account        text NOT NULL,                  -- Class of the line in the contract: goods, carriage …
    starts         boolean NOT NULL,               -- The first part of its order line, so that lines can be counted.
    document_no    text NOT NULL,
    currency       text NOT NULL,                  -- Of net and tax: the shipment's own. Of value: the company's.
    PRIMARY KEY (position, line_no)
);
CALL fact_table('posted_line');

-- Facts: goods on their way, where control passes at delivery (1406): sent (T02), delivered (T02b) or recalled (T04).
CREATE TABLE transit (
    position       bigint NOT NULL,                -- Inventory's (measure 10).
    quantity_micro bigint NOT NULL,                -- Signed: what is on its way is their sum.
    value_minor    bigint NOT NULL,                -- Signed, functional currency: what 1406 gained.
    chain_id       uuid NOT NULL,
    line_no        integer NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('sent', 'delivered', 'recalled')),
    document_no    text NOT NULL,
    PRIMARY KEY (position, line_no)
);
CALL fact_table('transit');

-- Anchors of the other documents of inventory: posted once.
CREATE TABLE stock_document (
    kind        text NOT NULL,
    document_id uuid NOT NULL,
    position    bigint NOT NULL,                   -- Inventory's.
    company     text COLLATE "C" NOT NULL,
    source      text NOT NULL,
    document_no text NOT NULL,
    business_date date NOT NULL,
    posted_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, document_id)
);
CREATE INDEX stock_document_position ON stock_document (position);
CALL fact_table('stock_document');

-- What counts have left on 1901. A period closes with none, so of closed ones nobody needs to read. The rest is
-- probed one by one: the planner, which cannot know how few periods are open, would rather read all there is.
CREATE VIEW standing_count AS
    SELECT d.company, d.source, d.document_no, d.document_id, d.business_date, d.posted_at, c.currency, c.left_minor
    FROM (SELECT m.currency, o.document_id, sum(o.left_minor)::bigint AS left_minor
          FROM company m CROSS JOIN LATERAL (
              SELECT v.document_id, (SELECT sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END)
                                     FROM voucher_line l WHERE l.position = v.position AND l.role = 'count_difference') AS left_minor
              FROM voucher v
              WHERE v.company = m.company AND v.period > m.closed_through AND v.template IN ('T18r', 'T19', 'T19b', 'T19c', 'T19t')
              OFFSET 0) o
          GROUP BY m.company, o.document_id) c
    CROSS JOIN LATERAL (SELECT * FROM stock_document s WHERE s.kind IN ('adjusted', 'revalued') AND s.document_id = c.document_id OFFSET 0) d
    WHERE c.left_minor <> 0;
CALL kit_grant('SELECT', 'standing_count');
-- Here, because the currency of a value is found through the tables above: its company's. An order's items, one for each
-- currency of its money, are all of one company; but whoever asks them for a currency of the order gets any of theirs.
CALL digest_attach('posted_line', '[
    {"measure": 4, "book": "billed_quantity", "a": "-quantity_micro", "b": "0", "where": "kind IN (''shipped'', ''service'', ''delivered'')",
     "chain": "chain_id::text", "order_no": "document_no"},
    {"measure": 5, "book": "stock_value", "a": "quantity_micro", "b": "value_minor", "where": "kind <> ''service'' AND kind <> ''delivered''",
     "chain": "chain_id::text", "order_no": "document_no",
     "currency": "coalesce((SELECT c.currency FROM stock_document d JOIN company c USING (company) WHERE d.position = posted_line.position LIMIT 1), (SELECT c.currency FROM open_item i JOIN company c USING (company) WHERE i.item_id = posted_line.chain_id LIMIT 1))"},
    {"measure": 6, "book": "billed", "a": "net_minor", "b": "tax_minor", "where": "kind IN (''shipped'', ''service'', ''delivered'')",
     "chain": "chain_id::text", "order_no": "document_no",
     "currency": "currency"}]');
CALL digest_attach('transit', '[{"measure": 10, "book": "transit", "a": "quantity_micro", "b": "value_minor",
    "chain": "chain_id::text", "order_no": "document_no",
    "currency": "coalesce((SELECT c.currency FROM stock_document d JOIN company c USING (company) WHERE d.position = transit.position LIMIT 1), (SELECT c.currency FROM open_item i JOIN company c USING (company) WHERE i.item_id = transit.chain_id LIMIT 1))"}]');

-- Facts: credit notes. Position: of order.returned (measure 7).
CREATE TABLE credit_note (
    credit_id     uuid PRIMARY KEY,
    position      bigint NOT NULL UNIQUE,
    business_date date NOT NULL,
    posting_date  date NOT NULL,
    company       text COLLATE "C" NOT NULL,
    source        text NOT NULL,
    credit_no     text NOT NULL,
    customer      text NOT NULL,
    currency      text NOT NULL,
    credited_at   timestamptz NOT NULL DEFAULT now()
);
CALL fact_table('credit_note');

CREATE TABLE credit_line (
    position       bigint NOT NULL,
    quantity_micro bigint NOT NULL,
    net_minor      bigint NOT NULL,
    tax_minor      bigint NOT NULL,
    item_id        uuid NOT NULL,                  -- The order's, or the customer's where it is unlinked.
    line_no        integer NOT NULL,
    part           integer NOT NULL CHECK (part > 0),  -- 2 and above: goes on with a line that counts already.
    linked         boolean NOT NULL,
    kind           text NOT NULL,
    account        text NOT NULL,
    credit_no      text NOT NULL,
    PRIMARY KEY (position, line_no)
);
CREATE INDEX credit_line_item ON credit_line (item_id);
CALL fact_table('credit_line');
CALL digest_attach('credit_line', '[{"measure": 7, "book": "credit", "a": "net_minor", "b": "tax_minor",
    "chain": "item_id::text", "order_no": "credit_no",
    "currency": "(SELECT n.currency FROM credit_note n WHERE n.position = credit_line.position)"}]');

-- Payments and refunds. (kind, company, source, number) makes the id; the same one with other content is a conflict.
CREATE TABLE money_document (
    document_id   uuid PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('payment', 'refund')),
    intake_id     uuid NOT NULL,
    amount_minor  bigint NOT NULL,
    fee_minor     bigint NOT NULL,
    position      bigint NOT NULL,                 -- Of its voucher.
    cause_position bigint NOT NULL,                -- Of the gateway's command.
    business_date date NOT NULL,
    posting_date  date NOT NULL,
    company       text COLLATE "C" NOT NULL,
    source        text NOT NULL,
    number        text NOT NULL,
    version       text NOT NULL,
    fingerprint   text NOT NULL,
    currency      text NOT NULL,
    customer      text NOT NULL,
    method        text NOT NULL,
    booked_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX money_document_position ON money_document (position);
CALL fact_table('money_document');

-- Facts: what became of each of them, whatever it was. Position: of the gateway's command (measure 11).
CREATE TABLE money_submission (
    intake_id    uuid PRIMARY KEY,
    position     bigint NOT NULL UNIQUE,
    document_id  uuid NOT NULL,
    outcome      text NOT NULL CHECK (outcome IN ('accepted', 'duplicate', 'conflict')),
    reason       text NOT NULL,
    detail       text NOT NULL,
    kind         text NOT NULL,
    company      text NOT NULL,
    source       text NOT NULL,
    number       text NOT NULL,
    amount_minor bigint NOT NULL,
    currency     text NOT NULL,
    business_date date NOT NULL,
    orders       uuid[] NOT NULL,                  -- Of one that is not booked: all that it names. Of a booked one: those that take nothing of it.
    submitted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX money_submission_document ON money_submission (document_id) WHERE outcome <> 'accepted' OR reason <> '';
CREATE INDEX money_submission_orders ON money_submission USING gin (orders) WHERE orders <> '{}';
CALL fact_table('money_submission');
CALL digest_attach('money_submission', '[{"measure": 11, "book": "money_submission", "a": "amount_minor", "line": "1",
    "chain": "document_id::text", "order_no": "number", "currency": "currency"}]');

-- Facts: what each payment brought to (positive) and each refund took from (negative) an open item.
CREATE TABLE money_part (
    document_id  uuid NOT NULL,
    item_id      uuid NOT NULL,
    amount_minor bigint NOT NULL,
    currency     text NOT NULL,
    moved        bigint NOT NULL DEFAULT 0,        -- Position of the voucher by which a payment went on to another item; 0: as it came.
    PRIMARY KEY (document_id, item_id, moved)
);
CREATE INDEX money_part_item ON money_part (item_id);
CALL fact_table('money_part');

-- Payments that name orders without an amount, while one of those is unknown: what each of them holds until then.
CREATE TABLE waiting_claim (
    document_id   uuid NOT NULL,
    place         integer NOT NULL,                -- The first named takes first.
    item_id       uuid NOT NULL,
    customer_item uuid NOT NULL,                   -- Takes what none of them needs.
    taken_minor   bigint NOT NULL,
    PRIMARY KEY (document_id, place)
);
CREATE INDEX waiting_claim_item ON waiting_claim (item_id);
CALL state_table('waiting_claim');

-- Facts: refunds above what came of which it was told that their claim has ended, or is open again; the last one stands.
-- The next end tells those that came after, and those that are open again.
CREATE TABLE told_claim (
    item_id       uuid NOT NULL,
    currency      text COLLATE "C" NOT NULL,
    document_id   uuid NOT NULL,                   -- Of the refund.
    position      bigint NOT NULL,                 -- Of the event that told it.
    ended         boolean NOT NULL,
    PRIMARY KEY (item_id, currency, document_id, position)
);
CALL fact_table('told_claim');

-- Facts: money of a customer that named no order, and was applied to one later. What moved stands in money_part.
CREATE TABLE application (
    document_id   uuid PRIMARY KEY,
    item_id       uuid NOT NULL,                   -- Of the order.
    customer_item uuid NOT NULL,
    amount_minor  bigint NOT NULL CHECK (amount_minor > 0),
    business_date date NOT NULL,
    voucher_no    text NOT NULL,
    company       text COLLATE "C" NOT NULL,
    number        text NOT NULL,
    currency      text NOT NULL,
    applied_by    text NOT NULL,
    applied_at    timestamptz NOT NULL DEFAULT now()
);
CALL fact_table('application');

-- Facts: money applied to the receivables of orders, or taken back. Position: of our OrdersSettled (measure 9).
CREATE TABLE settlement (
    position     bigint NOT NULL,
    amount_minor bigint NOT NULL,
    held_minor   bigint NOT NULL,                  -- Change of what is held for the order besides (2204 and 2221.06, 2241.01, 2203).
    order_id     uuid NOT NULL,
    line_no      integer NOT NULL,
    posting_date date NOT NULL,
    cause        text NOT NULL,
    order_no     text NOT NULL,
    document_no  text NOT NULL,
    currency     text NOT NULL,
    settled_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (position, line_no)
);
CREATE INDEX settlement_order ON settlement (order_id);
CALL fact_table('settlement');
CALL digest_attach('settlement', '[{"measure": 9, "book": "settlement", "a": "amount_minor", "b": "0", "currency": "currency"}]');

-- Facts: invoices (发票) of orders, red ones with negative amounts.
CREATE TABLE invoice (
    document_id   uuid PRIMARY KEY,
    item_id       uuid NOT NULL,
    net_minor     bigint NOT NULL,
    tax_minor     bigint NOT NULL,
    voucher_no    text NOT NULL,                   -- '' where it moved nothing.
    business_date date NOT NULL,
    company       text COLLATE "C" NOT NULL,
    number        text NOT NULL,
    currency      text NOT NULL,
    issued_by     text NOT NULL,
    issued_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX invoice_item ON invoice (item_id);
CALL fact_table('invoice');

-- Facts: what closed a receivable without money: cash discounts taken, write-offs; recoveries are negative.
CREATE TABLE forgiveness (
    document_id   uuid PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('discount', 'write_off', 'recovery')),
    item_id       uuid NOT NULL,
    amount_minor  bigint NOT NULL,
    voucher_no    text NOT NULL,
    business_date date NOT NULL,
    company       text COLLATE "C" NOT NULL,
    number        text NOT NULL,
    currency      text NOT NULL,
    forgiven_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX forgiveness_item ON forgiveness (item_id);
CALL fact_table('forgiveness');

-- Facts: closing rates, and which of them a period's open foreign items were valued at. The last one of a day stands.
CREATE TABLE closing_rate (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company    text COLLATE "C" NOT NULL,
    currency   text NOT NULL,
    date       date NOT NULL,
    rate_micro bigint NOT NULL CHECK (rate_micro > 0),
    put_by     text NOT NULL,
    put_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX closing_rate_date ON closing_rate (company, currency, date);
CALL fact_table('closing_rate');

CREATE TABLE revaluation (
    document_id  uuid PRIMARY KEY,
    company      text COLLATE "C" NOT NULL,
    period       text NOT NULL,
    currency     text NOT NULL,
    rate_micro   bigint NOT NULL,
    rate_date    date NOT NULL,
    change_minor bigint NOT NULL,                  -- Gain positive, functional currency.
    voucher_no   text NOT NULL,                    -- '' where nothing had changed.
    revalued_by  text NOT NULL,
    revalued_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX revaluation_period ON revaluation (company, period);
CALL fact_table('revaluation');

-- Facts: the output tax on goods that were given away alone; once per order.
CREATE TABLE free_goods (
    document_id   uuid PRIMARY KEY,
    item_id       uuid NOT NULL UNIQUE,
    market_minor  bigint NOT NULL,                 -- Net, functional currency.
    tax_minor     bigint NOT NULL,
    business_date date NOT NULL,
    voucher_no    text NOT NULL,
    company       text COLLATE "C" NOT NULL,
    number        text NOT NULL,
    declared_by   text NOT NULL,
    declared_at   timestamptz NOT NULL DEFAULT now()
);
CALL fact_table('free_goods');
