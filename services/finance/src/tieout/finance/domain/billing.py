"""Bills what has become the customer's: what each line is worth, and the voucher T01 (with T12, T13, T22 for services
and free goods); T02b where control passes at delivery, and the cost comes out of 1406 instead of 1405."""

from typing import NamedTuple
from uuid import UUID

from tieout.contracts.inventory import GoodsDelivered, GoodsShipped, ShippedLine
from tieout.finance.domain.amounts import convert, part
from tieout.finance.domain.open_item import OpenItem
from tieout.finance.domain.periods import Posting
from tieout.finance.domain.voucher import Company, Draft

# posted_line's columns, as LINE_COLUMNS names them. The position is the one of inventory's event, the currency
# that of net and tax.
PostedLine = tuple[int, int, int, int, int, UUID, int, str, str, bool, str, str]
LINE_COLUMNS = (
    *("position", "quantity_micro", "value_minor", "net_minor", "tax_minor", "chain_id", "line_no", "kind", "account"),
    *("starts", "document_no", "currency"),
)


ROUNDING = "rounding"  # 6603.05, the only account for it.
Passed = GoodsShipped | GoodsDelivered  # Control passes with it.


class Bill(NamedTuple):
    gross: int  # Net and tax, in the order's currency.
    draft: Draft | None  # None: worth nothing in amount and in cost, so no voucher and no number.
    lines: list[PostedLine]


def document_of(event: Passed) -> UUID:
    return event.shipment_id if isinstance(event, GoodsShipped) else event.delivery_id


def faulty_line(event: Passed) -> str:
    """A sentence about the first line whose part is impossible; "" where all is well."""
    for line in event.lines:
        if not 0 <= line.from_micro < line.to_micro <= line.ordered_micro:
            return f"line {line.line_no}: part {line.from_micro} to {line.to_micro} of {line.ordered_micro}"
    return ""


def bill(event: Passed, cause_position: int, position: int, item: OpenItem, company: Company, when: Posting) -> Bill:
    """Adds to `item.billed`; the voucher stands at `position`.

    Cost is posted exactly as inventory announced it; nobody computes it again. One voucher line per account, because an
    order of forty lines is still one sale to the ledger; the lines themselves are the subledger.
    """
    revenue: dict[str, int] = {}
    cost: dict[str, int] = {}
    tax_total = stock = gross = 0
    lines: list[PostedLine] = []
    chain, number, currency = event.order_id, event.order_no, event.currency
    template, stock_role, goods, service = "T01", "stock", "shipped", "service"
    if type(event) is GoodsDelivered:
        template, stock_role, goods, service = "T02b", "in_transit", "delivered", "delivered"
    for line in event.lines:
        start, end, whole, net, tax = line.from_micro, line.to_micro, line.ordered_micro, line.net_minor, line.tax_minor
        if start or end != whole:
            net = part(net, start, end, whole)
            tax = part(tax, start, end, whole)
        if net:
            revenue[line.account] = revenue.get(line.account, 0) + net
        if line.residual_minor:
            _part_residual(revenue, line)
        if line.cost_minor:
            cost[line.cost_account] = cost.get(line.cost_account, 0) + line.cost_minor
            stock += line.cost_minor
        tax_total += tax
        gross += net + tax
        lines.append(
            (
                cause_position,
                start - end,
                -line.cost_minor,
                net,
                tax,
                chain,
                line.line_no,
                goods if line.kind == "goods" else service,
                line.account,
                start == 0,
                number,
                currency,
            )
        )

    functional = company.currency
    before = 0 if currency == functional else item.functional(functional)[0]
    item.take_tax_point(company.tax_point)
    pending = 0
    if item.tax_point is not None:
        pending = -item.pending(functional)
        item.tax_billed += tax_total
        pending += item.pending(functional)
    item.billed += gross
    if not gross and not cost and not revenue:
        return Bill(gross, None, lines)
    draft = Draft(
        company,
        template,
        when.period,
        when.day,
        when.deferred_from,
        event.business_date,
        chain,
        document_of(event),
        number,
        number,
        event.customer,
        currency,
        "inventory",
        cause_position,
        lines=[],
        position=position,
    )
    tax_role = "output_tax" if item.tax_point is None else "output_tax_pending"
    tax_item = None if item.tax_point is None else item.item_id
    if currency == functional:
        draft.debit("receivable", gross, gross, currency, item.item_id)
        for account, amount in revenue.items():
            sell(draft, account, amount, amount, currency)
        draft.credit(tax_role, tax_total, tax_total, currency, tax_item)
    else:
        receivable = before - item.functional(functional)[0]
        _bill_foreign(draft, item, gross, receivable, revenue, tax_total, pending)
    for account, amount in cost.items():
        draft.debit(account, amount, amount, event.cost_currency)
    draft.credit(stock_role, stock, stock, event.cost_currency)
    return Bill(gross, draft, lines)


def _part_residual(revenue: dict[str, int], line: ShippedLine) -> None:
    """T23: what the header differs from its lines is no revenue. The first part takes it, so parts add up."""
    if line.from_micro == 0:
        revenue[line.account] = revenue.get(line.account, 0) - line.residual_minor
        revenue[ROUNDING] = revenue.get(ROUNDING, 0) + line.residual_minor


def sell(draft: Draft, account: str, amount: int, value: int, currency: str) -> None:
    """Only a residual is negative: a debit then."""
    if amount < 0:
        draft.debit("line:" + account, -amount, -value, currency)
    else:
        draft.credit("line:" + account, amount, value, currency)


def _bill_foreign(
    draft: Draft, item: OpenItem, gross: int, receivable: int, revenue: dict[str, int], tax: int, pending: int
) -> None:
    """Parts are converted one by one, the first one takes what rounding leaves of the receivable."""
    currency, functional, rate = item.currency, draft.company.currency, item.rate_micro or 1_000_000
    draft.debit("receivable", gross, receivable, currency, item.item_id)
    later = item.tax_point is not None
    amounts = [*revenue.values(), tax]
    booked = [convert(amount, rate, currency, functional) for amount in amounts]
    if later:
        booked[-1] = pending  # So that its balance is 0 when all of it has reached the tax point.
    booked[0] += receivable - sum(booked)
    for account, amount, value in zip(revenue, amounts, booked, strict=False):
        sell(draft, account, amount, value, currency)
    role, item_id = ("output_tax_pending", item.item_id) if later else ("output_tax", None)
    draft.credit(role, tax, booked[-1], currency, item_id)
