"""Red vouchers for credit notes: T05 (goods back), T06 (goods kept), T07 (allowance by value), lines 1-3."""

from uuid import UUID

from tieout.contracts.order import OrderReturned, ReturnedLine
from tieout.finance.domain.amounts import convert
from tieout.finance.domain.open_item import OpenItem
from tieout.finance.domain.voucher import Draft


def template_of(event: OrderReturned) -> str:
    if any(line.restock for line in event.lines):
        return "T05"
    return "T06" if any(line.quantity_micro for line in event.lines) else "T07"


def gross_by_item(event: OrderReturned, unlinked: UUID) -> dict[UUID, int]:
    """Net and tax per open item: the linked orders', and the customer's own for the rest."""
    found: dict[UUID, int] = {}
    for line in event.lines:
        item_id = line.order_id or unlinked
        found[item_id] = found.get(item_id, 0) + line.net_minor + line.tax_minor
    return found


def credit(draft: Draft, event: OrderReturned, items: dict[UUID, OpenItem], unlinked: UUID) -> None:
    """Adds to `credited` of each item. The same accounts and sides as the sale, with negative amounts."""
    company = draft.company
    functional = company.currency
    foreign = event.currency != functional
    lines_of: dict[UUID, list[ReturnedLine]] = {}
    for line in event.lines:
        lines_of.setdefault(line.order_id or unlinked, []).append(line)

    revenue: dict[str, list[int]] = {}  # Amount and functional amount, by role.
    tax_role = "output_tax" if company.tax_point == "goods_issue" else "output_tax_pending"
    for item_id, lines in lines_of.items():
        item = items[item_id]
        gross = sum(line.net_minor + line.tax_minor for line in lines)
        before = item.functional(functional)[0] if foreign else 0
        item.credited += gross
        booked = before - item.functional(functional)[0] if foreign else -gross
        draft.debit("receivable", -gross, booked, event.currency, item_id)
        parts: dict[str, int] = {}
        for line in lines:
            parts["line:" + line.account] = parts.get("line:" + line.account, 0) + line.net_minor
            parts[tax_role] = parts.get(tax_role, 0) + line.tax_minor
        rate = item.rate_micro or 1_000_000
        values = [-convert(amount, rate, event.currency, functional) for amount in parts.values()]
        values[0] += booked - sum(values)  # What rounding leaves stays with the first one.
        for (role, amount), value in zip(parts.items(), values, strict=True):
            total = revenue.setdefault(role, [0, 0])
            total[0] -= amount
            total[1] += value
    for role, (amount, value) in revenue.items():
        draft.credit(role, amount, value, event.currency)
