"""finance.company_opened, period_closed, period_reopened -> the calendar that moves are stamped by

Whatever came for a company before it was known waits under its name and runs again now. Stock by period average that
nobody had valued before the close (value_period) is valued now, and announced for the first open period.
"""

from tieout.contracts.finance import CompanyOpened, PeriodClosed, PeriodReopened
from tieout.inventory.month_end import value_months
from tieout.inventory.stockroom import Stockroom, company_key
from tieout.servicekit import Database, Received, batch_flow, sql

statements = sql.load(__file__)

Calendar = tuple[int, str]  # Its revision, and the first open period in it.


@batch_flow("inventory-note-calendar", CompanyOpened, PeriodClosed, PeriodReopened, size=100)
async def note_calendar(
    batch: list[Received[CompanyOpened | PeriodClosed | PeriodReopened]], database: Database
) -> None:
    opened: dict[str, CompanyOpened] = {}
    calendars: dict[str, Calendar] = {}
    closed: dict[str, str] = {}  # The latest closed period.
    closes: dict[str, Received[CompanyOpened | PeriodClosed | PeriodReopened]] = {}
    for received in batch:
        event = received.data
        if isinstance(event, CompanyOpened):
            if event.company not in opened or opened[event.company].revision < event.revision:
                opened[event.company] = event
            continue
        calendars[event.company] = max((event.revision, event.first_open), calendars.get(event.company, (0, "")))
        if isinstance(event, PeriodClosed) and event.period > closed.get(event.company, ""):
            closed[event.company], closes[event.company] = event.period, received

    async with database.transaction() as tx:
        companies = sorted(opened.keys() | calendars.keys())
        rows = await tx.fetch(
            statements.note_companies,
            companies,
            [opened[c].currency if c in opened else None for c in companies],
            [opened[c].zone if c in opened else None for c in companies],
            [opened[c].revision if c in opened else 0 for c in companies],
            [calendars.get(c, (0, ""))[0] for c in companies],
            [calendars.get(c, (0, ""))[1] for c in companies],
        )
        changed = {row["company"]: (row["opened"], row["moved"]) for row in rows}
        for received in batch:
            event = received.data
            terms_changed, calendar_changed = changed[event.company]
            if isinstance(event, CompanyOpened):
                if terms_changed and event.revision == opened[event.company].revision:
                    tx.changed(received)
            elif calendar_changed and (event.revision, event.first_open) == calendars[event.company]:
                tx.changed(received)
        tx.wake(company_key(company) for company in opened)
        if closed:
            room = Stockroom(tx)
            await room.enter(closed)
            await value_months(room, {c: period for c, period in closed.items() if c in room.houses}, closes)
            await room.leave()
