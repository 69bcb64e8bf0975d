"""What every service answers, whatever it is for: health, its side of the proof, its outbox, replays, its vitals."""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from msgspec import structs
from tieout.contracts.agreement import (
    AUDITED_MAX,
    CurrencySums,
    Digest,
    DigestRequest,
    MarkAnswer,
    MarkRequest,
    Positions,
    PositionsRequest,
    PublishAgainRequest,
    PublishedAgain,
    Rebooked,
    RebookRequest,
    RestartedFlow,
    RestartFlowRequest,
    Rows,
    RowsRequest,
    Sequences,
    SequencesRequest,
    SettingsChanges,
    SettingsChangesRequest,
    SumsRequest,
    TotalsRequest,
    Violations,
    ViolationsRequest,
)
from tieout.contracts.operation import UNREADABLE_EVENTS, Health, Nothing, Operation, Trail, TrailRequest
from tieout.contracts.reason import wrong_reason
from tieout.contracts.replay import Kept, KeptRequest, PlayedBatch, PlayRequest
from tieout.contracts.watch import Vitals, VitalsRequest
from tieout.servicekit import parked, settings_log, sql
from tieout.servicekit.agreement import Evidence
from tieout.servicekit.batches import FlowSubscriber
from tieout.servicekit.corrections import Corrections
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Refused
from tieout.servicekit.findings import Findings
from tieout.servicekit.memory import memory_bytes
from tieout.servicekit.outbox import statements as outbox_statements
from tieout.servicekit.replay import Player
from tieout.servicekit.rpc import Answers
from tieout.servicekit.streams import Audit
from tieout.servicekit.vitals import RunLog, Witness

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

AskTrail = Callable[[TrailRequest, Database], Awaitable[Trail]]


def stopped_flows(subscribers: Sequence[FlowSubscriber]) -> dict[str, str]:
    """Why, by durable."""
    return {one.flow.durable: one.stopped_why for one in subscribers if one.stopped}


class OwnAnswers:
    def __init__(
        self,
        name: str,
        version: str,
        *,
        started_at: str,
        trail: AskTrail | None,
        evidence: Evidence,
        findings: Findings,
        audit: Audit | None,
        player: Player,
        witness: Witness,
        runs: RunLog,
        subscribers: Sequence[FlowSubscriber],
        is_ready: Callable[[], bool],
    ) -> None:
        self._name = name
        self._version = version
        self._started_at = started_at
        self._trail = trail
        self._evidence = evidence
        self._findings = findings
        self._audit = audit
        self._player = player
        self._witness = witness
        self._runs = runs
        self._subscribers = subscribers
        self._is_ready = is_ready

    def operations(self) -> list[Answers[Any, Any]]:
        name = self._name

        def answers(verb: str, request: type, response: type, function: Any) -> Answers[Any, Any]:
            return Answers(Operation(f"{name}.{verb}", "GET", "", request, response, verb), function)

        return [
            answers("health", Nothing, Health, self._health),
            answers("mark", MarkRequest, MarkAnswer, self._evidence.mark),
            answers("totals", TotalsRequest, Digest, self._evidence.totals),
            answers("digest", DigestRequest, Digest, self._evidence.digest),
            answers("positions", PositionsRequest, Positions, self._evidence.positions),
            answers("sums", SumsRequest, CurrencySums, self._evidence.sums),
            answers("rows", RowsRequest, Rows, self._evidence.rows),
            answers("sequences", SequencesRequest, Sequences, self._sequences),
            answers("publish_again", PublishAgainRequest, PublishedAgain, self._publish_again),
            answers("rebook", RebookRequest, Rebooked, Corrections(self._evidence).rebook),
            answers("restart_flow", RestartFlowRequest, RestartedFlow, self._restart_flow),
            answers("violations", ViolationsRequest, Violations, self._findings.violations),
            answers("findings", Nothing, Violations, self._findings.findings),
            answers("settings_changes", SettingsChangesRequest, SettingsChanges, settings_log.settings_changes),
            answers("replay", PlayRequest, PlayedBatch, self._player.replay),
            answers("rehearse", PlayRequest, PlayedBatch, self._player.rehearse),
            answers("kept", KeptRequest, Kept, self._player.kept),
            answers("trail", TrailRequest, Trail, self._whole_trail),
            answers("vitals", VitalsRequest, Vitals, self._witness.vitals),
        ]

    async def _whole_trail(self, request: TrailRequest, database: Database) -> Trail:
        """What the service tells of a chain, and what of it waits here."""
        told = await self._trail(request, database) if self._trail else Trail(())
        waiting = await parked.trail(request.chain_id, database)
        return structs.replace(told, entries=(*told.entries, *waiting))

    async def _health(self, request: Nothing, database: Database) -> Health:
        async with database.read() as connection:
            waiting = await connection.fetchrow(outbox_statements.waiting)
            kept = await connection.fetchrow(statements.parked_and_dead)
        assert waiting is not None
        assert kept is not None
        return Health(
            service=self._name,
            version=self._version,
            pid=os.getpid(),
            ready=self._is_ready(),
            memory_bytes=memory_bytes(),
            started_at=self._started_at,
            outbox_waiting=waiting["batches"],
            outbox_oldest_seconds=round(waiting["seconds"], 3),
            parked=kept["parked"],
            dead=kept["dead"],
            findings=len(self._findings.found.violations),
            scrubbed_at=self._findings.found.at,
            scrub_failed=self._findings.found.failed,
            unchecked=tuple(one.rule for one in self._findings.found.unchecked),
            stopped=stopped_flows(self._subscribers),
            parked_oldest_seconds=round(kept["parked_oldest_seconds"], 1),
            flows={one.flow.durable: one.numbers() for one in self._subscribers},
            replicas=await self._runs.replicas(),
        )

    async def _sequences(self, request: SequencesRequest, database: Database) -> Sequences:
        """Where events stand in our stream; and, on demand, which of them it does not hold as we published them."""
        found = await self._evidence.sequences(request, database)
        if not request.audit or self._audit is None:
            return found
        lost = await self._audit.lost_of(sorted(set(request.positions))[:AUDITED_MAX])
        return Sequences(found.sequences, tuple(lost))

    async def _publish_again(self, request: PublishAgainRequest, database: Database) -> PublishedAgain:
        positions = sorted(set(request.positions))
        if not 0 < len(positions) <= AUDITED_MAX:
            raise Refused("invalid", f"Give 1 to {AUDITED_MAX} positions.", field="positions", status=422)
        if self._audit is None or not database.outbox.open.is_set():
            raise Refused("unavailable", "The broker is away; the audit runs by itself when it is back.", status=503)
        messages, unknown = await self._audit.publish_again(positions)
        return PublishedAgain(messages, tuple(unknown))

    async def _restart_flow(self, request: RestartFlowRequest, database: Database) -> RestartedFlow:
        """Make a flow ask anew: its durable is looked at, created where it is missing, and messages are asked for."""
        subscriber = next((one for one in self._subscribers if one.flow.durable == request.flow), None)
        if subscriber is None:
            flows = ", ".join(one.flow.durable for one in self._subscribers) or "none"
            raise Refused(
                "not_found", f"{self._name} has no flow {request.flow!r}; it has: {flows}.", field="flow", status=404
            )
        if wrong := wrong_reason(request.reason):
            raise Refused("invalid", f"reason: {wrong}.", field="reason", status=422)
        if request.give_up_unreadable:
            if not subscriber.stopped_why.startswith(UNREADABLE_EVENTS):
                raise Refused(
                    "conflict", f"{request.flow} is not stopped by what it cannot read.", field="flow", status=409
                )
            subscriber.giving_up.set()
        subscriber.intake.again()
        log.warning(
            "flow restarted",
            flow=request.flow,
            actor=request.actor,
            reason=request.reason,
            give_up_unreadable=request.give_up_unreadable,
        )
        return RestartedFlow(request.flow, subscriber.stopped)
