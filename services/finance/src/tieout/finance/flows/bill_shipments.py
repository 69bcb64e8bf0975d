"""inventory.shipped, delivered -> finance.receivable_opened (T01, T02b); prepaid: also voucher_posted (T11b), settled

When control passes, revenue, tax, receivable and cost are due: one voucher per shipment, or per delivery where it
passes then; one open item per order. Each is billed once: its id is a primary key, asked for under the lock of its
order. A shipment that is not delivered yet only moves its cost from 1405 to 1406: voucher_posted (T02).
"""

from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from tieout.contracts.finance import ReceivableOpened
from tieout.contracts.inventory import GoodsDelivered, GoodsShipped
from tieout.finance import ledger, money, open_items
from tieout.finance.domain.billing import LINE_COLUMNS, Bill, Passed, PostedLine, bill, document_of, faulty_line
from tieout.finance.domain.open_item import OpenItem
from tieout.finance.domain.periods import Posting
from tieout.finance.domain.transit import TransitLine, send, sent_lines, transit_lines
from tieout.finance.domain.voucher import Company, Draft
from tieout.servicekit import Database, Received, Transaction, Unprocessable, batch_flow, sql

statements = sql.load(__file__)

RECEIVABLE_COLUMNS = (
    *("shipment_id", "item_id", "amount_minor", "cause_position", "position", "business_date", "posting_date"),
    *("due_date", "currency", "source"),
)
TRANSIT_COLUMNS = ("position", "quantity_micro", "value_minor", "chain_id", "line_no", "kind", "document_no")
Shipment = Received[Passed]


@batch_flow("finance-bill-shipments", GoodsShipped, GoodsDelivered, size=1000)
async def bill_shipments(batch: list[Shipment], database: Database) -> None:
    async with database.transaction() as tx:
        companies = await ledger.lock_companies(tx, batch)
        shipments: dict[UUID, Shipment] = {}
        sent: dict[UUID, Received[GoodsShipped]] = {}  # On their way: nothing of them is the customer's yet.
        for received in batch:
            event = received.data
            if event.company not in companies:
                continue
            if type(event) is GoodsShipped and event.control_passes == "delivery":
                sent[event.shipment_id] = cast("Received[GoodsShipped]", received)
            else:
                shipments[document_of(event)] = received
        items = await open_items.lock(
            tx, {(r.data.order_id, r.data.currency): item_of(r.data) for r in shipments.values()}
        )
        for (known,) in await tx.fetch(statements.billed_before, list(shipments)):
            del shipments[known]
        work = Billing()
        if sent:
            await work.send(tx, sent, companies)
        for received, position in zip(shipments.values(), await tx.positions(len(shipments)), strict=True):
            event = received.data
            company = companies[event.company]
            check(event, company)
            work.bill(received, position, items[event.order_id, event.currency], company)
        await work.save(tx)


def item_of(event: Passed) -> OpenItem:
    return OpenItem(
        event.order_id,
        event.currency,
        event.company,
        event.customer,
        event.source,
        event.order_no,
        True,
        rate_micro=event.rate_micro,
    )


def check(event: Passed, company: Company) -> None:
    if event.cost_currency != company.currency:
        detail = f"The books of {event.company} are in {company.currency}, the cost is in {event.cost_currency}."
        raise Unprocessable("other_currency", "cost_currency", detail)
    if fault := faulty_line(event):
        raise Unprocessable("impossible_part", "lines", fault)


class Billing:
    """What one batch of shipments does to the books."""

    def __init__(self) -> None:
        self._calendar = ledger.Calendar()
        self._bills: list[tuple[int, Shipment, Posting, Bill]] = []
        self._sent: list[PostedLine] = []
        self._transit: list[TransitLine] = []
        self._transfers: list[tuple[Draft, Shipment]] = []
        self._settlements: list[money.Settlement] = []
        self._billed: dict[tuple[UUID, str], OpenItem] = {}  # Only their billed amount changed.
        self._touched: dict[tuple[UUID, str], OpenItem] = {}
        self._woken: list[str] = []

    async def send(
        self, tx: Transaction, sent: dict[UUID, Received[GoodsShipped]], companies: dict[str, Company]
    ) -> None:
        """What has left and is not delivered yet; each shipment once."""
        new = {row[0] for row in await tx.fetch(statements.send_once, *_columns_of(sent))}
        for shipment_id, received in sent.items():
            if shipment_id not in new:
                continue
            event, company = received.data, companies[received.data.company]
            check(event, company)
            draft = send(
                event,
                received.position,
                company,
                self._calendar.posting(company, event.business_date, event.period),
            )
            self._sent += sent_lines(event, received.position)
            self._transit += transit_lines(event, received.position)
            if draft.lines:
                self._transfers.append((draft, cast("Shipment", received)))

    def bill(self, received: Shipment, position: int, item: OpenItem, company: Company) -> None:
        event = received.data
        when = self._calendar.posting(company, event.business_date, event.period)
        has_money = item.received or item.refunded
        later = item.tax_point is not None or company.tax_point != "goods_issue"
        if has_money or item.awaited or later or item.rate_micro != event.rate_micro:
            self._bill_with_care(received, position, item, company, when)
            return
        made = bill(event, received.position, position, item, company, when)
        self._bills.append((position, received, when, made))
        if type(event) is GoodsDelivered:
            self._transit += transit_lines(event, received.position)
        self._billed[item.key] = item

    def _bill_with_care(
        self, received: Shipment, position: int, item: OpenItem, company: Company, when: Posting
    ) -> None:
        """Money is there already, or somebody waits: the bill is followed by T11b, 2204 and 2203 to 1122."""
        event = received.data
        item.order_no = event.order_no  # A credit that came first did not know it.
        before = money.Before.of(item, company.currency)
        day = item.not_before_its_money(event.business_date)
        moves = self._calendar.posting(company, day, event.period)
        draft = Draft(
            company,
            "T11b",
            moves.period,
            moves.day,
            moves.deferred_from,
            day,
            event.order_id,
            document_of(event),
            event.order_no,
            event.order_no,
            event.customer,
            event.currency,
            "inventory",
            received.position,
            lines=[],
        )
        if type(event) is GoodsDelivered:
            self._transit += transit_lines(event, received.position)
        if item.rate_micro != event.rate_micro and item.order_net is None:
            item.rate_micro = event.rate_micro  # Money came before the order told its rate.
            money.transfer(draft, item, before)
            before = money.Before.of(item, company.currency)
        made = bill(event, received.position, position, item, company, when)
        self._bills.append((position, received, when, made))
        told = item.told
        booked = None if before.functional is None else item.functional(company.currency)
        before = money.Before(before.held, booked, before.tax_due)
        if item.settle():
            money.transfer(draft, item, before)
        if draft.lines:
            self._transfers.append((draft, received))
        settlement = money.Settlement(
            document_of(event), event.order_no, event.company, event.currency, "prepayment", moves.day, received, []
        )
        settlement.add(item, told)
        if settlement.items:
            self._settlements.append(settlement)
        if item.awaited:
            item.awaited = False
            self._woken.append(str(item.item_id))
        self._touched[item.key] = item

    async def save(self, tx: Transaction) -> None:
        if not self._bills and not self._sent:
            return
        lines = self._sent
        receivables = []
        drafts: list[Draft] = []
        for position, received, when, made in self._bills:
            event = received.data
            lines += made.lines
            receivables.append(
                (
                    document_of(event),
                    event.order_id,
                    made.gross,
                    received.position,
                    position,
                    event.business_date,
                    when.day,
                    event.business_date + timedelta(days=event.due_days),
                    event.currency,
                    event.source,
                )
            )
            if made.draft is not None:
                drafts.append(made.draft)
        positions = iter(await tx.positions(len(self._transfers) + len(self._settlements)))
        for draft, _ in self._transfers:
            draft.place(next(positions))
            drafts.append(draft)
        for settlement in self._settlements:
            settlement.position = next(positions)

        await tx.copy("posted_line", columns=LINE_COLUMNS, records=lines)
        if receivables:
            await tx.copy("receivable", columns=RECEIVABLE_COLUMNS, records=receivables)
        if self._transit:
            await tx.copy("transit", columns=TRANSIT_COLUMNS, records=self._transit)
        for key in self._touched:
            self._billed.pop(key, None)
        await open_items.save_billed(tx, self._billed.values())
        await open_items.save(tx, self._touched.values())
        await ledger.post(tx, drafts)

        for position, received, _, made in self._bills:
            announce(tx, position, received, made)
        ledger.announce_vouchers(tx, self._transfers)
        await money.write_settlements(tx, self._settlements)
        if self._woken:
            tx.wake(self._woken)


def _columns_of(sent: dict[UUID, Received[GoodsShipped]]) -> list[list[Any]]:
    rows = [
        (key, r.position, r.data.company, r.data.source, r.data.order_no, r.data.business_date)
        for key, r in sorted(sent.items())
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def announce(tx: Transaction, position: int, received: Shipment, made: Bill) -> None:
    event = received.data
    tx.announce(
        ReceivableOpened(
            shipment_id=document_of(event),
            order_id=event.order_id,
            company=event.company,
            order_no=event.order_no,
            currency=event.currency,
            amount_minor=made.gross,
            voucher_no=made.draft.voucher_no if made.draft else "",
            due_date=event.business_date + timedelta(days=event.due_days),
        ),
        position=position,
        key=(document_of(event),),
        chain=event.order_id,
        order_no=event.order_no,
        company=event.company,
        cause=received,
    )
