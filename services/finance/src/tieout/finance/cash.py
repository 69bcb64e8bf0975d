"""Payments and refunds: submitted once, booked on the open items of their orders, posted as one voucher each."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from msgspec import Struct, structs
from tieout.contracts.currency import spelled
from tieout.contracts.event import document_id
from tieout.contracts.finance import DocumentSettled, SubmitPayment, SubmitRefund
from tieout.finance import claims, forgiving, ledger, money, open_items, prepayments
from tieout.finance.domain import payment
from tieout.finance.domain.open_item import OpenItem, customer_item
from tieout.finance.domain.periods import Posting
from tieout.finance.domain.voucher import Company, Draft, level, move_money, move_tax
from tieout.servicekit import Database, Received, Transaction, sql

statements = sql.load(__file__)

Document = SubmitPayment | SubmitRefund
Submitted = Received[SubmitPayment] | Received[SubmitRefund]

DOCUMENT_COLUMNS = (
    *("document_id", "kind", "intake_id", "amount_minor", "fee_minor", "position", "cause_position", "business_date"),
    *("posting_date", "company", "source", "number", "version", "fingerprint", "currency", "customer", "method"),
)
SUBMISSION_COLUMNS = (
    *("intake_id", "position", "document_id", "outcome", "reason", "detail", "kind", "company", "source", "number"),
    *("amount_minor", "currency", "business_date", "orders"),
)
PART_COLUMNS = ("document_id", "item_id", "amount_minor", "currency")


class Booked(Struct):
    received: Submitted
    document_id: UUID
    when: Posting
    draft: Draft
    settlements: list[money.Settlement]  # Of the money, and of each discount that was taken with it.
    shares: dict[UUID, int]
    taxed: Draft | None  # Tax that reached its tax point by it: a voucher of its own, for a receipt holds only money.
    discounts: list[tuple[Draft, OpenItem, int]]  # T14b, each a voucher of its own for the same reason.
    spread: dict[UUID, int]  # What orders named without an amount took, where one is unknown: it is not final.
    without: list[UUID]  # Orders it names that take nothing of it; its chain tells the one order of a document.
    unclaimed: list[OpenItem]  # Items of which it ended the claim that a refund had left.

    @property
    def drafts(self) -> list[Draft]:
        return [self.draft, *(one[0] for one in self.discounts), *([self.taxed] if self.taxed else [])]


class Told(Struct):
    """A document that changed nothing; or a refund that is booked, of more than came."""

    received: Submitted
    document_id: UUID
    outcome: Literal["accepted", "duplicate", "conflict", "above_received"]
    reason: str = ""
    detail: str = ""


def kind_of(event: Document) -> str:
    return "payment" if isinstance(event, SubmitPayment) else "refund"


def amount_of(event: Document) -> int:
    return event.received_minor if isinstance(event, SubmitPayment) else event.paid_minor


def id_of(event: Document) -> UUID:
    return document_id(kind_of(event), event.company, event.source, event.number)


async def book(batch: Sequence[Submitted], database: Database) -> None:
    """One transaction for a batch of payments and refunds."""
    async with database.transaction() as tx:
        companies = await ledger.lock_companies(tx, batch)
        here = [received for received in batch if received.data.company in companies]
        ids = sorted({id_of(received.data) for received in here})
        await tx.execute(statements.hold_documents, ids)
        seen = {row[0] for row in await tx.fetch(statements.submitted, [one.data.intake_id for one in here])}
        known = {row[0]: (row[1], row[2]) for row in await tx.fetch(statements.documents, ids)}
        told: list[Told] = []
        fresh: list[Submitted] = []
        for received in here:
            event = received.data
            if event.intake_id in seen:
                continue  # The same command again.
            seen.add(event.intake_id)
            identity = id_of(event)
            before = known.get(identity)
            if before is None:
                if isinstance(event, SubmitPayment) and (fault := payment.faulty(event)):
                    told.append(Told(received, identity, "conflict", "impossible_amounts", fault))
                    continue
                known[identity] = (event.version, event.fingerprint)
                fresh.append(received)
            elif before[1] == event.fingerprint:
                told.append(Told(received, identity, "duplicate"))
            else:
                detail = f"Version {before[0]} is booked with other content. Send a correction under its own number."
                told.append(Told(received, identity, "conflict", "other_content", detail))
        await _book(tx, fresh, told, companies)


async def _book(tx: Transaction, fresh: list[Submitted], told: list[Told], companies: dict[str, Company]) -> None:
    wanted = {item.key: item for received in fresh for item in payment.items_of(received.data)}
    items = await open_items.lock(tx, wanted)
    calendar = ledger.Calendar()
    booked: list[Booked] = []
    above: list[Told] = []
    for received in fresh:
        mine = {item.item_id: items[item.key] for item in payment.items_of(received.data)}
        if (short := payment.discount_too_large(received.data, mine)) is None:
            booked.append(decide(received, mine, companies[received.data.company], calendar))
            if isinstance(received.data, SubmitRefund):
                above += above_received(received, next(iter(mine.values())))
        elif payment.to_come(short):
            short.awaited = True
            tx.park(received, key=str(short.item_id), reason="its discount waits until its sale is billed")
        else:
            detail = (
                f"Of order {short.order_no} {spelled(max(short.owed, 0), short.currency)} is open, less than the "
                "discount. Send the payment without it, under a number of its own."
            )
            told.append(Told(received, id_of(received.data), "conflict", "discount_above_open", detail))

    settlements = [settlement for one in booked for settlement in one.settlements if settlement.items]
    drafts = [(draft, one.received) for one in booked for draft in one.drafts]
    positions = iter(await tx.positions(len(drafts) + len(settlements) + len(told) + len(above)))
    for draft, _ in drafts:
        draft.place(next(positions))
    for settlement in settlements:
        settlement.position = next(positions)
    await open_items.save(tx, items.values())
    if booked:
        await tx.copy("money_document", columns=DOCUMENT_COLUMNS, records=[document_row(one) for one in booked])
        parts = [
            (
                one.document_id,
                item_id,
                amount if kind_of(one.received.data) == "payment" else -amount,
                one.draft.currency,
            )
            for one in booked
            for item_id, amount in one.shares.items()
        ]
        await tx.copy("money_part", columns=PART_COLUMNS, records=parts)
        await prepayments.note(tx, [(one.document_id, one.received.data, one.spread) for one in booked if one.spread])
    noted = {one.document_id: one for one in above}
    submissions = [
        submission_row(noted.get(one.document_id) or Told(one.received, one.document_id, "accepted"), one.without)
        for one in booked
    ]
    submissions += [submission_row(one) for one in told]
    if submissions:
        await tx.copy("money_submission", columns=SUBMISSION_COLUMNS, records=submissions)
    await ledger.post(tx, [draft for draft, _ in drafts])
    ledger.announce_vouchers(tx, drafts)
    for one in booked:
        for draft, item, amount in one.discounts:
            await forgiving.note(tx, draft, item, "discount", amount)
    await money.write_settlements(tx, settlements)
    for one_told in (*told, *above):
        announce_told(tx, one_told, next(positions))
    await claims.tell(
        tx,
        [
            claims.Ended(item, one.document_id, one.received.data.number, one.received)
            for one in booked
            for item in one.unclaimed
        ],
    )


def above_received(received: Received[SubmitRefund], item: OpenItem) -> list[Told]:
    """The money has left, so it is booked: what never came is a claim on the customer (1122). Somebody should look."""
    if not item.claim:
        return []
    whose = f"order {received.data.order_number}" if item.of_order else f"customer {item.customer} without an order"
    came, went = spelled(item.received, item.currency), spelled(item.refunded, item.currency)
    detail = (
        f"Of {whose} {came} came by then and {went} went back. The refund is booked, and the difference is a claim on"
        " the customer: send the payment if it is missing, or claim the money back."
    )
    return [Told(received, id_of(received.data), "above_received", "above_received", detail)]


def decide(received: Submitted, mine: dict[UUID, OpenItem], company: Company, calendar: ledger.Calendar) -> Booked:
    """Raise received or refunded of each item, let the balances follow, and draft the voucher that says so."""
    event = received.data
    identity = id_of(event)
    unlinked = customer_item(event.company, event.customer)
    refund = isinstance(event, SubmitRefund)
    not_final: dict[UUID, int] = {}
    if isinstance(event, SubmitRefund):
        shares = {next(iter(mine)): event.paid_minor}
    else:
        shares, spread = payment.allocate(event, mine, unlinked)
        if any(mine[item_id].order_net is None for item_id in spread):
            not_final = spread
    orders = [mine[item_id] for item_id in shares if mine[item_id].of_order]
    if not orders:  # Nothing was open of what it names, so it stands with the customer; its journey is that order's.
        orders = [item for item in mine.values() if item.of_order]
    chain = orders[0].item_id if len(orders) == 1 else identity
    order_no = orders[0].order_no if len(orders) == 1 else ""
    when = calendar.posting(company, event.business_date)
    draft = Draft(
        company,
        "",
        when.period,
        when.day,
        when.deferred_from,
        event.business_date,
        chain,
        identity,
        event.number,
        order_no,
        event.customer,
        event.currency,
        "gateway",
        received.position,
        kind="payment" if refund else "receipt",
        lines=[],
    )
    taxed = None
    settlement = money.Settlement(
        identity,
        event.number,
        event.company,
        event.currency,
        "refund" if refund else "payment",
        when.day,
        received,
        [],
    )
    payment.money_lines(draft, event)
    unclaimed = [item for item in mine.values() if item.claim]
    discounts, settlements = [], [settlement]
    for item_id, amount in payment.discounts(event).items():
        item = mine[item_id]
        discount = _discount_of(draft, item)
        taxed = taxed or structs.replace(draft, template=money.TAX_POINT, kind="transfer", lines=[])
        closing = structs.replace(settlement, document_id=discount.document_id, cause="write_off", items=[])
        told = item.told
        forgiving.close(discount, taxed, item, "discount", amount)
        closing.add(item, told)
        discounts.append((discount, item, amount))
        settlements.append(closing)
    for item_id, amount in shares.items():
        item = mine[item_id]
        if item.rate_micro is None:
            item.rate_micro = event.rate_micro
        before = money.Before.of(item, company.currency)
        told = item.told
        item.money_date = item.not_before_its_money(event.business_date)
        if refund:
            item.refunded += amount
        else:
            item.received += amount
        item.settle()
        move_money(draft, item, before.held, before.functional)
        if item.tax_due != before.tax_due:
            taxed = taxed or structs.replace(draft, template=money.TAX_POINT, kind="transfer", lines=[])
            move_tax(taxed, item, before.tax_due)
        settlement.add(item, told)
    level(draft)
    draft.template = payment.template_of(draft, refund)
    if taxed is not None and not taxed.lines:
        taxed = None
    unclaimed = [item for item in unclaimed if not item.claim]
    without = [one.item_id for one in mine.values() if one.of_order and one.item_id not in shares]
    if without == [chain]:
        without = []
    return Booked(received, identity, when, draft, settlements, shares, taxed, discounts, not_final, without, unclaimed)


def _discount_of(paid: Draft, item: OpenItem) -> Draft:
    """What was taken with a payment is a document of its own, about one order."""
    parts = str(paid.document_id), str(item.item_id)
    return structs.replace(
        paid,
        template="T14b",
        kind="transfer",
        chain_id=item.item_id,
        document_id=document_id("discount", item.company, *parts),
        order_no=item.order_no,
        lines=[],
    )


def document_row(one: Booked) -> tuple[object, ...]:
    event = one.received.data
    return (
        one.document_id,
        kind_of(event),
        event.intake_id,
        amount_of(event),
        event.fee_minor,
        one.draft.position,
        one.received.position,
        event.business_date,
        one.when.day,
        event.company,
        event.source,
        event.number,
        event.version,
        event.fingerprint,
        event.currency,
        event.customer,
        event.method,
    )


def submission_row(one: Told, without: Sequence[UUID] = ()) -> tuple[object, ...]:
    event = one.received.data
    return (
        event.intake_id,
        one.received.position,
        one.document_id,
        "accepted" if one.outcome == "above_received" else one.outcome,
        one.reason,
        one.detail,
        kind_of(event),
        event.company,
        event.source,
        event.number,
        amount_of(event),
        event.currency,
        event.business_date,
        without if one.outcome == "accepted" else [item.item_id for item in payment.items_of(event) if item.of_order],
    )


def announce_told(tx: Transaction, one: Told, position: int) -> None:
    event = one.received.data
    tx.announce(
        DocumentSettled(
            intake_id=event.intake_id,
            document_id=one.document_id,
            company=event.company,
            source=event.source,
            number=event.number,
            kind="payment" if isinstance(event, SubmitPayment) else "refund",
            outcome="duplicate" if one.outcome == "duplicate" else "conflict",
            reason=one.reason,
            detail=one.detail,
            booked=one.outcome == "above_received",
            orders=() if one.outcome == "duplicate" else payment.orders_named(event),
        ),
        position=position,
        key=(event.intake_id,),
        chain=one.document_id,
        order_no=event.number,
        company=event.company,
        cause=one.received,
    )
