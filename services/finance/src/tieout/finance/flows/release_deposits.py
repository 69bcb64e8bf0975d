"""inventory.refused, inventory.cancel_decided -> money held for what will never ship is due back: voucher_posted (T03b)

Without money there is nothing to post; the order only costs less from now on.
"""

from datetime import date
from uuid import UUID

from tieout.contracts.inventory import CancelDecided, OrderRefused
from tieout.finance import ledger, money, open_items
from tieout.finance.domain.periods import posting
from tieout.finance.domain.stopping import stopped_amount
from tieout.finance.domain.voucher import Draft
from tieout.servicekit import Database, Received, batch_flow, sql

statements = sql.load(__file__)

COLUMNS = ("document_id", "line_no", "item_id", "quantity_micro", "position")
LOOK_AGAIN_SECONDS = 5  # order.placed is on its way on another stream.

Stop = Received[OrderRefused] | Received[CancelDecided]


@batch_flow("finance-release-deposits", OrderRefused, CancelDecided, size=500)
async def release_deposits(batch: list[Stop], database: Database) -> None:
    async with database.transaction() as tx:
        companies = await ledger.lock_companies(tx, batch)
        stops = {document_of(received): received for received in batch if received.data.company in companies}
        orders = await tx.fetch(statements.lock_orders, [received.data.order_id for received in stops.values()])
        terms = {row["item_id"]: row for row in orders}
        items = await open_items.find(tx, [(row["item_id"], row["currency"]) for row in orders])
        for (known,) in await tx.fetch(statements.stopped_before, list(stops)):
            del stops[known]
        lines = []
        stopped = await tx.fetch(statements.stopped, list(terms))
        sums = {(item_id, line_no): quantity for item_id, line_no, quantity in stopped}
        last: dict[UUID, tuple[UUID, Stop]] = {}
        for document_id, received in stops.items():
            order_id = received.data.order_id
            stopped_now = quantities(received)
            if not stopped_now:
                continue  # It came too late for all: the order costs what it did.
            if order_id not in terms:
                tx.park(received, key=str(order_id), reason="waits for its order", seconds=LOOK_AGAIN_SECONDS)
                continue
            last[order_id] = document_id, received
            tx.changed(received)
            for line_no, quantity in stopped_now:
                sums[order_id, line_no] = sums.get((order_id, line_no), 0) + quantity
                lines.append((document_id, line_no, order_id, quantity, received.position))

        drafts: list[tuple[Draft, Stop]] = []
        touched = []
        for order_id, (document_id, received) in last.items():
            row = terms[order_id]
            item = items[order_id, row["currency"]]
            company = companies[item.company]
            mine = {line_no: quantity for (one, line_no), quantity in sums.items() if one == order_id}
            before = money.Before.of(item, company.currency)
            item.stopped = stopped_amount(row["lines"], mine)
            touched.append(item)
            if item.awaited:  # Whoever waits for more to be billed may wait for nothing now.
                item.awaited = False
                tx.wake([str(order_id)])
            if not item.settle():
                continue
            day = item.not_before_its_money(max(row["business_date"], day_of(received) or row["business_date"]))
            when = posting(day, company.closed_through)
            draft = Draft(
                company,
                "T03b",
                when.period,
                when.day,
                when.deferred_from,
                day,
                order_id,
                document_id,
                item.order_no,
                item.order_no,
                item.customer,
                item.currency,
                "inventory",
                received.position,
                lines=[],
            )
            money.transfer(draft, item, before)
            drafts.append((draft, received))

        for (draft, _), position in zip(drafts, await tx.positions(len(drafts)), strict=True):
            draft.place(position)
        if lines:
            await tx.copy("stopped_line", columns=COLUMNS, records=lines)
        await open_items.save(tx, touched)
        await ledger.post(tx, [draft for draft, _ in drafts])
        ledger.announce_vouchers(tx, drafts)


def document_of(received: Stop) -> UUID:
    event = received.data
    return event.cancel_id if isinstance(event, CancelDecided) else event.order_id


def day_of(received: Stop) -> date | None:
    """A refused order never was accepted: on the day it was placed."""
    event = received.data
    return event.business_date if isinstance(event, CancelDecided) else None


def quantities(received: Stop) -> list[tuple[int, int]]:
    event = received.data
    if isinstance(event, OrderRefused):
        return [(line.line_no, line.quantity_micro) for line in event.lines]  # One entry per line of the order.
    found: dict[int, int] = {}
    for line in event.lines:
        stopped = line.back_ordered_micro + line.reserved_micro + line.issued_micro
        found[line.line_no] = found.get(line.line_no, 0) + stopped
    return [(line_no, quantity) for line_no, quantity in found.items() if quantity]
