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
    pending: list[tuple[UUID, int, int]] = []  # Tax that goes back before its tax point was reached.
    for item_id, lines in lines_of.items():
        item = items[item_id]
        gross = sum(line.net_minor + line.tax_minor for line in lines)
        before = item.functional(functional)[0] if foreign else 0
        item.take_tax_point(company.tax_point)
        item.credited += gross
        booked = before - item.functional(functional)[0] if foreign else -gross
        draft.debit("receivable", -gross, booked, event.currency, item_id)
        parts: dict[str, int] = {}
        for line in lines:
            role = role_of(line)
            parts[role] = parts.get(role, 0) + line.net_minor
        tax = sum(line.tax_minor for line in lines)
        rate = item.rate_micro or 1_000_000
        waiting = 0
        if item.tax_point is not None:
            waiting_before = item.pending(functional)
            reached = _take_back(item, tax)
            waiting = item.pending(functional) - waiting_before
            pending.append((item_id, reached - tax, waiting))
            tax = reached
        parts["output_tax"] = tax
        values = [-convert(amount, rate, event.currency, functional) for amount in parts.values()]
        values[0] += booked - waiting - sum(values)  # What rounding leaves stays with the first one.
        for (role, amount), value in zip(parts.items(), values, strict=True):
            total = revenue.setdefault(role, [0, 0])
            total[0] -= amount
            total[1] += value
    for role, (amount, value) in revenue.items():
        draft.credit(role, amount, value, event.currency)
    for item_id, amount, value in pending:
        draft.credit("output_tax_pending", amount, value, event.currency, item_id)


def role_of(line: ReturnedLine) -> str:
    """A lower price for goods that stay sold is an allowance (T07), also where its sender called it goods."""
    return "line:allowance" if line.account == "goods" and not line.quantity_micro else "line:" + line.account


def _take_back(item: OpenItem, tax: int) -> int:
    """How much of a credited tax had reached its tax point: that part is red there, the rest where it waits."""
    item.tax_billed -= tax
    reached = min(max(item.tax_due - item.tax_due_then(), 0), max(tax, 0))
    item.tax_due -= reached
    return reached
