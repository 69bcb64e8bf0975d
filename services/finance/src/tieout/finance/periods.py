"""finance.periods: which months are open or closed, by whom, and what stands against closing them.

A fixed number of reads for all companies. Of closed months it looks at who closed them, and at none of their vouchers.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tieout.contracts.finance import PERIODS, ListPeriods, Periods, PeriodStanding
from tieout.finance.domain.periods import last_day, listed, period_of
from tieout.finance.flows import close_period
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(PERIODS)
async def list_periods(request: ListPeriods, database: Database) -> Periods:
    async with database.read() as c:
        companies = await c.fetch(statements.companies, request.company)
        if request.company and not companies:
            detail = f"There is no company {request.company}. ./tieout periods list (GET /v1/companies) lists them."
            raise Refused("not_found", detail, field="company", status=404)
        closes = _by_company(await c.fetch(statements.closes, request.company))
        reopenings = _by_company(await c.fetch(statements.reopenings, request.company))
        months = {
            books["company"]: listed(
                books["closed_through"],
                period_of(close_period.today(books["zone"])),
                [*books["months"], *(close["period"] for close in closes[books["company"]])],
                request.closed,
            )
            for books in companies
        }
        keys = [(name, month) for name, found in months.items() for month in found]
        names, periods = [name for name, _ in keys], [month for _, month in keys]
        counts = {
            (r["company"], r["period"]): r
            for r in await c.fetch(statements.open_counts, request.company, names, periods)
        }
        waiting = _by_company(await c.fetch(statements.waiting, request.company))
    return Periods(
        tuple(
            _closed(books, month, closes[name], reopenings[name], waiting[name])
            if month <= books["closed_through"]
            else _open(books, month, closes[name], reopenings[name], counts.get((name, month)), waiting[name])
            for books in companies
            for name in (books["company"],)
            for month in months[name]
        )
    )


def _by_company(rows: Iterable[Any]) -> defaultdict[str, list[Any]]:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row["company"]].append(row)
    return found


def _calendar(books: Any, month: str) -> dict[str, Any]:
    end = last_day(month)
    return {
        "company": books["company"],
        "period": month,
        "zone": books["zone"],
        "last_day": end,
        "ended": close_period.today(books["zone"]) > end,
        "vouchers": dict(zip(books["months"], books["vouchers"], strict=True)).get(month, 0),
        "currency": books["currency"],
    }


def _closed(books: Any, month: str, closes: list[Any], reopenings: list[Any], waiting: list[Any]) -> PeriodStanding:
    """By the close that stands: of this month, or of the later one that closed it too, the first since it was last
    opened again. A later close of a later month leaves it as it was."""
    since = max((one["position"] for one in reopenings if one["period"] <= month), default=0)
    by = next((close for close in closes if close["period"] >= month and close["position"] > since), None)
    asked = next((row for row in waiting if row["kind"] == "reopening" and row["period"] == month), None)
    return PeriodStanding(
        state="closed",
        closed_by=by["closed_by"] if by else "",  # Nobody: `closed_through` was moved by hand, which a rule tells.
        closed_at=by["closed_at"] if by else None,
        reason=by["reason"] if by else "",
        reopening_id=asked["request_id"] if asked else None,
        reopening_asked_by=asked["requested_by"] if asked else "",
        **_calendar(books, month),
    )


def _open(
    books: Any, month: str, closes: list[Any], reopenings: list[Any], counts: Any | None, waiting: list[Any]
) -> PeriodStanding:
    before = [close["position"] for close in closes if close["period"] >= month]
    again = next(
        (one for one in reversed(reopenings) if one["period"] <= month and any(at < one["position"] for at in before)),
        None,
    )
    return PeriodStanding(
        state="open",
        reopened_by=again["requested_by"] if again else "",
        reopening_approved_by=again["approved_by"] if again else "",
        reopened_at=again["reopened_at"] if again else None,
        reopening_reason=again["reason"] if again else "",
        counts=counts["counts"] if counts else 0,
        counts_unasked=counts["unasked"] if counts else 0,
        missing_minor=counts["missing"] if counts else 0,
        found_minor=counts["found"] if counts else 0,
        waiting=sum(
            row["requests"]
            for row in waiting
            if row["kind"] != "reopening" and books["closed_through"] < row["period"] <= month
        ),
        **_calendar(books, month),
    )
