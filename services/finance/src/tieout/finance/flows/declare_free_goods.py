"""POST /v1/companies/{company}/free-goods -> voucher_posted (T22, line 3: output tax on the market value)

The cost of goods that were given away is posted with their shipment: 6601.05 where the order was free altogether, 6401
beside priced lines, which owes no further tax. What they would have cost on the market is told here, once per order.
"""

from datetime import date

from tieout.contracts.event import document_id, order_id
from tieout.contracts.finance import DECLARE_FREE_GOODS, DeclareFreeGoods, FreeGoodsView
from tieout.finance import ledger, open_items
from tieout.finance.domain.paper import draft_of
from tieout.finance.people import asking
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(DECLARE_FREE_GOODS)
async def declare_free_goods(request: DeclareFreeGoods, database: Database) -> FreeGoodsView:
    actor = asking()
    if request.tax_minor >= request.market_minor:
        detail = f"A tax of {request.tax_minor} on a market value of {request.market_minor}. Correct one of them."
        raise Refused("invalid", detail, field="tax_minor", status=422)
    identity = document_id("free_goods", request.company, "", request.number)
    item_id = order_id(request.company, request.order_source, request.order_no)
    async with database.transaction() as tx:
        company = await ledger.company(tx, request.company)
        await tx.execute(statements.hold, item_id)
        given_away = await tx.fetchval(statements.given_away, item_id)
        if not given_away:
            detail = (
                f"Nothing was given away with order {request.order_no} of source {request.order_source}: it was not "
                f"shipped, or its goods were sold, or are part of a sale."
            )
            raise Refused("not_free", detail, field="order_no", status=409)
        known = await tx.fetchrow(statements.known, item_id, identity)
        if known is not None:
            asked: tuple[object, ...] = (
                identity,
                request.number,
                request.market_minor,
                request.tax_minor,
                request.business_date,
            )
            if tuple(known)[:5] != asked:
                detail = f"{known['number']} declares this with other content. An order is declared once."
                raise Refused("conflict", detail, field="number", status=409)
            return view(request, company.currency, known["voucher_no"], repeated=True)
        currency = await tx.fetchval(open_items.statements.any_currency, item_id)
        item = await open_items.find_order(
            tx, request.company, request.order_source, request.order_no, currency or company.currency
        )
        when: date = request.business_date
        draft = draft_of(company, "T22", item, (identity, request.number), when, actor)
        draft.currency = company.currency
        draft.debit("sample", request.tax_minor, request.tax_minor, company.currency)
        draft.credit("output_tax", request.tax_minor, request.tax_minor, company.currency)
        draft.place((await tx.positions(1))[0])
        await ledger.post(tx, [draft])
        ledger.announce_vouchers(tx, [(draft, None)])
        content = request.market_minor, request.tax_minor, when, draft.voucher_no, request.company, request.number
        await tx.execute(statements.note, identity, item_id, *content, actor)
    return view(request, company.currency, draft.voucher_no, repeated=False)


def view(request: DeclareFreeGoods, currency: str, voucher_no: str, *, repeated: bool) -> FreeGoodsView:
    return FreeGoodsView(
        request.number,
        request.order_no,
        currency,
        request.market_minor,
        request.tax_minor,
        voucher_no,
        repeated,
    )
