"""order.placed -> what an order can cost, so that money for it is a deposit (2204) and not unapplied cash (2203)

An order is never a receivable: nothing is posted for it, unless money came first; that moves from 2203 to 2204 (T11).
"""

from datetime import date
from typing import ClassVar
from uuid import UUID

from msgspec import Struct
from tieout.contracts.event import Company, Currency, Event, Number
from tieout.contracts.order import OrderPlaced
from tieout.finance import claims, ledger, money, open_items, prepayments
from tieout.finance.domain.open_item import OpenItem
from tieout.finance.domain.voucher import Company as Books
from tieout.finance.domain.voucher import Draft
from tieout.servicekit import Database, Received, Transaction, batch_flow, sql

statements = sql.load(__file__)


class Terms(Struct, frozen=True):
    """What a line costs, for the day that a part of it is stopped."""

    line_no: int
    quantity_micro: int
    net_minor: int
    tax_minor: int = 0


class OrderHeader(Event, frozen=True):
    """What finance needs of order.placed; the rest is skipped, unread."""

    SUBJECT: ClassVar = OrderPlaced.SUBJECT
    PRODUCER: ClassVar = OrderPlaced.PRODUCER

    order_id: UUID
    company: Company
    source: str
    order_no: Number
    customer: str
    currency: Currency
    business_date: date
    net_minor: int
    tax_minor: int
    lines: tuple[Terms, ...]
    due_days: int = 30
    rate_micro: int = 1_000_000


@batch_flow("finance-note-orders", OrderHeader, size=1000)
async def note_orders(batch: list[Received[OrderHeader]], database: Database) -> None:
    async with database.transaction() as tx:
        placed = {(received.data.order_id, received.data.currency): received for received in batch}
        orders = [received.data for _, received in sorted(placed.items())]
        new = await tx.fetch(
            statements.insert_orders,
            [order.order_id for order in orders],
            [order.currency for order in orders],
            [order.company for order in orders],
            [order.customer for order in orders],
            [order.source for order in orders],
            [order.order_no for order in orders],
            [order.net_minor for order in orders],
            [order.tax_minor for order in orders],
            [order.rate_micro for order in orders],
            [order.business_date for order in orders],
            [order.due_days for order in orders],
            [terms(order) for order in orders],
        )
        for order_id, currency in new:
            tx.changed(placed.pop((order_id, currency)))
        if placed:
            await complete(tx, placed)


async def complete(tx: Transaction, placed: dict[open_items.Key, Received[OrderHeader]]) -> None:
    """Orders whose money, shipment or credit came first: what they can cost is known now, and money may move.

    Also on to other orders that the same payment names, and does not say how much for.
    """
    companies = await ledger.lock_companies(tx, list(placed.values()))
    named = {key: received for key, received in placed.items() if received.data.company in companies}
    items, waiting = await prepayments.lock(tx, {key: bare(received.data) for key, received in named.items()})
    claimed = [item for item in items.values() if item.claim]
    calendar = ledger.Calendar()
    transfers: list[tuple[Draft, Received[OrderHeader]]] = []
    settlements: list[money.Settlement] = []
    touched: list[OpenItem] = []
    for key, received in named.items():
        item, order = items[key], received.data
        if item.order_net is not None:
            continue  # Came twice.
        books: Books = companies[order.company]
        before = money.Before.of(item, books.currency)
        told = item.told
        item.order_no = order.order_no
        item.order_net, item.order_tax, item.rate_micro = order.net_minor, order.tax_minor, order.rate_micro
        touched.append(item)
        tx.changed(received)
        item.settle()
        day = item.not_before_its_money(order.business_date)
        when = calendar.posting(books, day)
        draft = Draft(
            books,
            "T11",
            when.period,
            when.day,
            when.deferred_from,
            day,
            order.order_id,
            order.order_id,
            order.order_no,
            order.order_no,
            order.customer,
            order.currency,
            "order",
            received.position,
            lines=[],
        )
        money.transfer(draft, item, before)
        if draft.lines:
            transfers.append((draft, received))
        settlement = money.Settlement(
            order.order_id, order.order_no, order.company, order.currency, "prepayment", when.day, received, []
        )
        settlement.add(item, told)
        if settlement.items:
            settlements.append(settlement)
    new = {item.item_id: named[item.key] for item in touched}
    spread = [one for one in waiting if new.keys() & one.taken.keys()]
    moved = []
    for one in spread:
        cause = new[next(item_id for item_id in one.taken if item_id in new)]
        if (found := prepayments.move(one, items, cause, companies[cause.data.company])) is not None:
            moved.append(found)
            transfers.append((found.draft, cause))
            if found.settlement.items:
                settlements.append(found.settlement)

    reached = {item.key for item in touched}
    reached |= {(item_id, one.waiting.currency) for one in moved for item_id in one.changes}
    await open_items.save(tx, [items[key] for key in sorted(reached)])
    await tx.execute(
        statements.complete_orders,
        [item.item_id for item in touched],
        [item.currency for item in touched],
        [placed[item.key].data.business_date for item in touched],
        [placed[item.key].data.due_days for item in touched],
        [placed[item.key].data.order_no for item in touched],
        [placed[item.key].data.source for item in touched],
        [placed[item.key].data.customer for item in touched],
        [terms(placed[item.key].data) for item in touched],
    )
    positions = iter(await tx.positions(len(transfers) + len(settlements)))
    for draft, _ in transfers:
        draft.place(next(positions))
    for settlement in settlements:
        settlement.position = next(positions)
    await prepayments.save(tx, spread, moved, items)
    await ledger.post(tx, [draft for draft, _ in transfers])
    ledger.announce_vouchers(tx, transfers)
    await money.write_settlements(tx, settlements)
    if claimed:
        went_on = [  # Not by the payment, which may have ended an earlier claim of the same item when it came.
            claims.Ended(item, one.settlement.document_id, one.waiting.number, one.settlement.received)
            for item in claimed
            for one in moved
            if item.item_id in one.changes
        ]
        await claims.tell(tx, went_on)


def terms(order: OrderHeader) -> str:
    """All lines in one array, as text: arrays of different lengths cannot travel in one array."""
    flat = [f"{line.line_no},{line.quantity_micro},{line.net_minor},{line.tax_minor}" for line in order.lines]
    return "{" + ",".join(flat) + "}"


def bare(order: OrderHeader) -> OpenItem:
    return OpenItem(
        order.order_id, order.currency, order.company, order.customer, order.source, order.order_no, of_order=True
    )
