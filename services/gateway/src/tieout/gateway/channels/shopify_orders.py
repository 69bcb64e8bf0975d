"""Shopify's order webhooks. Where things stand is in shopify_orders.toml; here is what they mean.

    orders/create              an order
    orders/cancelled           a request to stop all that still can be stopped
    refunds/create             by line, after `restock_type`: cancel = stop; return = credit and restock;
                               legacy_restock = restock if it had left, else stop; no_restock = credit only.
                               shipping_refund credits the carriage, refund_discrepancy is an allowance by value;
                               its transactions are refunds of money
    order_transactions/create  sale and capture are payments, refund is a refund; others move no money

Refunds and transactions name their order by Shopify's id, so they wait until that order was seen.
"""

import tomllib
from collections import defaultdict
from datetime import datetime
from importlib import resources
from typing import Any

from msgspec import Struct
from tieout.contracts.currency import EXPONENTS, refused
from tieout.gateway.channels.reading import business_day, inspect, read_object
from tieout.gateway.domain.amounts import half_up
from tieout.gateway.domain.drafts import Draft, KnownOrder, Mapped, Satellite, Summary
from tieout.gateway.domain.faults import Fault
from tieout.gateway.domain.pricing import minor, price_line
from tieout.gateway.mapping import Mapping, compile_mapping
from tieout.gateway.mapping.casts import micro

NAME = "shopify-orders"
CARRIAGE, ALLOWANCE, TIP = "CARRIAGE", "ALLOWANCE", "TIP"  # SKUs of lines that Shopify writes without one.
MONEY_IN, MONEY_OUT = ("sale", "capture"), ("refund",)
_ENVELOPES = {"order": "order", "cancellation": "order", "refund": "refund", "transaction": "transaction"}

Fields = dict[str, Any]


class Document(Struct):
    kind: str  # order, cancellation, refund, transaction
    content: Fields


class ShopifyOrders:
    name = NAME

    def __init__(self) -> None:
        spec = tomllib.loads(
            (resources.files("tieout.gateway.channels") / "shopify_orders.toml").read_text(encoding="utf-8")
        )
        self.topics: dict[str, str] = spec.pop("topics")
        self._mappings: dict[str, Mapping] = {
            kind: compile_mapping(fields, f"shopify_orders.{kind}") for kind, fields in spec.items()
        }

    def read(self, body: bytes, topic: str) -> Document:
        kind = self.topics.get(topic)
        if kind is None:
            raise Fault(
                "unknown_topic",
                "X-Shopify-Topic",
                f"{topic[:60]!r} is none of {', '.join(self.topics)}; name the topic in this header",
            )
        content = read_object(body)
        inspect(body, content)
        if len(content) == 1 and isinstance(inner := content.get(_ENVELOPES[kind]), dict):
            content = inner  # As the REST API answers it.
        return Document(kind, content)

    def lookup(self, document: Document) -> str | None:
        if document.kind not in ("refund", "transaction"):
            return None
        named = document.content.get("order_id")
        return str(named) if type(named) in (int, str) and named != "" else None

    def map(self, document: Document, satellite: Satellite, known: KnownOrder | None) -> Mapped:
        fields = self._mappings[document.kind](document.content, {})
        if fields.get("test"):
            raise Fault("test_document", "test", "the shop says that this is a test")
        if document.kind == "order":
            return _order(fields, satellite)
        if document.kind == "cancellation":
            return _cancellation(fields, satellite)
        if known is None:
            raise Fault("unknown_order", "order_id", "the order that it names never came")
        return (
            _transaction(fields, satellite, known)
            if document.kind == "transaction"
            else _refund(fields, satellite, known)
        )

    def summary(self, body: bytes, topic: str, satellite: Satellite) -> Summary:
        kind = {"cancellation": "cancel", "refund": "credit", "transaction": "payment"}.get(
            self.topics.get(topic, ""), self.topics.get(topic, "")
        )
        summary = Summary(kind=kind, company=satellite.company)
        try:
            content = self.read(body, topic).content
        except Fault:
            return summary
        for name in ("name", "id"):
            if type(content.get(name)) in (int, str):
                summary.number = str(content[name]).removeprefix("#")[:100]
                break
        at = content.get("created_at") or content.get("processed_at")
        if isinstance(at, str):
            summary.business_date = at[:10]
        exponent = EXPONENTS.get(str(content.get("currency")), 2)
        if kind == "order":
            lines = _rows(content.get("line_items"))
            summary.lines = len(lines)
            summary.quantity_micro = sum(_loose(line.get("quantity")) for line in lines)
            summary.amount_minor = half_up(_loose(content.get("total_price")), 10 ** (6 - exponent))
        elif kind == "credit":
            lines = _rows(content.get("refund_line_items"))
            summary.lines = len(lines)
            summary.quantity_micro = -sum(_loose(line.get("quantity")) for line in lines)
            worth = sum(_loose(line.get("subtotal")) + _loose(line.get("total_tax")) for line in lines)
            summary.amount_minor = -half_up(worth, 10 ** (6 - exponent))
        elif kind == "payment":
            summary.amount_minor = half_up(_loose(content.get("amount")), 10 ** (6 - exponent))
        return summary


def _order(fields: Fields, satellite: Satellite) -> Mapped:
    exponent = _exponent(fields["currency"])
    included = fields["taxes_included"]
    lines: list[Fields] = []
    for line in fields["lines"]:
        try:
            net, tax, rounding = price_line(
                quantity_micro=line["quantity_micro"],
                unit_price_micro=line["unit_price_micro"],
                discount_micro=line["discount_micro"],
                tax_micro=line["tax_micro"],
                taxes_included=included,
                exponent=exponent,
            )
        except Fault as fault:
            raise fault.inside(f"line_items[{line['_at']}]") from None
        kind, account = _nature(line)
        lines.append(
            {
                "line_no": len(lines) + 1,
                "sku": line["sku"],
                "quantity_micro": line["quantity_micro"],
                "net_minor": net,
                "tax_minor": tax,
                "unit_price_micro": line["unit_price_micro"],
                "warehouse": line["warehouse"] or satellite.default_warehouse,
                "kind": kind,
                "account": account,
                "rounding_micro": rounding,
            }
        )
    carriage_line = _add_carriage(lines, fields, satellite, exponent)
    if fields["tip_micro"]:
        lines.append(_service(lines, TIP, fields["tip_micro"], 0, 0, False, "other", satellite, exponent))
    total = minor(fields["total_micro"], exponent, "total_price")
    known = KnownOrder(
        number=fields["number"],
        customer=fields["customer"],
        currency=fields["currency"],
        taxes_included=included,
        line_ids=tuple(line["external_id"] for line in fields["lines"]),
        carriage_line=carriage_line,
    )
    content = {
        **_head(fields, satellite),
        "customer": fields["customer"],
        "currency": fields["currency"],
        "due_days": satellite.due_days,
        "lines": lines,
    }
    draft = Draft("order", content, lines_field="line_items", total_minor=total, total_field="total_price")
    return Mapped([draft], knows=(fields["external_id"], known))


def _add_carriage(lines: list[Fields], fields: Fields, satellite: Satellite, exponent: int) -> int:
    """Free carriage is no line. Answers the number of the first carriage line, 0 for none."""
    first = 0
    for line in fields["carriage"]:
        if not line["price_micro"]:
            continue
        try:
            lines.append(
                _service(
                    lines,
                    CARRIAGE,
                    line["price_micro"],
                    line["discount_micro"],
                    line["tax_micro"],
                    fields["taxes_included"],
                    "carriage",
                    satellite,
                    exponent,
                )
            )
        except Fault as fault:
            raise fault.inside(f"shipping_lines[{line['_at']}]") from None
        first = first or len(lines)
    return first


def _service(
    lines: list[Fields],
    sku: str,
    price_micro: int,
    discount_micro: int,
    tax_micro: int,
    included: bool,
    account: str,
    satellite: Satellite,
    exponent: int,
) -> Fields:
    net, tax, rounding = price_line(
        quantity_micro=1_000_000,
        unit_price_micro=price_micro,
        discount_micro=discount_micro,
        tax_micro=tax_micro,
        taxes_included=included,
        exponent=exponent,
    )
    return {
        "line_no": len(lines) + 1,
        "sku": sku,
        "quantity_micro": 1_000_000,
        "net_minor": net,
        "tax_minor": tax,
        "unit_price_micro": price_micro,
        "warehouse": satellite.default_warehouse,
        "kind": "service",
        "account": account,
        "rounding_micro": rounding,
    }


def _cancellation(fields: Fields, satellite: Satellite) -> Mapped:
    content = {**_head(fields, satellite), "order_number": fields["number"], "reason": fields["reason"]}
    return Mapped([Draft("cancel", content)])


def _refund(fields: Fields, satellite: Satellite, known: KnownOrder) -> Mapped:
    exponent = _exponent(known.currency)
    numbers = {line_id: line_no for line_no, line_id in enumerate(known.line_ids, 1)}
    stopped: dict[int, int] = defaultdict(int)
    credits: list[Fields] = []
    for line in fields["lines"]:
        at = f"refund_line_items[{line['_at']}]"
        line_no = numbers.get(line["line_id"])
        if line_no is None:
            raise Fault(
                "unknown_line", f"{at}.line_item_id", f"order {known.number} has no line with id {line['line_id'][:40]}"
            )
        if line["quantity_micro"] <= 0:
            raise Fault("bad_quantity", f"{at}.quantity", "a quantity above 0 is expected")
        if line["restock"] == "cancel":
            stopped[line_no] += line["quantity_micro"]
            continue
        net = line["subtotal_micro"] - (line["tax_micro"] if known.taxes_included else 0)
        kind, account = _nature(line)
        credits.append(
            {
                "line_no": len(credits) + 1,
                "sku": line["sku"],
                "quantity_micro": line["quantity_micro"],
                "net_minor": minor(net, exponent, f"{at}.subtotal"),
                "tax_minor": minor(line["tax_micro"], exponent, f"{at}.total_tax"),
                "order_number": known.number,
                "order_line_no": line_no,
                "warehouse": line["warehouse"] or satellite.default_warehouse,
                "kind": kind,
                "account": account,
                "restock": line["restock"] if kind == "goods" else "no",
            }
        )
    for adjustment in fields["adjustments"]:
        credits.append(_adjustment(adjustment, len(credits) + 1, satellite, known, exponent))
    head = _head(fields, satellite)
    reason = fields["reason"][:500]
    drafts = []
    if stopped:
        lines = [{"line_no": line_no, "quantity_micro": quantity} for line_no, quantity in sorted(stopped.items())]
        drafts.append(Draft("cancel", {**head, "order_number": known.number, "lines": lines, "reason": reason}))
    if credits:
        drafts.append(
            Draft(
                "credit",
                {
                    **head,
                    "customer": known.customer,
                    "currency": known.currency,
                    "lines": credits,
                    "order_number": known.number,
                    "reason": reason,
                },
            )
        )
    for money in fields["money"]:
        if money["kind"] in MONEY_OUT and money["status"] == "success":
            try:
                drafts.append(_money(money, satellite, known))
            except Fault as fault:
                raise fault.inside(f"transactions[{money['_at']}]") from None
    return Mapped(drafts, ignored="" if drafts else "nothing was refunded")


def _adjustment(adjustment: Fields, line_no: int, satellite: Satellite, known: KnownOrder, exponent: int) -> Fields:
    """Shopify writes what the customer gets back with a minus. By value: no quantity goes with it."""
    at = f"order_adjustments[{adjustment['_at']}]"
    if adjustment["amount_micro"] > 0 or adjustment["tax_micro"] > 0:
        raise Fault("needs_approval", f"{at}.amount", "the customer would get less than the lines say; decide by hand")
    line: Fields = {
        "line_no": line_no,
        "sku": ALLOWANCE,
        "quantity_micro": 0,
        "net_minor": minor(-adjustment["amount_micro"], exponent, f"{at}.amount"),
        "tax_minor": minor(-adjustment["tax_micro"], exponent, f"{at}.tax_amount"),
        "order_number": known.number,
        "warehouse": satellite.default_warehouse,
        "kind": "service",
        "account": "allowance",
    }
    if adjustment["kind"] == "carriage":
        if not known.carriage_line:
            raise Fault("unknown_line", f"{at}.kind", f"order {known.number} has no carriage to give back")
        line |= {"sku": CARRIAGE, "account": "carriage", "order_line_no": known.carriage_line}
    return line


def _transaction(fields: Fields, satellite: Satellite, known: KnownOrder) -> Mapped:
    if fields["status"] != "success":
        return Mapped([], ignored=f"a transaction of status {fields['status'][:40]} moves no money")
    if fields["kind"] not in (*MONEY_IN, *MONEY_OUT):
        return Mapped([], ignored=f"a transaction of kind {fields['kind'][:40]} moves no money")
    return Mapped([_money(fields, satellite, known)])


def _money(fields: Fields, satellite: Satellite, known: KnownOrder) -> Draft:
    if fields["test"]:
        raise Fault("test_document", "test", "the shop says that this is a test")
    amount = minor(fields["amount_micro"], _exponent(fields["currency"]), "amount")
    if not amount:
        raise Fault("bad_amount", "amount", "an amount above 0 is expected")
    content = {
        **_head(fields, satellite),
        "customer": known.customer,
        "currency": fields["currency"],
        "method": fields["method"],
    }
    if fields["kind"] in MONEY_OUT:
        named = {"paid_minor": amount, "order_source": satellite.satellite, "order_number": known.number}
        return Draft("refund", {**content, **named})
    allocation = {"order_source": satellite.satellite, "order_number": known.number}
    return Draft("payment", {**content, "received_minor": amount, "allocations": [allocation]})


def _head(fields: Fields, satellite: Satellite) -> Fields:
    if not satellite.company:
        raise Fault("unknown_company", "", "this dialect names no company: give the satellite one")
    at: datetime = fields["occurred_at"]
    return {
        "company": satellite.company,
        "number": fields["number"],
        "occurred_at": at,
        "zone": satellite.zone,
        "business_date": business_day(at, satellite.zone),
    }


def _nature(line: Fields) -> tuple[str, str]:
    if line["gift_voucher"]:
        return "service", "gift_voucher"
    return ("goods" if line["needs_shipping"] else "service"), "goods"


def _exponent(currency: str) -> int:
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        raise Fault("bad_currency", "currency", refused(currency))
    return exponent


def _rows(value: Any) -> list[Fields]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _loose(value: Any) -> int:
    """As a number for a report; 0 where it is none."""
    try:
        return micro(value) if value is not None else 0
    except ValueError:
        return 0
