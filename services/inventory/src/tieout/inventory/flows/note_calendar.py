"""finance.company_opened, finance.period_closed -> the calendar that shipments are stamped by

Whatever came for a company before it was known waits under its name and runs again now.
"""

from tieout.contracts.finance import CompanyOpened, PeriodClosed
from tieout.inventory.stockroom import company_key
from tieout.servicekit import Database, Received, batch_flow, sql

statements = sql.load(__file__)


@batch_flow("inventory-note-calendar", CompanyOpened, PeriodClosed, size=100)
async def note_calendar(batch: list[Received[CompanyOpened | PeriodClosed]], database: Database) -> None:
    opened: dict[str, CompanyOpened] = {}
    first_open: dict[str, str] = {}
    for received in batch:
        event = received.data
        if isinstance(event, CompanyOpened):
            if event.company not in opened or opened[event.company].revision < event.revision:
                opened[event.company] = event
        else:
            first_open[event.company] = max(event.first_open, first_open.get(event.company, ""))

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
