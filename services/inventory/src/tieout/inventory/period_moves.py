"""inventory.period_moves: what happened in a period by its business dates, whatever was closed since."""

from datetime import date

from tieout.contracts.period import PERIOD_MOVES, PeriodMoves, PeriodRequest
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(PERIOD_MOVES)
async def period_moves(request: PeriodRequest, database: Database) -> PeriodMoves:
    try:
        first = date.fromisoformat(f"{request.period}-01")
        after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    except ValueError:  # 0000-01, and 9999-12, after which there is no day.
        detail = f"{request.period!r} is no period. Write it like 2026-11."
        raise Refused("invalid", detail, field="period", status=422) from None
    async with database.read() as connection:
        currency = await connection.fetchval(statements.currency, request.company)
        if currency is None:
            raise Refused("not_found", f"There is no company {request.company}.", field="company", status=404)
        row = await connection.fetchrow(statements.moves, request.company, first, after, request.upto)
    assert row is not None
    return PeriodMoves(currency, row["value"], row["counted"], row["moves"])
