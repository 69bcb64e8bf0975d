"""The background look: how far every consumer is, and which of them stand still since when; continuous.py proves."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from tieout.contracts.agreement import RestartedFlow, RestartFlowRequest
from tieout.contracts.control import FlowState, MissingStream
from tieout.contracts.streams import CORE_SERVICES, DEAD_STREAM, FLOWS, stream_of
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain.agreement import Floor
from tieout.control.domain.pace import Pace, Track
from tieout.servicekit import Database
from tieout.servicekit.instants import written

log = structlog.get_logger(__name__)

STREAMS = (*map(stream_of, CORE_SERVICES), DEAD_STREAM)


class Watch:
    """What this process saw last of every consumer."""

    def __init__(self, colleagues: Colleagues, seconds: float) -> None:
        self._colleagues = colleagues
        self._seconds = seconds
        self.stalled: dict[str, float] = {}  # Seconds by durable, at the last look.
        self._moved: dict[str, tuple[tuple[int, int], float]] = {}  # durable -> (floor, waiting) and when they changed
        self._tracks: dict[str, Track] = {}
        self._gone: dict[str, datetime] = {}  # Streams that the hub did not have at the last look.

    async def flows(self) -> tuple[FlowState, ...]:
        """All durables of the contracts, as the broker sees them now. Raises Unanswered where it does not answer."""
        floors = await self._colleagues.floors(flow.durable for flow in FLOWS)
        now = time.monotonic()
        paces = {durable: self._pace(durable, floor, now) for durable, floor in floors.items()}
        idle = Pace()
        return tuple(
            FlowState(
                durable=flow.durable,
                stream=flow.stream,
                waiting=floor.waiting if floor else 0,
                unacked=floor.unacked if floor else 0,
                floor=floor.confirmed if floor else 0,
                stalled_seconds=self._stalled(flow.durable, floor, now) if floor else 0.0,
                missing=floor is None,
                paused_until=floor.paused_until if floor else "",
                drained_per_second=pace.drained_per_second,
                arriving_per_second=pace.arriving_per_second,
                done_in_seconds=pace.done_in_seconds,
            )
            for flow in FLOWS
            for floor, pace in ((floors.get(flow.durable), paces.get(flow.durable, idle)),)
        )

    async def missing_streams(self) -> tuple[MissingStream, ...]:
        """Streams of the contracts that the hub does not have now. Raises Unanswered where it does not answer."""
        held = await asyncio.gather(*map(self._colleagues.stream_bytes, STREAMS))
        now = datetime.now(UTC)
        gone = [name for name, used in zip(STREAMS, held, strict=True) if used is None]
        self._gone = {name: self._gone.get(name, now) for name in gone}
        return tuple(MissingStream(name, written(since)) for name, since in self._gone.items())

    async def _resume(self, flows: Sequence[FlowState]) -> None:
        """Whoever paused them has told nobody, and nobody of ours does: their own services let them go on."""
        for flow in flows:
            log.warning(
                "consumer paused by hand", flow=flow.durable, until=flow.paused_until, runbook="ConsumerStalled"
            )
            asked = RestartFlowRequest(flow.durable, "control", f"paused on the hub until {flow.paused_until}")
            service = flow.durable.partition("-")[0]
            try:
                await self._colleagues.ask(service, "restart_flow", asked, RestartedFlow)
            except Unanswered as error:  # It resumes it by itself when it starts.
                log.warning("a paused consumer waits for its service", flow=flow.durable, why=error.why)

    def _pace(self, durable: str, floor: Floor, now: float) -> Pace:
        track = self._tracks.setdefault(durable, Track())
        return track.look(now, floor.handled, floor.waiting + floor.unacked)

    def _stalled(self, durable: str, floor: Floor, now: float) -> float:
        """Seconds since the floor last moved while something waits. More waiting alone is no movement."""
        if not floor.waiting and not floor.unacked:
            self._moved[durable] = ((floor.confirmed, 0), now)
            return 0.0
        seen = self._moved.get(durable)
        if seen is None or seen[0][0] != floor.confirmed or seen[0][1] == 0:
            self._moved[durable] = ((floor.confirmed, 1), now)
            return 0.0
        return round(now - seen[1], 1)

    async def run(self, database: Database) -> None:
        """Until cancelled. What fails here is logged and tried again at the next turn: nobody waits for it."""
        if self._seconds <= 0:
            await asyncio.Event().wait()
        told: set[str] = set()
        while True:
            await asyncio.sleep(self._seconds)
            try:
                flows = await self.flows()
                self.stalled = {flow.durable: flow.stalled_seconds for flow in flows if flow.stalled_seconds}
                await self._resume([flow for flow in flows if flow.paused_until])
                stalled = {flow.durable for flow in flows if flow.stalled_seconds > 2 * self._seconds}
                for durable in stalled - told:
                    log.warning("consumer stalled", flow=durable, runbook="ConsumerStalled")
                told = stalled
            except Unanswered as error:
                log.warning("the watch could not ask", service=error.service, why=error.why)
            except Exception:
                log.exception("the watch failed")
