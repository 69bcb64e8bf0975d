"""Vouchers for stock that came, went missing, was found, or is worth something else. Values are inventory's."""

from collections.abc import Iterator
from uuid import UUID

from tieout.contracts.inventory import GoodsRecalled, GoodsReceived, GoodsReturned, StockAdjusted, StockRevalued
from tieout.finance.domain.billing import PostedLine
from tieout.finance.domain.voucher import Draft

StockEvent = GoodsReturned | GoodsRecalled | GoodsReceived | StockAdjusted | StockRevalued


def document_of(event: StockEvent) -> tuple[str, UUID, str]:
    """Kind, id and number of the document that an event posts, once."""
    match event:
        case GoodsReturned():
            return "returned", event.credit_id, event.credit_no
        case GoodsRecalled():
            return "recalled", event.cancel_id, event.order_no
        case GoodsReceived():
            return event.kind, event.receipt_id, event.number
        case StockAdjusted():
            return "adjusted", event.adjustment_id, event.number
        case StockRevalued():
            return "revalued", event.revaluation_id, event.cause_no


def template_of(event: StockEvent) -> str:
    match event:
        case GoodsReturned():
            return "T05s"  # Lines 4 and 5 of T05; lines 1 to 3 come with the credit note.
        case GoodsRecalled():
            return "T04"
        case GoodsReceived():
            return "T16" if event.kind == "opening" else "T17"
        case StockAdjusted():
            return "T19c" if all(line.quantity_micro >= 0 for line in event.lines) else "T19"
        case StockRevalued():
            return "T18r"


def posted_lines(event: StockEvent, position: int, chain: UUID) -> Iterator[PostedLine]:
    kind, _, number = document_of(event)
    told = (number, event.cost_currency)
    if isinstance(event, GoodsRecalled):
        for back in event.lines:
            if back.kind == "goods":
                moved = (back.quantity_micro, back.value_minor, 0, 0, chain, back.line_no)
                yield position, *moved, kind, "goods", True, *told
        return
    for line in event.lines:
        yield position, line.quantity_micro, line.value_minor, 0, 0, chain, line.line_no, kind, "goods", True, *told


def draft_lines(draft: Draft, event: StockEvent) -> None:
    currency = event.cost_currency
    match event:
        case GoodsReturned():
            back: dict[str, int] = {}
            for line in event.lines:
                back[line.cost_account] = back.get(line.cost_account, 0) + line.value_minor
            for account, value in back.items():
                draft.debit(account, -value, -value, currency)
            total = sum(back.values())
            draft.credit("stock", -total, -total, currency)
        case GoodsRecalled():
            total = sum(line.value_minor for line in event.lines)
            draft.debit("stock", total, total, currency)
            draft.credit("in_transit", total, total, currency)
        case GoodsReceived():
            total = sum(line.value_minor for line in event.lines)
            other = "opening" if event.kind == "opening" else "goods_received"
            draft.debit("stock", total, total, currency)
            draft.credit(other, total, total, currency)
        case StockAdjusted():
            missing = -sum(line.value_minor for line in event.lines if line.value_minor < 0)
            found = sum(line.value_minor for line in event.lines if line.value_minor > 0)
            draft.debit("count_difference", missing, missing, currency)
            draft.credit("stock", missing, missing, currency)
            draft.debit("stock", found, found, currency)
            draft.credit("count_difference", found, found, currency)
        case StockRevalued():
            changes: dict[str, int] = {}
            for revalued in event.lines:
                changes[revalued.account] = changes.get(revalued.account, 0) + revalued.value_minor
            # Debits first: what rose in value, then whose goods had cost more than was announced.
            sides = {"stock": sum(changes.values())} | {account: -change for account, change in changes.items()}
            for role, amount in sides.items():
                if amount > 0:
                    draft.debit(role, amount, amount, currency)
            for role, amount in sides.items():
                if amount < 0:
                    draft.credit(role, -amount, -amount, currency)
