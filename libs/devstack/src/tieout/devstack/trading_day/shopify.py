"""Documents in the dialect of Shopify's webhooks (REST Admin resources): orders, cancellations, refunds, transactions.

Only what a shop of this size would send: decimals as strings, ids as integers, tax per line, discounts as allocations,
money as it was asked (tax excluded). A line's warehouse stands in `fulfillment_service`, as with a third-party
fulfilment service.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tieout.devstack.trading_day.catalogue import CARRIAGE, Company
from tieout.devstack.trading_day.sales import Sale, SoldLine, part

Body = dict[str, Any]

ORDER_IDS = 5_400_000_000_000
LINE_IDS = 13_900_000_000_000
OTHER_IDS = 900_000_000_000


def money(minor: int) -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02}"


def local(at: datetime, company: Company) -> str:
    return at.astimezone(ZoneInfo(company.zone)).isoformat(timespec="seconds")


def order_id(sale: Sale) -> int:
    return ORDER_IDS + sale.serial


def line_id(sale: Sale, line: SoldLine) -> int:
    return LINE_IDS + sale.serial * 100 + line.line_no


def order(sale: Sale) -> Body:
    goods = sale.goods
    carriage = [line for line in sale.lines if line.article is CARRIAGE]
    discounts = sum(line.discount_minor for line in goods)
    net = sum(line.net_minor for line in goods)
    tax = sum(line.tax_minor for line in sale.lines)
    created = local(sale.at, sale.company)
    return {
        "id": order_id(sale),
        "admin_graphql_api_id": f"gid://shopify/Order/{order_id(sale)}",
        "name": f"#{sale.number}",
        "order_number": int(sale.number),
        "number": int(sale.number) - 1000,
        "created_at": created,
        "processed_at": created,
        "updated_at": created,
        "cancelled_at": None,
        "cancel_reason": None,
        "currency": sale.company.currency,
        "presentment_currency": sale.company.currency,
        "financial_status": "pending",
        "fulfillment_status": None,
        "source_name": "web",
        "taxes_included": False,
        "test": False,
        "total_line_items_price": money(net + discounts),
        "total_discounts": money(discounts),
        "subtotal_price": money(net),
        "total_tax": money(tax),
        "total_price": money(sale.gross_minor),
        "tax_lines": [_tax(sale.company, tax)],
        "discount_applications": [_discount_application()] if discounts else [],
        "customer": {"id": 7_000_000_000 + sale.customer, "currency": sale.company.currency, "tags": ""},
        "line_items": [_line(sale, line) for line in goods],
        "shipping_lines": [
            {
                "id": line_id(sale, line),
                "code": "standard",
                "title": "Standard",
                "price": money(line.net_minor),
                "discounted_price": money(line.net_minor),
                "discount_allocations": [],
                "tax_lines": [_tax(sale.company, line.tax_minor)],
            }
            for line in carriage
        ],
        "note": None,
        "note_attributes": [],
        "refunds": [],
    }


def _line(sale: Sale, line: SoldLine) -> Body:
    return {
        "id": line_id(sale, line),
        "variant_id": 40_000_000_000 + int(line.article.sku[-3:].lstrip("-")),
        "sku": line.article.sku,
        "title": line.article.name,
        "name": line.article.name,
        "quantity": line.pieces,
        "current_quantity": line.pieces,
        "fulfillable_quantity": line.pieces,
        "fulfillment_service": line.warehouse,
        "fulfillment_status": None,
        "price": money(line.article.price_minor),
        "total_discount": "0.00",
        "discount_allocations": [{"amount": money(line.discount_minor), "discount_application_index": 0}]
        if line.discount_minor
        else [],
        "tax_lines": [_tax(sale.company, line.tax_minor)],
        "requires_shipping": True,
        "taxable": True,
        "gift_card": False,
        "grams": 400,
        "vendor": "Tieout Tea",
        "properties": [],
    }


def _tax(company: Company, minor: int) -> Body:
    return {"title": "VAT", "rate": company.tax_percent / 100, "price": money(minor), "channel_liable": False}


def _discount_application() -> Body:
    return {
        "type": "discount_code",
        "code": "TEATIME",
        "value": "5.0",
        "value_type": "percentage",
        "allocation_method": "across",
        "target_selection": "all",
        "target_type": "line_item",
    }


def cancelled(sale: Sale, at: datetime) -> Body:
    """orders/cancelled carries the whole order again."""
    when = local(at, sale.company)
    return {**order(sale), "cancelled_at": when, "updated_at": when, "cancel_reason": "customer"}


def transaction(sale: Sale, serial: int, at: datetime, amount_minor: int, kind: str = "sale") -> Body:
    """order_transactions/create: money for one order, through the shop's payment provider."""
    when = local(at, sale.company)
    return {
        "id": OTHER_IDS + serial,
        "admin_graphql_api_id": f"gid://shopify/OrderTransaction/{OTHER_IDS + serial}",
        "order_id": order_id(sale),
        "kind": kind,
        "status": "success",
        "gateway": "shopify_payments",
        "amount": money(amount_minor),
        "currency": sale.company.currency,
        "created_at": when,
        "processed_at": when,
        "test": False,
        "message": "Transaction approved",
    }


def refund(
    sale: Sale,
    serial: int,
    at: datetime,
    lines: Sequence[tuple[SoldLine, int, str]] = (),
    *,
    carriage_back: bool = False,
    allowance_minor: int = 0,
    paid_back_minor: int = 0,
) -> Body:
    """refunds/create. `lines`: line, pieces, restock type (return, no_restock, cancel, legacy_restock).

    `allowance_minor`: a price cut without goods, gross; `paid_back_minor`: money that went back with it.
    """
    when = local(at, sale.company)
    adjustments = []
    if carriage_back:
        (carriage,) = (line for line in sale.lines if line.article is CARRIAGE)
        adjustments.append(_adjustment(sale, serial, 1, "shipping_refund", carriage.net_minor, carriage.tax_minor))
    if allowance_minor:
        adjustments.append(_adjustment(sale, serial, 2, "refund_discrepancy", allowance_minor, 0))
    return {
        "id": OTHER_IDS + serial,
        "admin_graphql_api_id": f"gid://shopify/Refund/{OTHER_IDS + serial}",
        "order_id": order_id(sale),
        "created_at": when,
        "processed_at": when,
        "note": "Customer's wish",
        "restock": any(restock in ("return", "legacy_restock") for _, _, restock in lines),
        "refund_line_items": [_refunded(sale, serial, *line) for line in lines],
        "order_adjustments": adjustments,
        "transactions": [transaction(sale, serial + 50_000_000, at, paid_back_minor, "refund")]
        if paid_back_minor
        else [],
    }


def _refunded(sale: Sale, serial: int, line: SoldLine, pieces: int, restock: str) -> Body:
    quantity = pieces * 1_000_000
    return {
        "id": OTHER_IDS + serial * 100 + line.line_no,
        "line_item_id": line_id(sale, line),
        "location_id": None,
        "quantity": pieces,
        "restock_type": restock,
        "subtotal": float(money(part(line.net_minor, quantity, line.quantity_micro))),
        "total_tax": float(money(part(line.tax_minor, quantity, line.quantity_micro))),
        "line_item": _line(sale, line),
    }


def _adjustment(sale: Sale, serial: int, ordinal: int, kind: str, net_minor: int, tax_minor: int) -> Body:
    """Shopify writes what the customer gets back with a minus."""
    return {
        "id": OTHER_IDS + serial * 100 + 90 + ordinal,
        "order_id": order_id(sale),
        "refund_id": OTHER_IDS + serial,
        "kind": kind,
        "amount": money(-net_minor),
        "tax_amount": money(-tax_minor),
        "reason": kind.replace("_", " ").capitalize(),
    }
