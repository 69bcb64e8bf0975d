"""Questions about orders: they read, decide nothing and lock nothing."""

from typing import Any
from uuid import UUID

from tieout.contracts.event import event_id
from tieout.contracts.operation import Trail, TrailEntry, TrailRequest
from tieout.contracts.order import (
    LIST_ORDERS,
    OUTCOMES,
    SHOW_ORDER,
    DocumentView,
    LineView,
    ListOrders,
    OrderPage,
    OrderSummary,
    OrderView,
    Outcome,
    Outcomes,
    OutcomesRequest,
    ShowOrder,
    SubmissionConflicted,
    SubmissionRepeated,
)
from tieout.order import balances
from tieout.order.domain import OrderBalance, billing_of, fulfilment_of, payment_of
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)

LINES_MAX = 1_000  # Per answer, so that it stays below what a message may hold.


@operation(SHOW_ORDER)
async def show_order(request: ShowOrder, database: Database) -> OrderView:
    async with database.read() as c:
        row = await only_order(c, request.order_no, request.company, request.source)
        balance = (await balances.load(c, [row["position"]]))[row["position"]]
        texts = {text["line_no"]: text for text in await c.fetch(statements.line_texts, row["position"])}
        returned = {line[0]: line[1] for line in await c.fetch(statements.returned, row["position"])}
        documents = [
            DocumentView(
                "order",
                row["order_no"],
                row["order_id"],
                row["placed_at"],
                sum(line.ordered_micro for line in balance.lines.values()),
                row["net_minor"],
                row["tax_minor"],
            )
        ]
        for c_row in await c.fetch(statements.cancellations, row["position"]):
            number, id, at, reason, quantity = c_row
            documents.append(DocumentView("cancel", number, id, at, quantity, reason=reason))
        for credit in await c.fetch(statements.credits, row["position"]):
            number, id, at, reason, quantity, net, tax = credit
            documents.append(DocumentView("credit", number, id, at, quantity, net, tax, reason))
    rest = [(line_no, line) for line_no, line in balance.lines.items() if line_no > request.after_line]
    shown = rest[:LINES_MAX]
    lines = tuple(
        LineView(
            line_no=line_no,
            sku=line.sku,
            kind=texts[line_no]["kind"],
            account=texts[line_no]["account"],
            warehouse=texts[line_no]["warehouse"],
            uom=texts[line_no]["uom"],
            ordered_micro=line.ordered_micro,
            net_minor=line.net_minor,
            tax_minor=line.tax_minor,
            refused_micro=line.refused_micro,
            cancelled_micro=line.cancelled_micro,
            reserved_micro=line.reserved_micro,
            back_ordered_micro=line.back_ordered_micro,
            shipped_micro=line.shipped_micro,
            unallocated_micro=line.unallocated_micro,
            returned_micro=returned.get(line_no, 0),
            credited_micro=line.credited_micro,
            billed_net_minor=line.billed_net_minor,
            billed_tax_minor=line.billed_tax_minor,
            credited_net_minor=line.credited_net_minor,
            credited_tax_minor=line.credited_tax_minor,
            delivered_micro=line.passed_micro if balance.at_delivery else 0,
        )
        for line_no, line in shown
    )
    more = bool(rest) and rest[-1][0] > shown[-1][0]
    return OrderView(_summary(row, balance), lines, tuple(documents), shown[-1][0] if more else 0)


@operation(LIST_ORDERS)
async def list_orders(request: ListOrders, database: Database) -> OrderPage:
    async with database.read() as c:
        rows = await c.fetch(
            statements.page,
            request.after,
            request.company,
            request.source,
            request.customer,
            request.open_only,
            request.limit + 1,
        )
        more, rows = len(rows) > request.limit, rows[: request.limit]
        loaded = await balances.load(c, [row["position"] for row in rows])
    orders = tuple(_summary(row, loaded[row["position"]]) for row in rows)
    return OrderPage(orders, rows[-1]["position"] if more else 0)


@operation(OUTCOMES)
async def show_outcomes(request: OutcomesRequest, database: Database) -> Outcomes:
    async with database.read() as c:
        rows = await c.fetch(statements.outcomes, request.company, request.source)
    return Outcomes(tuple(Outcome(*sql.exact(row)) for row in rows))


async def trail(request: TrailRequest, database: Database) -> Trail:
    """What these books know of an order or of a credit note; empty where they know nothing."""
    entries: list[TrailEntry] = []
    async with database.read() as c:
        document = UUID(request.chain_id)
        position = await c.fetchval(statements.anchored, document)
        if position is not None:
            currency = await c.fetchval(statements.currency, position)
            rows = await c.fetch(statements.trail, position) if currency else ()
            entries += [_entry(row, currency) for row in rows]
            entries += [_entry(row, row["currency"]) for row in await c.fetch(statements.credit_trail, position)]
        entries += map(_no_effect, await c.fetch(statements.without_effect, document))
    return Trail(tuple(entries))


async def only_order(source: balances.Reads, order_no: str, company: str, satellite: str) -> Any:
    """The one order of this number, or a refusal that says what to add."""
    rows = await source.fetch(statements.by_number, order_no, company, satellite)
    where = "".join((f" of company {company}" if company else "", f" from {satellite}" if satellite else ""))
    if not rows:
        raise Refused("not_found", f"There is no order {order_no}{where}.", field="order_no", status=404)
    if len(rows) > 1:
        places = ", ".join(f"company {row['company']} source {row['source']}" for row in rows)
        detail = f"Order {order_no} exists more than once: {places}. Name company and source."
        raise Refused("ambiguous", detail, field="company", status=409)
    return rows[0]


def _summary(row: Any, balance: OrderBalance) -> OrderSummary:
    return OrderSummary(
        order_id=row["order_id"],
        company=row["company"],
        source=row["source"],
        order_no=row["order_no"],
        customer=row["customer"],
        currency=row["currency"],
        business_date=row["business_date"],
        placed_at=row["placed_at"],
        net_minor=row["net_minor"],
        tax_minor=row["tax_minor"],
        fulfilment=fulfilment_of(balance),
        billing=billing_of(balance),
        payment=payment_of(balance),
        billed_minor=balance.billed_minor,
        credited_minor=balance.credited_minor,
        settled_minor=balance.settled_minor,
        owed_minor=balance.owed_minor,
        held_minor=balance.held_minor,
        completed=balance.completed,
        control_passes="delivery" if balance.at_delivery else "issue",
    )


def _no_effect(row: Any) -> TrailEntry:
    told = ": ".join(part for part in (row["reason"], row["detail"]) if part)
    event = SubmissionConflicted if row["outcome"] == "conflict" else SubmissionRepeated
    return TrailEntry(
        at=row["submitted_at"].isoformat(),
        step=row["outcome"],
        document=row["number"],
        event_id=event_id(event.SUBJECT, row["intake_id"], row["position"]),
        detail=told or f"intake {row['intake_id']}",
    )


def _entry(row: Any, currency: str) -> TrailEntry:
    return TrailEntry(
        at=row["at"].isoformat(),
        step=row["step"],
        document=row["document"],
        event_id=event_id(row["kind"], row["key"]) if row["kind"] else "",
        quantity_micro=row["quantity"] or 0,
        amount_minor=row["amount"],
        currency=currency if row["amount"] else "",
        detail=row["detail"],
    )
