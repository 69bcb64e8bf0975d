"""What stands in the services' databases, read by plain SQL: nothing here uses a service's code or asks a service.

Each list is one question to one database. The checker compares them with each other and with what was sent.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

Row = tuple[Any, ...]

# By service and name. Ids are text, so that rows can be compared across databases and shown to people.
QUESTIONS: dict[str, dict[str, str]] = {
    "gateway": {
        "raw": "SELECT id::text, satellite, md5(body) FROM raw_document",
        "pending": "SELECT unnest(ids)::text FROM pending",
        "waiting": "SELECT id::text FROM waiting",
        "ignored": "SELECT id::text FROM ignored",
        # A refused document that was resubmitted has another fate as well.
        "refused": "SELECT r.id::text FROM refusal r WHERE NOT EXISTS (SELECT FROM decision d WHERE d.entry = r.entry)",
        "command": (
            "SELECT position, id::text, kind, company, satellite, number, quantity_micro, amount_minor FROM command"
        ),
    },
    "order": {
        "submission": "SELECT position, intake_id::text, kind, source, company, number, outcome FROM submission",
        "header": "SELECT position, order_id::text, company, source, order_no, net_minor, tax_minor FROM order_header",
        "line": "SELECT position, line_no, kind, quantity_micro, net_minor, tax_minor FROM order_line",
        "shipped": (
            "SELECT position, line_no, order_position, from_micro, to_micro, net_minor, tax_minor, leaves, passes "
            "FROM shipped_line"
        ),
        "stop": "SELECT position, line_no, order_position, quantity_micro, of_issued_micro FROM stop",
        "credit": "SELECT position, line_no, net_minor, tax_minor, restock, quantity_micro FROM credit_line",
        "taken_back": "SELECT credit_position, line_no, sum(quantity_micro)::bigint FROM taken_back GROUP BY 1, 2",
        "settlement": "SELECT position, line_no, amount_minor FROM settlement",
    },
    "inventory": {
        "submission": "SELECT intake_id::text, kind, source, company, number, outcome FROM submission",
        "placed": "SELECT position, order_id::text FROM sales_order WHERE placed",
        "demand": "SELECT position, line_no, quantity_micro, net_minor, tax_minor FROM demand",
        "stop": "SELECT position, line_no, order_position, quantity_micro, issued_micro FROM stop",
        "open": "SELECT order_position, line_no, reserved_micro, back_ordered_micro FROM open_line",
        "move": (
            "SELECT m.position, m.line_no, m.kind, m.stock_id, m.seq, m.quantity_micro, m.value_minor, "
            "m.from_micro, m.to_micro, m.order_position FROM move m ORDER BY m.stock_id, m.seq"
        ),
        "stock": (
            "SELECT s.stock_id, s.company, s.warehouse, s.sku, w.stock_policy, s.on_hand_micro, s.reserved_micro, "
            "s.back_ordered_micro, s.value_minor FROM stock s JOIN warehouse w USING (company, warehouse)"
        ),
        "promised": (
            "SELECT stock_id, sum(reserved_micro)::bigint, sum(back_ordered_micro)::bigint FROM reservation WHERE "
            "stock_id IS NOT NULL GROUP BY 1"
        ),
        # Goods that left although they had been cancelled: booked, because they are gone, whatever the policy says.
        "late": (
            "SELECT d.stock_id, -sum(s.quantity_micro)::bigint FROM stop s "
            "JOIN demand d ON d.position = s.order_position AND d.line_no = s.line_no "
            "WHERE s.quantity_micro < 0 GROUP BY 1"
        ),
        "taken_back": "SELECT position, line_no, sum(quantity_micro)::bigint FROM take_back GROUP BY 1, 2",
    },
    "finance": {
        "submission": "SELECT intake_id::text, kind, source, company, number, outcome FROM money_submission",
        "known": "SELECT item_id::text, order_net, order_tax FROM open_item WHERE of_order AND order_net IS NOT NULL",
        "posted": "SELECT position, line_no, kind, quantity_micro, value_minor, net_minor, tax_minor FROM posted_line",
        "credit": "SELECT position, line_no, net_minor, tax_minor FROM credit_line",
        "settlement": "SELECT position, line_no, amount_minor FROM settlement",
        "money": "SELECT kind, company, source, number, amount_minor FROM money_document",
        "shipment": "SELECT cause_position, count(*) FROM receivable GROUP BY 1",
        # Of each voucher and currency: lines, lines wanted, debit minus credit, the same in the functional currency.
        "balance": (
            "SELECT v.position, count(l.line_no), max(v.line_count), coalesce(sum(CASE l.side WHEN 'D' THEN "
            "l.amount_minor ELSE -l.amount_minor END), 0)::bigint, coalesce(sum(CASE l.side WHEN 'D' THEN "
            "l.functional_minor ELSE -l.functional_minor END), 0)::bigint FROM voucher v LEFT JOIN voucher_line l "
            "USING (position) GROUP BY v.position, l.currency"
        ),
        "numbers": (
            "SELECT v.company, v.word, v.period, min(v.number), max(v.number), count(*), count(DISTINCT "
            "v.number), max(c.last_number) FROM voucher v LEFT JOIN voucher_counter c USING (company, word, "
            "period) GROUP BY 1, 2, 3"
        ),
        "stray": (
            "SELECT DISTINCT l.position FROM voucher_line l LEFT JOIN voucher v USING (position) WHERE v.position "
            "IS NULL"
        ),
        # What stands on the stock account against what the stock lines say that it gained.
        "goods": (
            "SELECT coalesce(sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END), "
            "0)::bigint FROM voucher_line l JOIN voucher v USING (position) JOIN account_role r ON r.company = "
            "v.company AND r.code = l.account AND r.role = 'stock'"
        ),
    },
    "control": {
        "dead": "SELECT letter_id::text, flow, subject, reason FROM dead_letter",
    },
}
EVERYWHERE = {
    "unsent": "SELECT count(*) FROM outbox WHERE first_seq IS NULL",
    "parked": "SELECT durable, event_id, reason FROM parked",
    "letters": (
        "SELECT o.batch, convert_from(m.body, 'UTF8') FROM outbox o CROSS JOIN LATERAL unnest(o.bodies) AS m "
        "(body) WHERE o.stream = 'DEAD'"
    ),
    "tamper": "SELECT tab, op FROM tamper",
}


class Books(Struct, frozen=True):
    """The answers, by service and question: of one moment per database, across them only once nothing moves."""

    rows: dict[str, dict[str, list[Row]]]

    def of(self, service: str, question: str) -> list[Row]:
        return self.rows.get(service, {}).get(question, [])


async def read(connections: Mapping[str, Any]) -> Books:
    """One connection for each service; as the auditor, who may read everything but secrets."""
    names = list(connections)
    answers = await asyncio.gather(*(_read(name, connections[name]) for name in names))
    return Books(dict(zip(names, answers, strict=True)))


async def _read(service: str, connection: Any) -> dict[str, list[Row]]:
    """In one snapshot, so that a database does not contradict itself."""
    found: dict[str, list[Row]] = {}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for name, question in (QUESTIONS.get(service, {}) | EVERYWHERE).items():
            found[name] = [tuple(row) for row in await connection.fetch(question)]
    return found
