"""PUT /v1/companies/{company}/rates/{currency}/{date}: a closing rate, kept beside those that stood there before."""

from tieout.contracts.finance import PUT_RATE, PutRate, RateView
from tieout.finance import ledger
from tieout.finance.people import asking
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(PUT_RATE)
async def put_rate(request: PutRate, database: Database) -> RateView:
    actor = asking()
    key = request.company, request.currency, request.date
    async with database.transaction() as tx:
        company = await ledger.company(tx, request.company)
        if request.currency == company.currency:
            detail = f"The books of {request.company} are in {request.currency}. Name another currency."
            raise Refused("invalid", detail, field="currency", status=422)
        row = await tx.fetchrow(statements.known, *key)
        if row is None or row["rate_micro"] != request.rate_micro:
            row = await tx.fetchrow(statements.put, *key, request.rate_micro, actor)
    assert row is not None
    return RateView(*row)
