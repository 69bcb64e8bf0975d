"""Journeys that went wrong are told to the collector afterwards, whoever was sampled when they happened.

A chain's trace has its id for ever. So what control heard of a late order, or of one that a flow gave up, becomes spans
of that trace: with the times that the notices have, marked as reconstructed, and a few a second at most.
"""

import collections
import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import structlog
from tieout.control.calm import rest
from tieout.control.domain.journey import HeardStep
from tieout.control.domain.objective import ENDS, Ended, Objective
from tieout.control.reads import heard_of
from tieout.servicekit import Database, sql
from tieout.servicekit.errors import Cause, cause_of
from tieout.servicekit.telemetry import Step

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
PER_LOOK_MAX = 5  # Late journeys, and
CHAINS_MAX = 10  # with the failed ones in all: five a second. In an outage they are all alike.
WAITING_MAX = 1_000
SETTLED_SECONDS = 3.0  # The last notices of a journey come a moment after its voucher.
LETTERS_MAX = 50
COLLECTED = ("control-collect-dead", "collected")


class Retelling:
    """One per process. Replicas may tell the same journey: it is the same spans."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._waiting: collections.deque[tuple[float, Ended]] = collections.deque(maxlen=WAITING_MAX)
        self._letters = -1

    def failed(self, database: Database) -> float:
        """Messages that were given up, as this process collected them."""
        return database.counts.get(COLLECTED[0], {}).get(COLLECTED[1], 0)

    async def run(self, database: Database) -> None:
        """Until cancelled. What fails is logged and tried again at the next turn."""
        objective = self._objective
        database.readings["tieout.objective.journeys"] = lambda: {"": objective.ended + self.failed(database)}
        database.readings["tieout.objective.missed"] = lambda: {
            "late": objective.late,
            "failed": self.failed(database),
        }
        while True:
            await rest(database, LOOK_SECONDS, calm=not self._waiting)
            try:
                self.measure(database)
                if database.tracing.enabled:
                    await self.tell(database)
            except Exception as error:
                if cause_of(error) is Cause.CODE:
                    log.exception("journeys are not told")
                else:
                    log.warning("journeys are told later", error=repr(error)[:300])

    def measure(self, database: Database) -> None:
        now = time.monotonic()
        for one in self._objective.judged(now):
            seconds = one.ended - one.began
            if database.record is not None:
                database.record("tieout.journey.duration", seconds)
            if seconds > self._objective.seconds and not database.tracing.sampled(one.chain):
                self._waiting.append((now, one))

    async def tell(self, database: Database) -> None:
        """Those that are due, the oldest first."""
        due = time.monotonic() - SETTLED_SECONDS
        chains: dict[str, list[Step]] = {}
        ended: dict[str, float] = {}
        late = [one for noted, one in itertools.islice(self._waiting, PER_LOOK_MAX) if noted < due]
        for one in late:
            chains.setdefault(one.chain, [])
            ended[one.chain] = one.ended
        async with database.read() as connection:
            if self._letters < 0:
                self._letters = await connection.fetchval(statements.where_to_begin)
            upto = self._letters
            letters = await connection.fetch(statements.letters_after, upto, LETTERS_MAX)
            for letter in letters:
                if _is_uuid(letter["chain_id"]):
                    if letter["chain_id"] not in chains and len(chains) >= CHAINS_MAX:
                        break  # It and those behind it have their turn at the next look.
                    chains.setdefault(letter["chain_id"], []).append(_letter_step(letter))
                upto = letter["number"]
            heard = await heard_of(set(chains), connection) if chains else ()
        self._letters = upto  # Only now: while the database is away they wait.
        for _ in late:
            self._waiting.popleft()
        for chain, more in chains.items():
            own = [step for step in heard if step.chain_id == chain and not database.tracing.sampled(chain)]
            steps = journey_steps(own, "failed" if more else "late", ended.get(chain, 0.0))
            database.tracing.afterwards(chain, [*steps, *more])


def _is_uuid(chain: str) -> bool:
    """What a flow gave up may name any chain; journeys have ids of ours."""
    try:
        UUID(chain)
    except ValueError:
        return False
    return True


def journey_steps(heard: Sequence[HeardStep], why: Literal["late", "failed"], ended: float = 0.0) -> list[Step]:
    """One span per event, below the one that caused it: from that one's time to its own. Pure.

    `ended`: when the voucher was told of, seconds since the epoch; its event's time is that of its transaction's begin.
    """
    at = {step.event_id: datetime.fromisoformat(step.at) for step in heard}
    told = datetime.fromtimestamp(ended, UTC)
    return [
        Step(
            name=step.event_type,
            key=step.event_id,
            parent=step.cause_id,
            began=min(at.get(step.cause_id, at[step.event_id]), at[step.event_id]),
            ended=max(at[step.event_id], told) if step.event_type == ENDS else at[step.event_id],
            attributes={
                "tieout.reconstructed": True,
                "tieout.journey": why,
                "service.peer.name": f"tieout-{step.producer}",
                "messaging.message.id": step.event_id,
                "order.no": step.order_no,
                "company": step.company,
            },
        )
        for step in heard
    ]


def _letter_step(letter: Any) -> Step:
    at = letter["at"].astimezone(UTC)
    return Step(
        name=f"open ticket of {letter['flow']}",
        key=f"letter {letter['letter_id']}",
        parent="",
        began=at,
        ended=at,
        attributes={
            "tieout.reconstructed": True,
            "tieout.journey": "failed",
            "service.peer.name": f"tieout-{letter['service']}",
            "messaging.consumer.group.name": letter["flow"],
            "tieout.field": letter["field"],
            "tieout.attempts": letter["attempts"],
            "order.no": letter["order_no"],
            "company": letter["company"],
            **({"ticket": letter["ticket"]} if letter["ticket"] else {}),
        },
        error=letter["reason"],
    )
