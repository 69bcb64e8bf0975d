"""POST /v1/companies/{company}/cash-discounts -> voucher_posted (T14b), settled

What a customer may keep for paying early lowers the receivable and the revenue (6001.08), not the tax: for that an
invoice would have to be corrected.
"""

from tieout.contracts.event import document_id
from tieout.contracts.finance import TAKE_DISCOUNT, DiscountView, TakeDiscount
from tieout.finance import forgiving, ledger, open_items
from tieout.finance.forgiving import Paper, forgive
from tieout.finance.people import asking
from tieout.servicekit import Database, Refused, operation


@operation(TAKE_DISCOUNT)
async def take_discount(request: TakeDiscount, database: Database) -> DiscountView:
    actor = asking()
    identity = document_id("discount", request.company, "", request.number)
    async with database.transaction() as tx:
        company = await ledger.company(tx, request.company)
        await tx.execute(forgiving.statements.hold, identity)
        item = await open_items.find_order(
            tx, request.company, request.order_source, request.order_no, request.currency
        )
        known = await tx.fetchrow(forgiving.statements.known, identity)
        if known is None:
            paper = Paper(identity, request.number, "discount", request.amount_minor, request.business_date, actor)
            voucher_no = await forgive(tx, company, item, paper)
        else:
            voucher_no = known["voucher_no"]
            if tuple(known)[:4] != (item.item_id, item.currency, request.amount_minor, request.business_date):
                detail = f"Discount {request.number} is booked with other content. Give this one a number of its own."
                raise Refused("conflict", detail, field="number", status=409)
        return DiscountView(
            request.number,
            item.order_no,
            item.currency,
            request.amount_minor,
            item.owed,
            voucher_no,
            known is not None,
        )
