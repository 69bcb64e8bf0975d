"""order.returned -> a red voucher (T05, T06, T07) and a smaller receivable; settled where money is set free

The goods themselves come with inventory.returned (post_stock), at the value that inventory gives them. A credit waits
until its sale is billed here, so that no reversal is posted before its original.
"""

from collections.abc import Iterable
from datetime import date
from uuid import UUID

from msgspec import Struct
from tieout.contracts.order import OrderReturned
from tieout.finance import claims, ledger, money, open_items
from tieout.finance.domain.crediting import credit, gross_by_item, template_of
from tieout.finance.domain.open_item import OpenItem, customer_item
from tieout.finance.domain.periods import Posting
from tieout.finance.domain.voucher import Company, Draft
from tieout.servicekit import Database, Received, Transaction, batch_flow, sql

statements = sql.load(__file__)

NOTE_COLUMNS = (
    *(
        "credit_id",
        "position",
        "business_date",
        "posting_date",
        "company",
        "source",
        "credit_no",
        "customer",
        "currency",
    ),
)
LINE_COLUMNS = (
    *("position", "quantity_micro", "net_minor", "tax_minor", "item_id", "line_no", "part", "linked", "kind"),
    *("account", "credit_no"),
)
Credit = Received[OrderReturned]


class Credited(Struct):
    received: Credit
    when: Posting
    draft: Draft
    transfer: Draft
    settlement: money.Settlement
    unclaimed: list[OpenItem]  # Items of which it ended the claim that a refund had left.


@batch_flow("finance-credit-returns", OrderReturned, size=500)
async def credit_returns(batch: list[Credit], database: Database) -> None:
    async with database.transaction() as tx:
        companies = await ledger.lock_companies(tx, batch)
        credits = {received.data.credit_id: received for received in batch if received.data.company in companies}
        wanted = {item.key: item for received in credits.values() for item in items_of(received.data)}
        items = await open_items.lock(tx, wanted)
        for (known,) in await tx.fetch(statements.credited_before, list(credits)):
            del credits[known]
        calendar = ledger.Calendar()
        touched: dict[open_items.Key, OpenItem] = {}
        made: list[Credited] = []
        for received in credits.values():
            event = received.data
            mine = {item.item_id: items[item.key] for item in items_of(event)}
            early = sale_to_wait_for(event, mine)
            if early is not None:
                early.awaited = True
                touched[early.key] = early
                tx.park(received, key=str(early.item_id), reason="waits until its sale is billed")
                continue
            made.append(decide(received, mine, companies[event.company], calendar))
            touched.update((item.key, item) for item in mine.values())
        await save(tx, made, touched.values())


def items_of(event: OrderReturned) -> Iterable[OpenItem]:
    """The items it touches, as they are described if nobody has named them before."""
    unlinked = customer_item(event.company, event.customer)
    for item_id in gross_by_item(event, unlinked):
        linked = item_id != unlinked
        source = event.source if linked else ""
        yield OpenItem(
            item_id, event.currency, event.company, event.customer, source, "", linked, rate_micro=event.rate_micro
        )


def sale_to_wait_for(event: OrderReturned, items: dict[UUID, OpenItem]) -> OpenItem | None:
    """The first linked order that has not been billed as much as would be credited then."""
    gross = gross_by_item(event, customer_item(event.company, event.customer))
    for item_id, item in items.items():
        if item.of_order and item.credited + gross[item_id] > item.billed:
            return item
    return None


def decide(received: Credit, items: dict[UUID, OpenItem], company: Company, calendar: ledger.Calendar) -> Credited:
    event = received.data
    when = calendar.posting(company, event.business_date)
    chain = UUID(received.envelope.chainid) if received.envelope.chainid else event.credit_id
    order_no = received.envelope.orderno

    def draft(template: str, when: Posting, day: date) -> Draft:
        return Draft(
            company,
            template,
            when.period,
            when.day,
            when.deferred_from,
            day,
            chain,
            event.credit_id,
            event.credit_no,
            order_no,
            event.customer,
            event.currency,
            "order",
            received.position,
            lines=[],
        )

    day = max(item.not_before_its_money(event.business_date) for item in items.values())
    moves = calendar.posting(company, day)
    red, transfer = draft(template_of(event), when, event.business_date), draft("T10c", moves, day)
    settlement = money.Settlement(
        event.credit_id, event.credit_no, event.company, event.currency, "credit", moves.day, received, []
    )
    claimed = [item for item in items.values() if item.claim]
    credit(red, event, items, customer_item(event.company, event.customer))
    for item in items.values():
        before = money.Before.of(item, company.currency)
        told = item.told
        if item.settle():
            money.transfer(transfer, item, before)
            settlement.add(item, told)
    return Credited(received, when, red, transfer, settlement, [item for item in claimed if not item.claim])


async def save(tx: Transaction, made: list[Credited], touched: Iterable[OpenItem]) -> None:
    await open_items.save(tx, touched)
    if not made:
        return
    drafts = [(draft, one.received) for one in made for draft in (one.draft, one.transfer) if draft.lines]
    settlements = [one.settlement for one in made if one.settlement.items]
    positions = iter(await tx.positions(len(drafts) + len(settlements)))
    for draft, _ in drafts:
        draft.place(next(positions))
    for settlement in settlements:
        settlement.position = next(positions)
    await tx.copy("credit_note", columns=NOTE_COLUMNS, records=[note_row(one) for one in made])
    await tx.copy("credit_line", columns=LINE_COLUMNS, records=[row for one in made for row in line_rows(one.received)])
    await ledger.post(tx, [draft for draft, _ in drafts])
    ledger.announce_vouchers(tx, drafts)
    await money.write_settlements(tx, settlements)
    await claims.tell(
        tx,
        [
            claims.Ended(item, one.received.data.credit_id, one.received.data.credit_no, one.received)
            for one in made
            for item in one.unclaimed
        ],
    )


def note_row(one: Credited) -> tuple[object, ...]:
    event = one.received.data
    return (
        event.credit_id,
        one.received.position,
        event.business_date,
        one.when.day,
        event.company,
        event.source,
        event.credit_no,
        event.customer,
        event.currency,
    )


def line_rows(received: Credit) -> Iterable[tuple[object, ...]]:
    event = received.data
    unlinked = customer_item(event.company, event.customer)
    for line in event.lines:
        yield (
            received.position,
            line.quantity_micro,
            line.net_minor,
            line.tax_minor,
            line.order_id or unlinked,
            line.line_no,
            line.part,
            line.order_id is not None,
            line.kind,
            line.account,
            event.credit_no,
        )
