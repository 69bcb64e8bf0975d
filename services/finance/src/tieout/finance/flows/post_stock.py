"""inventory.returned, recalled, received, adjusted, revalued -> one voucher each, at the value that inventory announced

T05 lines 4-5 in red for returns, T04 for goods stopped on their way, T16 for opening stock, T17 for purchases (against
GR/IR), T19 and T19c for count differences, 1405 against 6401 for revaluations. A document worth nothing gets its
subledger lines but no voucher.
"""

from uuid import UUID

from tieout.contracts.inventory import GoodsRecalled, GoodsReceived, GoodsReturned, StockAdjusted, StockRevalued
from tieout.finance import ledger
from tieout.finance.domain.billing import LINE_COLUMNS, PostedLine
from tieout.finance.domain.stock import StockEvent, document_of, draft_lines, posted_lines, template_of
from tieout.finance.domain.transit import TransitLine, transit_lines
from tieout.finance.domain.voucher import Draft
from tieout.finance.flows.bill_shipments import TRANSIT_COLUMNS
from tieout.servicekit import Database, Received, Unprocessable, batch_flow, sql

statements = sql.load(__file__)


@batch_flow("finance-post-stock", GoodsReturned, GoodsReceived, StockAdjusted, StockRevalued, GoodsRecalled, size=500)
async def post_stock(batch: list[Received[StockEvent]], database: Database) -> None:
    async with database.transaction() as tx:
        companies = await ledger.lock_companies(tx, batch)
        documents = {
            document_of(received.data)[:2]: received for received in batch if received.data.company in companies
        }
        keys = sorted(documents)
        new = await tx.fetch(
            statements.insert_documents,
            [kind for kind, _ in keys],
            [document_id for _, document_id in keys],
            [documents[key].position for key in keys],
            [documents[key].data.company for key in keys],
            [getattr(documents[key].data, "source", "") for key in keys],
            [document_of(documents[key].data)[2] for key in keys],
            [documents[key].data.business_date for key in keys],
        )
        calendar = ledger.Calendar()
        lines: list[PostedLine] = []
        transit: list[TransitLine] = []
        drafts: list[tuple[Draft, Received[StockEvent]]] = []
        for received in sorted((documents[row[0], row[1]] for row in new), key=lambda one: one.position):
            _, document_id, number = document_of(received.data)
            event = received.data
            company = companies[event.company]
            if event.cost_currency != company.currency:
                detail = (
                    f"The books of {event.company} are in {company.currency}, the value is in {event.cost_currency}."
                )
                raise Unprocessable("other_currency", "cost_currency", detail)
            when = calendar.posting(company, event.business_date, event.period)
            chain = UUID(received.envelope.chainid) if received.envelope.chainid else document_id
            draft = Draft(
                company,
                template_of(event),
                when.period,
                when.day,
                when.deferred_from,
                event.business_date,
                chain,
                document_id,
                number,
                received.envelope.orderno,
                getattr(event, "customer", ""),
                event.cost_currency,
                "inventory",
                received.position,
                lines=[],
            )
            lines += posted_lines(event, received.position, chain)
            if isinstance(event, GoodsRecalled):
                transit += transit_lines(event, received.position)
            draft_lines(draft, event)
            if draft.lines:
                drafts.append((draft, received))

        for (draft, _), position in zip(drafts, await tx.positions(len(drafts)), strict=True):
            draft.place(position)
        if lines:
            await tx.copy("posted_line", columns=LINE_COLUMNS, records=lines)
        if transit:
            await tx.copy("transit", columns=TRANSIT_COLUMNS, records=transit)
        await ledger.post(tx, [draft for draft, _ in drafts])
        ledger.announce_vouchers(tx, drafts)
