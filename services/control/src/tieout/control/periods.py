"""control.period_agreement: both sides of a period at one mark of inventory, so that nothing on its way looks lost."""

import asyncio
import time
from datetime import date, datetime
from zoneinfo import ZoneInfo

from tieout.contracts.agreement import MEASURES, Mark
from tieout.contracts.operation import Nothing
from tieout.contracts.period import (
    PeriodAgreement,
    PeriodAgreementRequest,
    PeriodMoves,
    PeriodPostings,
    PeriodRequest,
)
from tieout.contracts.streams import stream_of
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain.agreement import caught_up
from tieout.control.domain.periods import compare
from tieout.servicekit import Refused

WAIT_SECONDS = 3.0  # For finance to handle what had moved when we asked.
POLL_SECONDS = 0.05
ANSWER_SECONDS = 20.0  # All moves of a company are read.
(BOOK,) = (
    book for measure in MEASURES if measure.name == "stock_value" for book in measure.books if book.service == "finance"
)


async def period_agreement(request: PeriodAgreementRequest, colleagues: Colleagues) -> PeriodAgreement:
    """Raises Refused: not_found where there is no such company, unavailable where one of both does not answer."""
    try:
        mark = await colleagues.ask("inventory", "mark", Nothing(), Mark)
        done = await _followed(mark.sequences.get(stream_of("inventory"), 0), colleagues)
        asked = PeriodRequest(request.company, request.period, mark.position)
        moves, postings = await asyncio.gather(
            colleagues.ask("inventory", "period_moves", asked, PeriodMoves, seconds=ANSWER_SECONDS),
            colleagues.ask("finance", "period_postings", asked, PeriodPostings, seconds=ANSWER_SECONDS),
        )
    except Unanswered as error:
        if error.refusal is not None and error.refusal.problem.status == 404:  # There is no such company.
            raise error.refusal from None
        raise Refused("unavailable", f"{error.service} has no answer: {error.why}", status=503) from None
    return compare(request.company, request.period, moves, postings, caught_up=done, today=_today(postings.zone))


def _today(zone: str) -> date | None:
    """Where the company is; None where nobody said which zone that is."""
    return datetime.now(ZoneInfo(zone)).date() if zone else None


async def _followed(sequence: int, colleagues: Colleagues) -> bool:
    end = time.monotonic() + WAIT_SECONDS
    while True:
        if caught_up(BOOK, await colleagues.floors(BOOK.durables), sequence):
            return True
        if time.monotonic() > end:
            return False
        await asyncio.sleep(POLL_SECONDS)
