"""Preview, do, prove: what mends the differences that a proof finds, and who asked for it.

A preview is a proof with a plan; its token is a hash of what it shows and of what the books hold there, so that only
what was shown is done. Each step is noted before it is done and closed after the proof that follows; a step that ends
without proof says so.
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
from msgspec.structs import astuple, replace
from tieout.contracts.agreement import (
    MEASURES,
    HeldLine,
    Measure,
    PublishAgainRequest,
    PublishedAgain,
    Rebooked,
    RebookRequest,
    RestartedFlow,
    RestartFlowRequest,
    Violation,
    Violations,
    ViolationsRequest,
)
from tieout.contracts.control import Agreement, AgreementRequest, Difference, Verdict
from tieout.contracts.repair import (
    RepairPreview,
    RepairPreviewRequest,
    RepairRequest,
    RepairResult,
    RepairResults,
    RepairsRequest,
    RepairStep,
)
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain.repairs import held, plan, selection, why_by_a_person
from tieout.control.proof import Prover
from tieout.control.replay.mending import Mending
from tieout.servicekit import ACTOR, Database, Refused, sql

statements = sql.load(__file__)
CLOCKS_APART = timedelta(seconds=5)  # A look at large books rests longer than that.

LOOKED_AT = AgreementRequest(wait_seconds=2.0, violations=False, limit=1000, currencies=False)
REPLAYED = ("replay", "resubmit")
PROVED_SECONDS = (0.3, 1.0, 3.0)  # Consumers need a moment to handle what was published or asked for again.


class Repairs:
    def __init__(
        self, colleagues: Colleagues, prover: Prover, mending: Mending, measures: Sequence[Measure] = MEASURES
    ) -> None:
        self._colleagues = colleagues
        self._prover = prover
        self._mending = mending
        self._measures = {measure.name: measure for measure in measures}

    async def preview(self, request: RepairPreviewRequest, database: Database) -> RepairPreview:
        """Raises Refused for an unknown measure."""
        return (await self._look(request, database))[0]

    async def _look(
        self, request: RepairPreviewRequest, database: Database
    ) -> tuple[RepairPreview, Sequence[Difference]]:
        """The preview, and all differences that it is made of."""
        if request.measure and request.measure not in self._measures:
            known = ", ".join(self._measures)
            raise Refused("invalid", f"There is no measure {request.measure!r}; there are: {known}.", field="measure")
        answer = await self._prover.prove(LOOKED_AT, database)
        chosen = [difference for difference in answer.differences if _wanted(difference, request)]
        steps = tuple([await self._rehearsed(s, database) for s in plan(chosen, self._measures, request.limit)])
        verdict = _verdict(answer, request, steps)
        told = _sentence(answer, steps, verdict)
        token = self._token(steps, answer.differences) if steps else ""
        return RepairPreview(steps, told, token, verdict, answer.unanswered), chosen

    async def _rehearsed(self, step: RepairStep, database: Database) -> RepairStep:
        """A step that runs events again says what would come of it; one that would mend nothing is not run."""
        if step.repair not in REPLAYED:
            return step
        told = await self._mending.rehearse(selection(step, self._measures[step.measure]), database)
        words = "" if told.helps else why_by_a_person(step, told.would, told.trouble)
        return replace(step, would=told.would, effects=told.effects, runs=told.helps, words=words)

    async def run(self, request: RepairRequest, database: Database) -> RepairResults:
        """Raises Refused where the differences are no longer those that were previewed."""
        asked = RepairPreviewRequest(request.order_no, request.cause, request.measure, request.limit)
        preview, chosen = await self._look(asked, database)
        if preview.token != request.token:
            raise Refused(
                "conflict",
                "The differences or their values are not those that were previewed any more. Preview again.",
                field="token",
                status=409,
            )
        actor = ACTOR.get() or "control"
        begun = [await self._begin(step, actor, request.reason, database) for step in preview.steps]
        told = [
            await self._do(step, one, request, chosen, database) for step, one in zip(preview.steps, begun, strict=True)
        ]
        standing = await self._prove(preview.steps, database)
        broken = {step.service: await self._broken_rules(step) for step in preview.steps if step.book}
        results = []
        for step, one, (done, text, replay) in zip(preview.steps, begun, told, strict=True):
            left = sorted(set(step.positions) & standing[step.measure])
            rules = broken.get(step.service, "") if step.book else ""
            state = "failed" if not done else "not_proved" if left or rules else "proved"
            why = text if not left else f"{text}; {len(left)} of {step.events} events still differ"
            why += f"; {rules}" if rules else ""
            async with database.transaction() as tx:
                await tx.execute(statements.end, one.repair_id, state, why)
            results.append(replace(one, state=state, told=why, replay=replay))
        proved = sum(result.state == "proved" for result in results)
        return RepairResults(tuple(results), f"{proved} of {len(results)} repairs are proved.")

    def _token(self, steps: Sequence[RepairStep], differences: Sequence[Difference]) -> str:
        """Without what moves by itself: how long something waits does not make it another repair."""
        content = [
            (s.measure, s.cause, s.repair, s.positions, s.runs, s.would, s.effects, self._values(s, differences))
            for s in steps
        ]
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]

    def _values(self, step: RepairStep, differences: Sequence[Difference]) -> Sequence[object]:
        """What every book holds where a step changes something: of all its events, not only of those shown.

        One table may fill the books of several measures, and what a hand did to it is reversed in each of them.
        """
        if step.repair == "wait":
            return ()
        rebooks, producer = step.repair == "reverse_and_rebook", self._measures[step.measure].producer
        positions = set(step.positions)
        return sorted(
            (one.measure, one.position, one.line_no, one.currency, [astuple(s) for s in one.sides])
            for one in differences
            if one.position in positions
            and (
                one.name == step.measure
                or (rebooks and one.service == step.service and self._measures[one.name].producer == producer)
            )
        )

    async def list(self, request: RepairsRequest, database: Database) -> RepairResults:
        async with database.read() as connection:
            rows = await connection.fetch(statements.newest, request.order_no, request.limit)
        names = {measure.number: measure.name for measure in self._measures.values()}
        return RepairResults(
            tuple(
                RepairResult(
                    repair_id=str(row["repair_id"]),
                    at=_text(row["at"]),
                    measure=names.get(row["measure"], str(row["measure"])),
                    cause=msgspec.json.decode(row["preview"], type=RepairStep).cause,
                    repair=row["kind"],
                    order_nos=tuple(row["order_nos"]),
                    actor=row["actor"],
                    reason=row["reason"],
                    state=row["state"],
                    told=row["told"],
                )
                for row in rows
            )
        )

    async def _begin(self, step: RepairStep, actor: str, reason: str, database: Database) -> RepairResult:
        """Noted before anything is done: a process that dies in between leaves a repair that is still `running`."""
        identity = uuid4()
        async with database.transaction() as tx:
            at = await tx.fetchval(
                statements.begin,
                identity,
                step.repair,
                self._measures[step.measure].number,
                list(step.positions),
                list(step.order_nos),
                actor,
                reason,
                msgspec.json.encode(step),
            )
        return RepairResult(
            str(identity), _text(at), step.measure, step.cause, step.repair, step.order_nos, actor, reason, "running"
        )

    async def _do(
        self,
        step: RepairStep,
        begun: RepairResult,
        request: RepairRequest,
        chosen: Sequence[Difference],
        database: Database,
    ) -> tuple[bool, str, int]:
        """Whether it was done, what there is to say, and the replay that did it.

        Waiting is always done; words for people never are.
        """
        try:
            if step.repair in REPLAYED and step.runs:
                ran = await self._mending.run(selection(step, self._measures[step.measure]), request.reason, database)
                return ran.state == "succeeded", f"replay {ran.replay}: {ran.sentence or ran.state}", ran.replay
            return (*await self._do_at_once(step, begun, request, held(step, chosen)), 0)
        except Unanswered as error:
            return False, str(error), 0
        except Refused as refusal:
            return False, refusal.problem.detail, 0

    async def _do_at_once(
        self, step: RepairStep, begun: RepairResult, request: RepairRequest, previewed: tuple[HeldLine, ...]
    ) -> tuple[bool, str]:
        measure = self._measures[step.measure]
        ask = self._colleagues.ask
        if step.repair == "wait":
            return True, "waited"
        if not step.runs:
            return False, f"not done here: {step.words}"
        if step.repair == "restart_flow":
            asked = RestartFlowRequest(step.flow, begun.actor, request.reason)
            flow = await ask(step.service, "restart_flow", asked, RestartedFlow)
            return True, f"{flow.flow} asks for its messages anew" + (", but its code fails" if flow.stopped else "")
        if step.repair == "publish_again":
            again = await ask(
                measure.producer, "publish_again", PublishAgainRequest(step.positions), PublishedAgain, seconds=20
            )
            lost = f"; {len(again.unknown)} are no longer in the outbox" if again.unknown else ""
            return not again.unknown, f"{again.messages} messages published again{lost}"
        rebook = RebookRequest(
            measure.number,
            step.book,
            step.positions,
            begun.repair_id,
            begun.actor,
            request.reason,
            previewed,
            step.surplus,
        )
        rebooked = await ask(step.service, "rebook", rebook, Rebooked, seconds=20)
        told = f"{rebooked.rows} correcting facts in {', '.join(rebooked.books) or 'no book'}"
        if rebooked.changed:
            told += f"; {len(rebooked.changed)} events are no longer as previewed (another step mended them, or "
            told += "somebody changed them): left alone"
        return True, told

    async def _broken_rules(self, step: RepairStep) -> str:
        """Balance rules read the edited rows themselves: what they still find is told, and is no success."""
        fresh = (datetime.now(UTC) - CLOCKS_APART).isoformat()
        try:
            found = await self._colleagues.ask(
                step.service, "violations", ViolationsRequest(20.0), Violations, seconds=25
            )
        except Unanswered as error:
            return f"its balances could not be checked: {error}"
        if found.under_way or found.at < fresh:  # Of before the repair: large books are not read again at once.
            return "its balances are still being checked: ask for the agreement in a while"
        names = sorted({violation.rule for violation in found.violations if _concerns(violation, step)})
        if not names and found.unchecked:
            return f"of {step.service} is not checked: {', '.join(one.rule for one in found.unchecked)}"
        if not names:
            return ""
        if step.surplus:
            owner = "its owner has to take the row out, and to say why: CALL trust_touched('TABLE', 'who wrote it')"
        else:
            owner = "its owner has to put the row back as `tamper` has it"
        return (
            f"{step.service} still breaks {', '.join(names)}: {owner}; then run the repair once more, for the "
            "correction stands beside the row"
        )

    async def _prove(self, steps: Sequence[RepairStep], database: Database) -> dict[str, set[int]]:
        """Positions per measure that still differ; asked again while some do, for what was sent needs a moment."""
        wanted = {(step.measure, position) for step in steps for position in step.positions}
        standing: dict[str, set[int]] = {}
        for pause in PROVED_SECONDS:
            await asyncio.sleep(pause)
            answer = await self._prover.prove(LOOKED_AT, database)
            unsaid = {result.name for result in answer.measures if result.state == "unanswered"}
            standing = {step.measure: set() for step in steps}
            for difference in answer.differences:
                if difference.name in standing:
                    standing[difference.name].add(difference.position)
            for step in steps:
                if step.measure in unsaid:
                    standing[step.measure].update(step.positions)
            if not any(position in standing[measure] for measure, position in wanted):
                break
        return standing


def _concerns(violation: Violation, step: RepairStep) -> bool:
    """Broken rules name an order, or the position of an event; triggers and digests concern every repair."""
    if violation.rule in ("triggers_armed", "digest_is_rows"):
        return True
    text = f"{violation.key} {violation.detail}"
    orders = "|".join(map(re.escape, step.order_nos)) or "(?!)"
    positions = "|".join(map(str, step.positions))
    return re.search(rf'\b({orders})\b|position"?:? ({positions})\b', text) is not None


def _wanted(difference: Difference, request: RepairPreviewRequest) -> bool:
    return (
        request.order_no in ("", difference.order_no)
        and request.cause in ("", difference.cause)
        and request.measure in ("", difference.name)
    )


def _verdict(answer: Agreement, request: RepairPreviewRequest, steps: Sequence[RepairStep]) -> Verdict:
    """Who asked for a part is told of that part, but nobody knows of any while a service is silent."""
    if steps:
        return "differ"
    if request.order_no or request.cause or request.measure:
        return "open" if answer.unanswered else "agree"
    return answer.verdict


def _sentence(answer: Agreement, steps: Sequence[RepairStep], verdict: Verdict) -> str:
    silent = f" No answer from {', '.join(answer.unanswered)}: there may be more." if answer.unanswered else ""
    if not steps:
        # Whatever is not of one event has no step; what it is, the agreement says.
        whole = verdict != "agree" or answer.verdict == "agree"
        return answer.sentence if whole else "Nothing of what was asked for differs."
    events = sum(step.events for step in steps)
    by_hand = sum(not step.runs for step in steps)
    rest = f", {by_hand} of them by a person" if by_hand else ""
    return f"{events} events to mend in {len(steps)} steps{rest}.{silent}"


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
