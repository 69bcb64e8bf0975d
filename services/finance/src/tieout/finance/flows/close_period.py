"""POST /v1/companies/{company}/periods/{period}/close -> period_closed

Waits for the postings under way, which hold their company shared; those that come later go into the first open period.
Opening one again takes two people: reopen_period. A count difference that nobody has approved keeps its period open,
because 1901 is zero at every close. One that has not ended in the company's zone stays open too.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from tieout.contracts.currency import spelled
from tieout.contracts.event import document_id
from tieout.contracts.finance import CLOSE_PERIOD, ClosePeriod, PeriodClosed, PeriodView
from tieout.finance import foreign_items, ledger
from tieout.finance.domain.periods import last_day, next_period
from tieout.finance.people import asking
from tieout.servicekit import Database, Refused, Transaction, operation, sql

statements = sql.load(__file__)


@operation(CLOSE_PERIOD)
async def close_period(request: ClosePeriod, database: Database) -> PeriodView:
    if not 1 <= int(request.period[5:]) <= 12:
        raise Refused("invalid", f"{request.period} has no such month. Write it like 2026-11.", field="period")
    closed_by = asking()
    async with database.transaction() as tx:
        books = await tx.fetchrow(statements.lock_company, request.company)
        if books is None:
            detail = f"There is no company {request.company}. Open it with PUT /v1/companies/{request.company}."
            raise Refused("not_found", detail, field="company", status=404)
        repeated = request.period <= books["closed_through"]
        if not repeated:
            refuse_before_its_end(request.period, today(books["zone"]), books["zone"])
            await refuse_open_counts(tx, request, books["currency"])
            first_open = next_period(request.period)
            (position,) = await tx.positions(1)
            closing = (request.company, request.period, first_open, closed_by, position, request.reason)
            await tx.execute(statements.close, *closing)
            revision = await tx.fetchval(statements.close_through, request.company, request.period)
            tx.announce(
                PeriodClosed(request.company, request.period, first_open, revision),
                position=position,
                key=(request.company, request.period, revision),
                chain=document_id("period", request.company, "", request.period),
                order_no=request.period,
                company=request.company,
            )
        row = await tx.fetchrow(statements.shown, request.company, request.period)
        assert row is not None  # Closed by this or by a later period's close.
        vouchers = await tx.fetchval(statements.vouchers, request.company, request.period)
        undeclared = await tx.fetchval(statements.free_goods, request.company, request.period)
        short = await tx.fetchval(statements.allowance_short, request.company, request.period)
        company = await ledger.company(tx, request.company)
        not_revalued = await foreign_items.not_revalued(tx, company, request.period)
    return PeriodView(
        request.company,
        request.period,
        row["first_open"],
        row["closed_by"],
        row["closed_at"],
        repeated,
        vouchers,
        0,
        undeclared,
        short,
        not_revalued,
    )


def today(zone: str) -> date:
    return datetime.now(ZoneInfo(zone)).date()


def refuse_before_its_end(period: str, day: date, zone: str) -> None:
    if day <= last_day(period):
        detail = (
            f"{period} ends on {last_day(period)}, and in {zone} it is {day}: what is still sold in it would go "
            "into the next one. Close it when it is over."
        )
        raise Refused("period_not_ended", detail, field="period", status=409)


async def refuse_open_counts(tx: Transaction, request: ClosePeriod, currency: str) -> None:
    """Names what is left as inventory counts it: negative is missing."""
    found = await tx.fetch(statements.open_counts, request.company, request.period)
    if found:
        named = ", ".join(
            f"{row['number']} of source {row['source']!r} ({spelled(-row['left'], currency)})" for row in found[:5]
        )
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        every = f"--company {request.company} --period {request.period} --cause … --reason …"
        detail = (
            f"1901 is not zero: nobody has approved count {named}{more}. Ask with ./tieout approvals ask {every} "
            f"(POST /v1/companies/{request.company}/count-approvals) and have it approved."
        )
        raise Refused("open_counts", detail, field="period", status=409)
