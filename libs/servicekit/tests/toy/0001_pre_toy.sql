-- A fact table with two books, and an anchor table.
CREATE TABLE order_anchor (order_id uuid PRIMARY KEY);
CALL state_table('order_anchor');

CREATE TABLE sales_order (
    order_no text PRIMARY KEY,
    customer text NOT NULL,
    due_days integer,
    open     bigint NOT NULL DEFAULT 0
);
CALL state_table('sales_order');

CREATE TABLE demand (
    position      bigint NOT NULL,
    line_no       integer NOT NULL,
    order_id      uuid NOT NULL,
    order_no      text NOT NULL,
    quantity      bigint NOT NULL,
    amount        bigint NOT NULL,
    kind          text NOT NULL DEFAULT 'goods',
    PRIMARY KEY (position, line_no)
);
CALL fact_table('demand');
CALL digest_attach('demand', '[
    {"measure": 2, "book": "demand", "a": "quantity", "b": "amount"},
    {"measure": 4, "book": "shipped_line", "a": "quantity", "where": "kind = ''goods''"}]');

CREATE TABLE setting (
    name   text PRIMARY KEY,
    value  text NOT NULL,
    remark text NOT NULL DEFAULT '',
    secret text
);
INSERT INTO setting (name, value) VALUES ('first', 'was there before the log');
CALL settings_table('setting', '{secret}');
