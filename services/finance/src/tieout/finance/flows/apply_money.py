"""POST /v1/companies/{company}/applications -> voucher_posted (T10a), settled

Money that came without an order stands in 2203 until somebody says what it was for. Then it is the order's, as if it
had named it: it lowers the receivable, or is a deposit of what is still to be shipped.
"""

from msgspec import structs
from tieout.contracts.currency import spelled
from tieout.contracts.event import document_id, order_id
from tieout.contracts.finance import APPLY_MONEY, ApplyMoney, MoneyApplied
from tieout.finance import claims, ledger, money, open_items
from tieout.finance.cash import PART_COLUMNS
from tieout.finance.domain.open_item import OpenItem, customer_item
from tieout.finance.domain.paper import draft_of
from tieout.finance.domain.voucher import level, move_money, move_tax
from tieout.finance.people import asking
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(APPLY_MONEY)
async def apply_money(request: ApplyMoney, database: Database) -> MoneyApplied:
    actor = asking()
    identity = document_id("application", request.company, "", request.number)
    to = order_id(request.company, request.order_source, request.order_no), request.currency
    of = customer_item(request.company, request.customer), request.currency
    async with database.transaction() as tx:
        company = await ledger.company(tx, request.company)
        await tx.execute(statements.hold, identity)
        items = await open_items.find(tx, [to, of])
        known = await tx.fetchrow(statements.known, identity)
        if known is not None:
            if tuple(known)[:5] != (to[0], of[0], request.currency, request.amount_minor, request.business_date):
                detail = f"Application {request.number} is booked with other content. Give this one another number."
                raise Refused("conflict", detail, field="number", status=409)
            return view(request, items[to], items[of], known["voucher_no"], repeated=True)
        if to not in items:
            detail = f"There is no order {request.order_no} of source {request.order_source} in {request.currency}."
            raise Refused("not_found", detail, field="order_no", status=404)
        left = items[of].unapplied if of in items else 0
        if request.amount_minor > left:
            detail = f"Customer {request.customer} has {spelled(left, request.currency)} without an order."
            raise Refused("too_much", detail, field="amount_minor", status=409)

        order, customer = items[to], items[of]
        if order.order_net is not None and request.amount_minor > max(order.to_pay, 0):
            owes = spelled(max(order.to_pay, 0), request.currency)
            detail = f"Order {request.order_no} takes {owes} more; the rest would be held there for nothing."
            raise Refused("too_much", detail, field="amount_minor", status=409)
        document = identity, request.number
        day = customer.not_before_its_money(request.business_date)
        order.money_date = order.not_before_its_money(day)
        draft = draft_of(company, "T10a", order, document, day, actor)
        taxed = structs.replace(draft, template=money.TAX_POINT, lines=[])
        settlement = money.Settlement(
            identity, request.number, order.company, order.currency, "prepayment", draft.posting_date, None, []
        )
        claimed = order.claim
        before = [(item, money.Before.of(item, company.currency), item.told) for item in (customer, order)]
        customer.refunded += request.amount_minor
        order.received += request.amount_minor
        for item, then, told in before:
            item.settle()
            move_money(draft, item, then.held, then.functional)
            move_tax(taxed, item, then.tax_due)
            settlement.add(item, told)
        level(draft)

        drafts = [one for one in (draft, taxed) if one.lines]
        *places, settlement.position = await tx.positions(len(drafts) + 1)
        for one, position in zip(drafts, places, strict=True):
            one.place(position)
        await open_items.save(tx, [order, customer])
        amount = request.amount_minor
        parts = [(identity, of[0], -amount, request.currency), (identity, to[0], amount, request.currency)]
        await tx.copy("money_part", columns=PART_COLUMNS, records=parts)
        await ledger.post(tx, drafts)
        head = identity, to[0], of[0], amount, request.business_date, draft.voucher_no if draft.lines else ""
        await tx.execute(statements.note, *head, request.company, request.number, request.currency, actor)
        ledger.announce_vouchers(tx, [(one, None) for one in drafts])
        if settlement.items:
            await money.write_settlements(tx, [settlement])
        if claimed:
            await claims.tell(tx, [claims.Ended(order, identity, request.number, None)])
        return view(request, order, customer, head[-1], repeated=False)


def view(request: ApplyMoney, order: OpenItem, customer: OpenItem, voucher_no: str, *, repeated: bool) -> MoneyApplied:
    return MoneyApplied(
        request.number,
        order.order_no or request.order_no,
        order.currency,
        request.amount_minor,
        order.owed,
        customer.unapplied,
        voucher_no,
        repeated,
    )
