"""POST /v1/companies/{company}/periods/{period}/revalue -> voucher_posted (T21 and its reversal T21r)

One voucher per currency on the last day, and the same in red on the first day of the next period: so what is settled
then has its whole difference realised (6603.03). Asked again, it posts what has changed since.
"""

from datetime import date

from tieout.contracts.event import document_id
from tieout.contracts.finance import REVALUE_PERIOD, PeriodRevalued, Revalued, RevaluePeriod
from tieout.finance import foreign_items, ledger
from tieout.finance.domain.periods import Posting, first_day, last_day, next_period
from tieout.finance.domain.revaluing import Balance, revalue, reverse
from tieout.finance.domain.voucher import Company, Draft
from tieout.finance.people import asking
from tieout.servicekit import Database, Refused, Transaction, operation, sql

statements = sql.load(__file__)


@operation(REVALUE_PERIOD)
async def revalue_period(request: RevaluePeriod, database: Database) -> PeriodRevalued:
    actor = asking()
    period = request.period
    if not 1 <= int(period[5:]) <= 12:
        raise Refused("invalid", f"{period} has no such month. Write it like 2026-11.", field="period")
    async with database.transaction() as tx:
        company = await ledger.company(tx, request.company)
        if period <= company.closed_through:
            detail = f"Period {period} of {company.company} is closed. Value it before, or have it opened again."
            raise Refused("closed", detail, field="period", status=409)
        await tx.execute(statements.hold, company.company)
        times = await foreign_items.times_revalued(tx, company, period)
        drafts: list[Draft] = []
        done = []
        for currency, balances in (await foreign_items.balances(tx, company, period)).items():
            rate_micro, rate_date = await rate_of(tx, company, currency, period)
            number = f"{period} {currency} {times.get(currency, 0) + 1}"
            pair, gain = draft_pair(company, period, currency, number, balances, rate_micro, actor)
            if pair[0].lines:
                drafts += pair
            done.append((currency, rate_micro, rate_date, gain, pair))
        for draft, position in zip(drafts, await tx.positions(len(drafts)), strict=True):
            draft.place(position)
        await ledger.post(tx, drafts)
        ledger.announce_vouchers(tx, [(draft, None) for draft in drafts])
        told = []
        for currency, rate_micro, rate_date, gain, pair in done:
            numbers = [draft.voucher_no if draft.lines else "" for draft in pair]
            content = company.company, period, currency, rate_micro, rate_date, gain, numbers[0], actor
            await tx.execute(statements.note, pair[0].document_id, *content)
            told.append(Revalued(currency, rate_micro, rate_date, gain, *numbers))
    return PeriodRevalued(request.company, period, tuple(told))


async def rate_of(tx: Transaction, company: Company, currency: str, period: str) -> tuple[int, date]:
    first, last = first_day(period), last_day(period)
    row = await tx.fetchrow(statements.rate, company.company, currency, first, last)
    if row is None:
        detail = (
            f"There is no closing rate of {currency} in {period}. "
            f"Record it with PUT /v1/companies/{company.company}/rates/{currency}/{last}."
        )
        raise Refused("no_rate", detail, field="period", status=409)
    return row["rate_micro"], row["date"]


def draft_pair(
    company: Company, period: str, currency: str, number: str, balances: list[Balance], rate_micro: int, actor: str
) -> tuple[tuple[Draft, Draft], int]:
    identity = document_id("revaluation", company.company, "", number)

    def draft(template: str, when: Posting) -> Draft:
        return Draft(
            company,
            template,
            when.period,
            when.day,
            when.deferred_from,
            when.day,
            identity,
            identity,
            number,
            "",
            "",
            currency,
            "",
            0,
            lines=[],
            prepared_by=actor,
        )

    original = draft("T21", Posting(period, last_day(period), ""))
    gain = revalue(original, balances, rate_micro, currency)
    following = next_period(period)
    reversal = draft("T21r", Posting(following, first_day(following), ""))
    reverse(reversal, original)
    return (original, reversal), gain
