"""finance.company_opened -> known_company: who keeps books here, in which currency and zone."""

from tieout.contracts.finance import CompanyOpened
from tieout.servicekit import Database, Received, batch_flow, sql

statements = sql.load(__file__)


@batch_flow("gateway-note-companies", CompanyOpened, size=50)
async def note_companies(batch: list[Received[CompanyOpened]], database: Database) -> None:
    newest: dict[str, Received[CompanyOpened]] = {}
    for received in batch:
        known = newest.get(received.data.company)
        if known is None or known.data.revision <= received.data.revision:
            newest[received.data.company] = received
    companies = [newest[name].data for name in sorted(newest)]
    async with database.transaction() as tx:
        rows = await tx.fetch(
            statements.note,
            [company.company for company in companies],
            [company.currency for company in companies],
            [company.zone for company in companies],
            [company.revision for company in companies],
            [company.control_passes for company in companies],
        )
        for (company,) in rows:
            tx.changed(newest[company])
