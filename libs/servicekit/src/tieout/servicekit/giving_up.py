"""Messages that a flow cannot handle, and when it is the flow that is wrong."""

import collections
import os
import random
from collections.abc import Sequence
from typing import Any

import structlog
from msgspec import Struct
from tieout.servicekit.connection import Message
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Cause, Unprocessable, cause_of, field_of, nul_field
from tieout.servicekit.packs import Arrival
from tieout.servicekit.received import Received
from tieout.servicekit.trace_context import trace_id
from tieout.servicekit.wire import delivery

log = structlog.get_logger(__name__)

RETRY_SECONDS = (1, 5, 30)  # Before the second, third and fourth try of a message that failed for an unknown reason.
UNFORESEEN_MAX = 16  # So many of the LATEST outcomes were errors that nobody foresaw: the code is wrong.
LATEST = 20
REFUSED_MAX = 100  # So many refused messages, and more than were handled: wrong as well, here or at the producer.
OUTCOMES_KEPT = 200
_KIT = f"{os.sep}servicekit{os.sep}"


class Outcome(Struct, frozen=True):
    worked: int
    failed: int
    unforeseen: bool


class Outcomes:
    """What became of the last attempts of a flow."""

    def __init__(self) -> None:
        self._kept: collections.deque[Outcome] = collections.deque(maxlen=OUTCOMES_KEPT)

    def note(self, *, worked: int = 0, failed: int = 0, unforeseen: bool = False) -> None:
        self._kept.append(Outcome(worked, failed, unforeseen))

    def clear(self) -> None:
        self._kept.clear()

    def code_is_wrong(self) -> bool:
        """Unforeseen errors in nearly all of the last outcomes; or of all messages lately, most were refused."""
        latest = list(self._kept)[-LATEST:]
        if sum(one.unforeseen for one in latest) >= UNFORESEEN_MAX:
            return True
        worked = sum(one.worked for one in self._kept)
        failed = sum(one.failed for one in self._kept)
        return failed >= REFUSED_MAX and failed > worked


class Unreadable(Struct):
    """A body that is not what the contract says: nobody will ever handle it."""

    message: Message
    ordinal: int  # Which event of its message: it has no readable id.
    body: bytes  # Of the event; of the whole message where that is no pack.
    arrival: Arrival
    error: Exception


async def bury_unreadable(durable: str, broken: Sequence[Unreadable], database: Database) -> None:
    async with database.transaction() as tx:
        for one in broken:
            came = delivery(one.message.reply)
            detail = str(one.error) or type(one.error).__name__
            tx.bury_raw(
                durable=durable,
                subject=one.message.subject,
                ordinal=one.ordinal,
                body=one.body,
                stream=came.stream,
                sequence=came.stream_sequence,
                attempts=came.attempts,
                reason="unreadable",
                field=field_of(detail),
                detail=detail,
                headers=one.arrival.headers,
            )


TOO_LARGE = (
    "an amount or a quantity, or the sum that it would lead to, is beyond what the books hold (9.2e18 of the smallest "
    "unit). Correct the document where it came from"
)


async def give_up(
    failing: Sequence[tuple[Received[Any], Exception]], database: Database, retry_seconds: Sequence[float] = ()
) -> None:
    """Bad messages become dead letters; what failed unforeseen is parked for another try, and buried after the last."""
    pauses = retry_seconds or RETRY_SECONDS
    async with database.transaction() as tx:
        for received, error in failing:
            if isinstance(error, Unprocessable):
                tx.bury(received, reason=error.reason, field=error.field, detail=error.detail)
            elif b"\\u0000" in received.body and cause_of(error) is Cause.DATA:
                field = nul_field(received.body)
                tx.bury(received, reason="nul_character", field=field, detail="Postgres keeps no NUL in text.")
            elif cause_of(error) in (Cause.DATA, Cause.AGAIN):
                column = str(getattr(error, "column_name", "") or "")
                detail = TOO_LARGE if "out of int" in str(error) else f"{type(error).__name__}: {error}"
                tx.bury(received, reason="refused_by_database", field=column, detail=detail)
            elif received.attempts <= len(pauses):
                seconds = pauses[received.attempts - 1] * random.uniform(0.75, 1.25)  # Not all of them at once.
                tx.park(received, key="", reason="retry", seconds=seconds)
                log.error("message fails, will be tried again", **about(received), exc_info=error)
            else:
                detail = f"{place_of(error)}; the service's log has the rest"
                tx.bury(received, reason="internal_error", detail=detail)
                log.error("message fails for good", **about(received), exc_info=error)


def place_of(error: BaseException) -> str:
    """AttributeError in decide_shipment (bill_shipments.py): what tells one bug from another, and holds no data."""
    step = error.__traceback__
    ours = None
    while step is not None:
        code = step.tb_frame.f_code
        if f"{os.sep}tieout{os.sep}" in code.co_filename and (ours is None or _KIT not in code.co_filename):
            ours = code
        step = step.tb_next
    where = f" in {ours.co_name} ({os.path.basename(ours.co_filename)})" if ours is not None else ""
    return f"{type(error).__name__}{where}"


def about(received: Received[Any]) -> dict[str, Any]:
    """For the log: by which names people find this message's order and trace."""
    envelope = received.envelope
    return {
        "flow": received.durable,
        "event_id": envelope.id,
        "order_no": envelope.orderno,
        "company": envelope.company,
        "trace_id": trace_id(envelope.chainid) if envelope.chainid else "",
        "attempts": received.attempts,
    }
