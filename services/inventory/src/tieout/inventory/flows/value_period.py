"""POST /v1/companies/{company}/periods/{period}/value -> inventory.revalued

The step before finance closes a period, where stock is valued by period average (月末一次加权平均): the difference is
still posted into the period that it belongs to. May be asked again after a late document; whatever has not been valued
when finance closes the period is valued by that (note_calendar) and posted into the first open one.
"""

from tieout.contracts.inventory import VALUE_PERIOD, PeriodValued, ValuePeriod
from tieout.inventory.month_end import value_months
from tieout.inventory.stockroom import Stockroom
from tieout.servicekit import Database, Refused, operation


@operation(VALUE_PERIOD)
async def value_period(request: ValuePeriod, database: Database) -> PeriodValued:
    company, period = request.company, request.period
    if not 1 <= int(period[5:]) <= 12:
        raise Refused("invalid", f"{period} has no such month. Write it like 2026-11.", field="period")
    async with database.transaction() as tx:
        room = Stockroom(tx)
        await room.enter({company})
        if company not in room.houses:
            detail = f"No company {company} is open. Open it in finance first."
            raise Refused("unknown_company", detail, field="company", status=404)
        valued = await value_months(room, {company: period}, {})
        await room.leave()
    changes = [change for some in valued.changes.values() for change in some]
    return PeriodValued(
        company,
        period,
        valued.stocks,
        len({change.stock.stock_id for change in changes}),
        sum(change.value for change in changes),
        room.houses[company].currency,
    )
