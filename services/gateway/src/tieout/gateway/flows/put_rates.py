"""gateway.put_rates: what foreign money was worth on a day, for documents that bring no rate of their own."""

from tieout.contracts.rates import PUT_RATES, PutRates, RatesPut
from tieout.gateway.domain.amounts import micro_of_text
from tieout.gateway.people import asking
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(PUT_RATES)
async def put_rates(request: PutRates, database: Database) -> RatesPut:
    """The same again changes nothing, and says so."""
    seen = set()
    for index, rate in enumerate(request.rates):
        place = f"rates[{index}]"
        if rate.currency == rate.quoted_in:
            detail = f"{place}: a currency is worth 1 of itself. Name the company's currency."
            raise Refused("invalid", detail, field=f"{place}.quoted_in", status=422)
        if not micro_of_text(rate.rate):
            raise Refused("invalid", f"{place}: a rate is above 0.", field=f"{place}.rate", status=422)
        key = (rate.currency, rate.quoted_in, rate.date)
        if key in seen:
            detail = f"{place}: this pair and date stand twice. Send the rate that is meant."
            raise Refused("invalid", detail, field=f"{place}.date", status=422)
        seen.add(key)
    async with database.transaction() as tx:
        put = await tx.fetch(
            statements.put,
            [rate.currency for rate in request.rates],
            [rate.quoted_in for rate in request.rates],
            [rate.date for rate in request.rates],
            [micro_of_text(rate.rate) for rate in request.rates],
            [rate.source for rate in request.rates],
            asking(),
        )
    return RatesPut(len(request.rates), len(put))
