CREATE TABLE billed_line (
    position bigint, line_no integer, order_id uuid NOT NULL, order_no text NOT NULL, quantity_micro bigint NOT NULL,
    PRIMARY KEY (position, line_no)
);
CALL fact_table('billed_line');
CALL digest_attach('billed_line', '[{"measure": 4, "book": "billed_quantity", "a": "quantity_micro"}]');
