"""Documents in the canonical form of the gateway's channel `tieout`: the contract's field names, and a `kind`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tieout.devstack.trading_day.catalogue import Article, Company
from tieout.devstack.trading_day.sales import Sale, SoldLine, part

Body = dict[str, Any]


def head(kind: str, company: Company, number: str, at: datetime) -> Body:
    local = at.astimezone(ZoneInfo(company.zone))
    return {
        "kind": kind,
        "company": company.code,
        "number": number,
        "version": "1",
        "occurred_at": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "zone": company.zone,
        "business_date": f"{local:%Y-%m-%d}",
    }


def order(sale: Sale) -> Body:
    return {
        **head("order", sale.company, sale.number, sale.at),
        "customer": f"cust-{sale.customer}",
        "currency": sale.company.currency,
        "lines": [_line(line) for line in sale.lines],
    }


def _line(line: SoldLine) -> Body:
    entry: Body = {
        "line_no": line.line_no,
        "sku": line.article.sku,
        "quantity_micro": line.quantity_micro,
        "net_minor": line.net_minor,
        "tax_minor": line.tax_minor,
        "unit_price_micro": line.article.price_minor * 10_000,
        "uom": line.article.uom,
        "warehouse": line.warehouse,
    }
    if line.kind == "service":
        entry |= {"kind": "service", "account": "carriage"}
    return entry


def cancel(sale: Sale, number: str, at: datetime, lines: Sequence[tuple[int, int]] = ()) -> Body:
    """`lines`: (line number, quantity in millionths); none: all that can still be stopped."""
    body = {**head("cancel", sale.company, number, at), "order_number": sale.number, "reason": "customer"}
    if lines:
        body["lines"] = [{"line_no": line_no, "quantity_micro": quantity} for line_no, quantity in lines]
    return body


def credit(sale: Sale, number: str, at: datetime, line: SoldLine, quantity_micro: int, restock: str) -> Body:
    """A linked credit note over the first `quantity_micro` of one line."""
    return {
        **head("credit", sale.company, number, at),
        "customer": f"cust-{sale.customer}",
        "currency": sale.company.currency,
        "order_number": sale.number,
        "lines": [
            {
                "line_no": 1,
                "sku": line.article.sku,
                "quantity_micro": quantity_micro,
                "net_minor": part(line.net_minor, quantity_micro, line.quantity_micro),
                "tax_minor": part(line.tax_minor, quantity_micro, line.quantity_micro),
                "order_number": sale.number,
                "order_line_no": line.line_no,
                "warehouse": line.warehouse,
                "restock": restock,
            }
        ],
    }


def unlinked_credit(company: Company, number: str, at: datetime, customer: int, line: SoldLine) -> Body:
    """Goods came back and nobody knows from which sale."""
    return {
        **head("credit", company, number, at),
        "customer": f"cust-{customer}",
        "currency": company.currency,
        "lines": [
            {
                "line_no": 1,
                "sku": line.article.sku,
                "quantity_micro": line.quantity_micro,
                "net_minor": line.net_minor,
                "tax_minor": line.tax_minor,
                "warehouse": line.warehouse,
                "restock": "yes",
            }
        ],
    }


def payment(
    company: Company,
    number: str,
    at: datetime,
    customer: int,
    received_minor: int,
    allocations: Sequence[tuple[Sale, int | None]],
    fee_minor: int = 0,
) -> Body:
    """`allocations`: each sale with its share, or None for as much as it owes; none at all: unapplied cash."""
    body = {
        **head("payment", company, number, at),
        "customer": f"cust-{customer}",
        "currency": company.currency,
        "received_minor": received_minor,
        "fee_minor": fee_minor,
        "method": "bank",
    }
    if allocations:
        body["allocations"] = [
            {"order_source": sale.company.satellite, "order_number": sale.number}
            | ({} if share is None else {"amount_minor": share})
            for sale, share in allocations
        ]
    return body


def refund(sale: Sale, number: str, at: datetime, paid_minor: int) -> Body:
    return {
        **head("refund", sale.company, number, at),
        "customer": f"cust-{sale.customer}",
        "currency": sale.company.currency,
        "paid_minor": paid_minor,
        "order_source": sale.company.satellite,
        "order_number": sale.number,
        "method": "bank",
    }


def receipt(
    company: Company, number: str, at: datetime, warehouse: str, kind: str, lines: Sequence[tuple[Article, int]]
) -> Body:
    """`lines`: article and quantity in millionths, valued at the article's cost."""
    return {
        **head("receipt", company, number, at),
        "receipt_kind": kind,
        "warehouse": warehouse,
        "currency": company.currency,
        "lines": [
            {
                "line_no": line_no,
                "sku": article.sku,
                "quantity_micro": quantity,
                "value_minor": article.cost_minor * quantity // 1_000_000,
            }
            for line_no, (article, quantity) in enumerate(lines, 1)
        ],
    }


def adjustment(
    company: Company, number: str, at: datetime, warehouse: str, article: Article, quantity_micro: int
) -> Body:
    return {
        **head("adjustment", company, number, at),
        "warehouse": warehouse,
        "reason": "count",
        "lines": [{"line_no": 1, "sku": article.sku, "quantity_micro": quantity_micro}],
    }


def confirmation(sale: Sale, number: str, at: datetime, warehouse: str, lines: Sequence[tuple[int, int]] = ()) -> Body:
    """What left the warehouse; no lines: all that is reserved there."""
    body = {
        **head("confirmation", sale.company, number, at),
        "warehouse": warehouse,
        "order_source": sale.company.satellite,
        "order_number": sale.number,
    }
    if lines:
        body["lines"] = [{"line_no": line_no, "quantity_micro": quantity} for line_no, quantity in lines]
    return body
