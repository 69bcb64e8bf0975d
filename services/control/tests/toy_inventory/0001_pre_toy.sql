CREATE TABLE shipped_line (
    position bigint, line_no integer, order_id uuid NOT NULL, order_no text NOT NULL, quantity_micro bigint NOT NULL,
    PRIMARY KEY (position, line_no)
);
CALL fact_table('shipped_line');
CALL digest_attach('shipped_line', '[{"measure": 4, "book": "shipped_line", "a": "quantity_micro"}]');
