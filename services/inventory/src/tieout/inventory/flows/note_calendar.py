"""finance.company_opened, finance.period_closed -> the calendar that shipments are stamped by

Whatever came for a company before it was known waits under its name and runs again now. Stock by period average that
nobody had valued before the close (value_period) is valued now, and announced for the first open period.
"""

from typing import cast

from tieout.contracts.finance import CompanyOpened, PeriodClosed
from tieout.inventory.month_end import value_months
from tieout.inventory.stockroom import Stockroom, company_key
from tieout.servicekit import Database, Received, batch_flow, sql

statements = sql.load(__file__)


@batch_flow("inventory-note-calendar", CompanyOpened, PeriodClosed, size=100)
async def note_calendar(batch: list[Received[CompanyOpened | PeriodClosed]], database: Database) -> None:
    opened: dict[str, CompanyOpened] = {}
    first_open: dict[str, str] = {}
    closed: dict[str, Received[PeriodClosed]] = {}  # The latest of each company.
    for received in batch:
        event = received.data
        if isinstance(event, CompanyOpened):
            if event.company not in opened or opened[event.company].revision < event.revision:
                opened[event.company] = event
        else:
            first_open[event.company] = max(event.first_open, first_open.get(event.company, ""))
            if event.company not in closed or closed[event.company].data.period < event.period:
                closed[event.company] = cast(Received[PeriodClosed], received)

    async with database.transaction() as tx:
        companies = sorted(opened.keys() | first_open.keys())
        await tx.execute(
            statements.note_companies,
            companies,
            [opened[c].currency if c in opened else None for c in companies],
            [opened[c].zone if c in opened else None for c in companies],
            [opened[c].revision if c in opened else 0 for c in companies],
            [first_open.get(c, "") for c in companies],
        )
        tx.wake(company_key(company) for company in opened)
        if closed:
            room = Stockroom(tx)
            await room.enter(closed)
            await value_months(room, {c: closed[c].data.period for c in closed if c in room.houses}, closed)
            await room.leave()
