"""The proof: do the books agree, up to which point, and if not, which rows and why. docs/agreement.md tells the method.

Each producer's mark first, then the totals up to it: where they are equal, that is the proof, in two small requests per
service. Only where they are not, the order of the questions makes it exact: how far the consumers are, then the digests
again, level by level. Nothing here trusts a clock.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct
from tieout.contracts.agreement import (
    MEASURES,
    CurrencySums,
    Mark,
    MarkAnswer,
    MarkRequest,
    Measure,
    SumsRequest,
    TotalsRequest,
    Unchecked,
    Violation,
    Violations,
    ViolationsRequest,
)
from tieout.contracts.control import (
    Agreement,
    AgreementRequest,
    BookSide,
    Difference,
    FlowState,
    MeasureResult,
    MissingStream,
    SilentService,
    Watermark,
)
from tieout.contracts.operation import Nothing
from tieout.contracts.streams import FLOW, stream_of
from tieout.contracts.watch import LeafSite
from tieout.control import disagreements
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain import agreement as rules
from tieout.control.domain.agreement import Floor
from tieout.control.domain.sites import troubled, with_sites
from tieout.control.domain.verdicts import sentence
from tieout.control.drill import ROWS_ABOVE_WATERMARK_MAX, Drill, Finding, result_of
from tieout.control.findings import beyond, of_digests, one_row_many_books
from tieout.control.totals import Standing, Told, Totals, hear, questions, totals
from tieout.servicekit import Database, sql
from tieout.servicekit.findings import HAND_RULES
from tieout.servicekit.instants import written

statements = sql.load(__file__)

POLL_SECONDS = 0.1
BY_HAND = {*HAND_RULES, "settings_are_logged"}
# A large book that is read for the first time since its service started goes on being read, and is quick next time.
SUMS_SECONDS_MAX = 8.0
RULES_SECONDS_MAX = 12.0


class _Checked(Struct):
    """What the services say of their own balances."""

    rules: int
    at: str  # Of the oldest look; "" where there was none.
    violations: list[tuple[str, Violation]]
    unchecked: list[tuple[str, Unchecked]]
    mute: set[str]
    under_way: tuple[str, ...]  # A newer look goes on.
    unknown: tuple[str, ...]  # The look failed, or there was none yet.
    unlooked: tuple[str, ...]  # Only asked what was found last, and nothing has looked since they started.


class Prover:
    """One per process; proofs may run side by side."""

    def __init__(self, colleagues: Colleagues, measures: Sequence[Measure] = MEASURES) -> None:
        self._colleagues = colleagues
        self._measures = measures
        self.standing = Standing()
        self.stalled: Callable[[], Mapping[str, float]] = dict  # Seconds by durable; the watch knows.
        self.missing_streams: Callable[[], Awaitable[tuple[MissingStream, ...]]] = _none_missing

    async def prove(
        self,
        request: AgreementRequest,
        database: Database,
        *,
        rows_above_max: int = ROWS_ABOVE_WATERMARK_MAX,
        currencies: bool = True,
    ) -> Agreement:
        """`rows_above_max`: how much of a backlog to explain event by event; what is above it is counted.

        `currencies`: also ask for the sums of each currency, for those who read the answer.
        """
        started = time.perf_counter()
        at = datetime.now(UTC)
        asking = self._colleagues.counting()
        looking = asyncio.create_task(self._rules(anew=request.violations))
        looking_for_streams = asyncio.create_task(self._streams_gone())
        looking_at_sites = asyncio.create_task(self._sites(at))
        marks, away, told = await self.marks(asking, request.wait_seconds)
        uptos = {
            measure.number: marks[measure.producer].position for measure in self._measures if measure.producer in marks
        }
        found, silent = await totals(asking, self._measures, uptos, told)
        given_out = {producer: mark.last_position for producer, mark in marks.items()}
        never_given_out = await self.never_given_out(asking, found, given_out)
        unequal = [m for m in self._measures if m.number in found and not found[m.number].equal]
        floors: dict[str, Floor] = {}
        if unequal:  # Now it matters who has got how far; what is asked after the answer is exact.
            try:
                rest = request.wait_seconds - (time.perf_counter() - started)
                floors = await self._floors(asking, unequal, marks, rest)
            except Unanswered as error:
                away |= {error.service}
        known = await self._watermarks(database)
        silent |= {m.number: m.producer for m in self._measures if m.producer not in marks}
        drill = Drill(asking, self.stalled())
        findings = await asyncio.gather(
            *(
                _unanswered(measure, known.get(measure.number, (0, at))[0], silent[measure.number])
                if measure.number in silent
                else self._compare(
                    measure,
                    found[measure.number],
                    marks[measure.producer],
                    floors,
                    known.get(measure.number, (0, at))[0],
                    drill,
                    database,
                    rows_above_max,
                )
                for measure in self._measures
            )
        )
        findings = [
            beyond(finding, found[finding.result.number], never_given_out)
            if finding.result.number in never_given_out
            else finding
            for finding in findings
        ]
        findings = one_row_many_books(findings, self._measures)
        requests, answer_bytes = asking.requests, asking.answer_bytes
        reached = await self._raise_watermarks(findings, marks, known, at, database)
        differences = [difference for finding in findings for difference in finding.differences]
        whole = {f.result.number: f.result.compared_upto for f in findings if f.compared_whole}
        await disagreements.note(differences, whole, database)
        results = [finding.result for finding in findings]
        if currencies and request.currencies:
            results = await asyncio.gather(*(self._with_currencies(result) for result in results))
        checked = await looking
        results = [
            of_digests(result, measure, finding.hidden, checked.violations)
            for result, measure, finding in zip(results, self._measures, findings, strict=True)
        ]
        unanswered = tuple(sorted(away | checked.mute | {r.note for r in results if r.state == "unanswered"}))
        unpublished = sum(mark.unpublished for mark in marks.values())
        gone = await looking_for_streams
        violations = checked.violations
        verdict = rules.verdict_of(
            (result.state for result in results),
            len(violations),
            (*unanswered, *checked.unknown, *(service for service, _ in checked.unchecked)),
            unpublished,
        )
        words, words_zh = sentence(
            verdict,
            results,
            len(violations),
            unanswered,
            unpublished,
            unchecked=checked.unknown,
            unlooked=checked.unlooked,
            given_up=[f"{service} {one.rule}" for service, one in checked.unchecked],
            by_hand=sum(one.rule in BY_HAND for _, one in violations),
            missing_streams=[one.stream for one in gone],
        )
        sites = await looking_at_sites
        words, words_zh = with_sites((words, words_zh), sites)
        return Agreement(
            verdict=verdict,
            sentence=words,
            sentence_zh=words_zh,
            at=written(at),
            took_ms=round((time.perf_counter() - started) * 1000, 1),
            measures=tuple(results),
            watermarks=tuple(self._tell_watermarks(marks, reached)),
            differences=await self._with_companies(differences[: request.limit], database),
            flows=tuple(_flow_state(durable, floor) for durable, floor in floors.items() if _busy(floor)),
            rules_checked=checked.rules,
            rules_at=checked.at,
            rules_under_way=checked.under_way,
            rules_unchecked=tuple(checked.unchecked),
            violations_found=len(violations),
            violations=tuple(violations[: request.limit]),
            unanswered=unanswered,
            causes=tuple(cause for finding in findings for cause in finding.causes),
            requests=requests,
            answer_bytes=answer_bytes,
            missing_streams=gone,
            silent=tuple(map(self._silent, unanswered)),
            sites=sites,
        )

    async def _streams_gone(self) -> tuple[MissingStream, ...]:
        try:
            return await self.missing_streams()
        except Unanswered:
            return ()  # Who cannot ask the broker hears nothing of the services either, and that is told.

    def _silent(self, service: str) -> SilentService:
        return SilentService(service, written(self._colleagues.heard_at.get(service)))

    async def _sites(self, at: datetime) -> tuple[LeafSite, ...]:
        """Whose sales may be missing at the source, where no comparison of books can find them."""
        try:
            return troubled(await self._colleagues.sites(), at)
        except Unanswered:
            return ()  # Told as any silence of the gateway: it is asked for its mark as well.

    async def _with_companies(self, differences: Sequence[Difference], database: Database) -> tuple[Difference, ...]:
        """A number alone does not tell whose order it is."""
        if not differences:
            return ()
        async with database.read() as connection:
            rows = await connection.fetch(statements.companies, sorted({one.order_no for one in differences}))
        known = {(str(row["chain_id"]), row["order_no"]): row["company"] for row in rows}
        return tuple(
            msgspec.structs.replace(one, company=known.get((one.chain_id, one.order_no), "")) for one in differences
        )

    async def marks(self, asking: Colleagues, wait_seconds: float) -> tuple[dict[str, Mark], set[str], Told]:
        """Each producer's mark, once it covers what was given out when we first asked, or the wait is over; who did
        not answer; and the totals up to the marks of those that stood still.

        A number is closed by a later call than the one that saw it, so an idle service needs two.
        """
        producers = sorted({measure.producer for measure in self._measures})
        told: Told = {}
        first = questions(self._measures, self.standing.uptos(self._measures), told)
        answers = await asyncio.gather(
            *(_mark(asking, producer, wait_seconds, first.get(producer), told) for producer in producers)
        )
        marks = {producer: mark for producer, mark in zip(producers, answers, strict=True) if mark is not None}
        for producer, mark in marks.items():
            self.standing.saw(producer, mark.position)
        return marks, set(producers) - set(marks), told

    async def never_given_out(
        self, asking: Colleagues, found: Mapping[int, Totals], given_out: Mapping[str, int]
    ) -> dict[int, int]:
        """Measures with a row above all that their producer ever gave out, and up to where that was.

        No watermark would ever reach it, so no total would ever count it. `given_out`: about when the totals were
        asked; who seems to be above is judged by a mark that is read afterwards, for whoever gives out a position has
        given it out before a book holds it.
        """
        above = {
            measure.number: measure.producer
            for measure in self._measures
            if measure.number in found and found[measure.number].highest > given_out[measure.producer]
        }
        if not above:
            return {}
        producers = sorted(set(above.values()))
        answers = await asyncio.gather(*(_mark(asking, producer, 0.0, None, {}) for producer in producers))
        last = {producer: mark.last_position for producer, mark in zip(producers, answers, strict=True) if mark}
        return {
            number: last[producer]
            for number, producer in above.items()
            if producer in last and found[number].highest > last[producer]
        }

    async def _floors(
        self, asking: Colleagues, measures: Sequence[Measure], marks: Mapping[str, Mark], wait_seconds: float
    ) -> dict[str, Floor]:
        """How far each consumer of these books is, once all have reached their mark, or the wait is over."""
        deadline = time.monotonic() + wait_seconds
        goals = {
            durable: marks[measure.producer].sequences.get(stream_of(measure.producer), 0)
            for measure in measures
            for book in measure.books
            for durable in book.durables
        }
        floors = await asking.floors(goals)
        behind = [durable for durable, goal in goals.items() if durable in floors and floors[durable].sequence < goal]
        while behind and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            floors |= await asking.floors(behind)
            behind = [durable for durable in behind if floors[durable].sequence < goals[durable]]
        return floors

    async def _watermarks(self, database: Database) -> dict[int, tuple[int, datetime]]:
        async with database.read() as connection:
            rows = await connection.fetch(statements.watermarks)
        return {row["measure"]: (row["position"], row["at"]) for row in rows}

    async def _compare(
        self,
        measure: Measure,
        found: Totals,
        mark: Mark,
        floors: Mapping[str, Floor],
        watermark: int,
        drill: Drill,
        database: Database,
        rows_above_max: int,
    ) -> Finding:
        if found.equal:
            return Finding(result_of(measure, mark.position, mark.position, found.sides), caught_up=True)
        sequence = mark.sequences.get(stream_of(measure.producer), 0)
        followed = all(rules.caught_up(book, floors, sequence) for book in measure.books)
        below = mark.position if followed else min(watermark, mark.position)
        twins = rules.twins(measure, found.entries) if followed else {}
        try:
            return await drill.explain(
                measure, mark.position, below, floors, found.sides, followed, database, rows_above_max, twins
            )
        except Unanswered as error:
            return await _unanswered(measure, watermark, error.service)

    async def _raise_watermarks(
        self,
        findings: Sequence[Finding],
        marks: Mapping[str, Mark],
        known: Mapping[int, tuple[int, datetime]],
        at: datetime,
        database: Database,
    ) -> dict[int, tuple[int, datetime]]:
        reached = dict(known)
        raised = []
        for finding in findings:
            result = finding.result
            if finding.caught_up and known.get(result.number, (-1, at))[0] != result.compared_upto:
                reached[result.number] = (result.compared_upto, at)
                raised.append((result.number, result.compared_upto, marks[result.producer].position))
        if raised:
            async with database.transaction() as tx:
                await tx.execute(statements.raise_watermarks, *map(list, zip(*raised, strict=True)))
        return reached

    def _tell_watermarks(
        self, marks: Mapping[str, Mark], reached: Mapping[int, tuple[int, datetime]]
    ) -> Iterable[Watermark]:
        for producer, mark in marks.items():
            of_measures = [reached.get(m.number) for m in self._measures if m.producer == producer]
            agreed = [entry for entry in of_measures if entry is not None]
            whole = len(agreed) == len(of_measures) and agreed
            yield Watermark(
                producer=producer,
                mark=mark.position,
                agreed=min(position for position, _ in agreed) if whole else 0,
                last_position=mark.last_position,
                at=written(min(moment for _, moment in agreed)) if whole else "",
                oldest_writer=mark.oldest_writer,
                unpublished=mark.unpublished,
                unpublished_seconds=mark.unpublished_seconds,
            )

    async def _with_currencies(self, result: MeasureResult) -> MeasureResult:
        """Sums per currency: equal totals of unequal money are a difference. Who cannot say in time is left out."""

        async def summed(side: BookSide) -> BookSide:
            request = SumsRequest(measure=result.number, book=side.book, upto=result.compared_upto)
            try:
                told = await self._colleagues.ask(side.service, "sums", request, CurrencySums, seconds=SUMS_SECONDS_MAX)
            except Unanswered:
                return side
            return msgspec.structs.replace(side, currencies=told.sums)

        if not any(value.endswith("_minor") for value in result.values):
            return result
        sides = tuple(await asyncio.gather(*map(summed, result.sides)))
        result = msgspec.structs.replace(result, sides=sides)
        if result.state == "agree" and not rules.same_money(sides):
            note, note_zh = "the same in all, but not in each currency", "合计相同，但分币种不同"
            return msgspec.structs.replace(result, state="differ", note=note, note_zh=note_zh)
        return result

    async def _rules(self, *, anew: bool) -> "_Checked":
        """Each kept balance against its own facts. Not anew: what the services' own scrubs found last, which costs them
        nothing; so it is told as well of books that are too large to be read while somebody waits."""
        # Control holds no book of a measure; but who edits its tickets or its repairs' course by hand is told as well.
        services = sorted({"control", *(book.service for measure in self._measures for book in measure.books)})

        async def asked(service: str) -> Violations | None:
            try:
                if not anew:
                    return await self._colleagues.ask(service, "findings", Nothing(), Violations)
                request, seconds = ViolationsRequest(RULES_SECONDS_MAX), RULES_SECONDS_MAX + 5
                return await self._colleagues.ask(service, "violations", request, Violations, seconds=seconds)
            except Unanswered:
                return None

        answers = dict(zip(services, await asyncio.gather(*map(asked, services)), strict=True))
        told = {service: answer for service, answer in answers.items() if answer is not None}
        never = {service for service, answer in told.items() if not answer.at}
        unknown = tuple(service for service, one in told.items() if one.failed or (anew and service in never))
        return _Checked(
            rules=sum(len(answer.rules) for answer in told.values()),
            at="" if any(not answer.at for answer in told.values()) else min((a.at for a in told.values()), default=""),
            violations=[(service, one) for service, answer in told.items() for one in answer.violations],
            unchecked=[(service, one) for service, answer in told.items() for one in answer.unchecked],
            mute=set(answers) - set(told),
            under_way=tuple(service for service, answer in told.items() if answer.under_way),
            unknown=unknown,
            unlooked=tuple(service for service in told if service in never and service not in unknown),
        )


async def _none_missing() -> tuple[MissingStream, ...]:
    return ()


async def _mark(
    asking: Colleagues, producer: str, wait_seconds: float, first: TotalsRequest | None, told: Told
) -> Mark | None:
    """`first`: totals that are asked for with it; their answer goes into `told`."""
    deadline = time.monotonic() + wait_seconds
    try:
        answer = await asking.ask(producer, "mark", MarkRequest(first), MarkAnswer)
        if first is not None and answer.digest is not None:
            hear(told, producer, first, answer.digest)
        mark: Mark = answer
        goal = mark.last_position
        while mark.position < goal and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            mark = await asking.ask(producer, "mark", Nothing(), Mark)
    except Unanswered:
        return None
    return mark


async def _unanswered(measure: Measure, watermark: int, service: str) -> Finding:
    result = result_of(measure, watermark, watermark, (), state="unanswered", note=service)
    return Finding(result, compared_whole=False)


def _busy(floor: Floor) -> bool:
    return bool(floor.waiting or floor.unacked)


def _flow_state(durable: str, floor: Floor) -> FlowState:
    return FlowState(
        durable=durable,
        stream=FLOW[durable].stream,
        waiting=floor.waiting,
        unacked=floor.unacked,
        floor=floor.confirmed,
    )
