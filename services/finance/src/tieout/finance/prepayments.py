"""Payments that came before the orders that they name without an amount: spread again when one of these comes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct
from tieout.contracts.event import document_id
from tieout.contracts.finance import SubmitPayment, SubmitRefund
from tieout.finance import money, open_items
from tieout.finance.domain.allocation import spread
from tieout.finance.domain.open_item import OpenItem, customer_item
from tieout.finance.domain.periods import posting
from tieout.finance.domain.voucher import Company, Draft, level, move_money, move_tax
from tieout.servicekit import Received, Transaction, sql

statements = sql.load(__file__)

CLAIM_COLUMNS = ("document_id", "place", "item_id", "customer_item", "taken_minor")
MOVED_COLUMNS = ("document_id", "item_id", "amount_minor", "currency", "moved")


class Waiting(Struct):
    """A payment of which it is not final who gets how much."""

    document_id: UUID
    number: str
    currency: str
    customer_item: UUID
    taken: dict[UUID, int]  # In the order that the payment names them.


class Moved(Struct):
    waiting: Waiting
    draft: Draft
    settlement: money.Settlement
    changes: dict[UUID, int]


async def note(tx: Transaction, payments: Sequence[tuple[UUID, SubmitPayment | SubmitRefund, dict[UUID, int]]]) -> None:
    """Remember what each order took of it, so that it can be spread again."""
    rows = [
        (document, place, item_id, customer_item(event.company, event.customer), taken)
        for document, event, claims in payments
        for place, (item_id, taken) in enumerate(claims.items(), 1)
    ]
    if rows:
        await tx.copy("waiting_claim", columns=CLAIM_COLUMNS, records=rows)


async def lock(tx: Transaction, orders: dict[open_items.Key, OpenItem]) -> tuple[open_items.Items, list[Waiting]]:
    """The items of these orders, and of all that a payment names beside one of them, locked together.

    A payment may note its claims until the items are locked, so they are looked up again under the locks.
    """
    await open_items.make(tx, orders)
    waiting = await _waiting(tx, orders)
    while True:
        wanted = {key for one in waiting for key in _keys(one)} | set(orders)
        items = await open_items.find(tx, sorted(wanted))
        waiting = await _waiting(tx, orders)
        if all(key in items for one in waiting for key in _keys(one)):
            return items, waiting


def move(waiting: Waiting, items: open_items.Items, cause: Received[Any], company: Company) -> Moved | None:
    """Spread a payment again, now that one more of its orders is known; None where that moves nothing.

    `cause` is the order that came. What an order held and does not need goes to the next one, at last to the customer.
    """
    mine = {item_id: items[item_id, waiting.currency] for item_id in (*waiting.taken, waiting.customer_item)}
    shares, rest = spread(list(waiting.taken), waiting.taken, sum(waiting.taken.values()), mine, {})
    changes = {item_id: share - waiting.taken[item_id] for item_id, share in shares.items()}
    changes[waiting.customer_item] = rest
    changes = {item_id: change for item_id, change in changes.items() if change}
    waiting.taken = shares
    if not changes:
        return None
    order = cause.data
    day = max([mine[item_id].not_before_its_money(order.business_date) for item_id in changes])
    when = posting(day, company.closed_through)
    identity = document_id("application", company.company, str(waiting.document_id), str(order.order_id))
    draft = Draft(
        company,
        "T10a",
        when.period,
        when.day,
        when.deferred_from,
        day,
        order.order_id,
        identity,
        waiting.number,
        order.order_no,
        order.customer,
        waiting.currency,
        "order",
        cause.position,
        lines=[],
    )
    taxed: list[tuple[OpenItem, int]] = []
    settlement = money.Settlement(
        identity, waiting.number, company.company, waiting.currency, "prepayment", when.day, cause, []
    )
    for item_id, change in changes.items():
        item = mine[item_id]
        before, told = money.Before.of(item, company.currency), item.told
        item.received += change
        item.money_date = day
        item.settle()
        move_money(draft, item, before.held, before.functional)
        taxed.append((item, before.tax_due))
        settlement.add(item, told)
    level(draft)
    for item, due in taxed:
        move_tax(draft, item, due)
    return Moved(waiting, draft, settlement, changes)


async def save(tx: Transaction, waiting: Sequence[Waiting], moved: Sequence[Moved], items: open_items.Items) -> None:
    """Rows of what went on to another item; the drafts are placed."""
    rows = [
        (one.waiting.document_id, item_id, change, one.waiting.currency, one.draft.position)
        for one in moved
        for item_id, change in one.changes.items()
    ]
    if rows:
        await tx.copy("money_part", columns=MOVED_COLUMNS, records=rows)
    kept = []
    final = []
    for one in waiting:
        if any(items[item_id, one.currency].order_net is None for item_id in one.taken):
            kept += [(one.document_id, item_id, taken) for item_id, taken in one.taken.items()]
        else:
            final.append(one.document_id)
    if kept:
        await tx.execute(statements.keep, *(list(column) for column in zip(*kept, strict=True)))
    if final:
        await tx.execute(statements.settled, final)


async def _waiting(tx: Transaction, orders: dict[open_items.Key, OpenItem]) -> list[Waiting]:
    found: dict[UUID, Waiting] = {}
    rows = await tx.fetch(statements.waiting, [key[0] for key in orders], [key[1] for key in orders])
    for document, item_id, customer, taken, number, currency in rows:
        one = found.setdefault(document, Waiting(document, number, currency, customer, {}))
        one.taken[item_id] = taken
    return list(found.values())


def _keys(waiting: Waiting) -> list[open_items.Key]:
    return [(item_id, waiting.currency) for item_id in (*waiting.taken, waiting.customer_item)]
