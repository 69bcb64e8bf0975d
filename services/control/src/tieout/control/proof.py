"""The proof: do the books agree, up to which point, and if not, which rows and why. docs/agreement.md tells the method.

The order of the questions makes it exact: a producer's mark first, then how far the consumers are, then the digests,
and only where they differ the rows. Nothing here trusts a clock.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from tieout.contracts.agreement import (
    MEASURES,
    Book,
    CurrencySums,
    Digest,
    DigestEntry,
    DigestRequest,
    Mark,
    Measure,
    SumsRequest,
    Violation,
    Violations,
)
from tieout.contracts.control import (
    Agreement,
    AgreementRequest,
    BookSide,
    Difference,
    FlowState,
    MeasureResult,
    Watermark,
)
from tieout.contracts.operation import Nothing
from tieout.contracts.streams import FLOW, stream_of
from tieout.control import disagreements
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain import agreement as rules
from tieout.control.domain.agreement import Floor
from tieout.control.drill import ROWS_ABOVE_WATERMARK_MAX, Drill, Finding, result_of
from tieout.servicekit import Database, sql

statements = sql.load(__file__)

POLL_SECONDS = 0.1


class Prover:
    """One per process; proofs may run side by side."""

    def __init__(self, colleagues: Colleagues, measures: Sequence[Measure] = MEASURES) -> None:
        self._colleagues = colleagues
        self._drill = Drill(colleagues)
        self._measures = measures

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
        marks, away = await self._marks(request.wait_seconds)
        try:
            floors = await self._floors(marks, request.wait_seconds - (time.perf_counter() - started))
        except Unanswered as error:
            floors, away = {}, away | {error.service}
        known = await self._watermarks(database)
        findings = await asyncio.gather(
            *(
                self._compare(measure, marks, floors, known.get(measure.number, (0, at))[0], database, rows_above_max)
                for measure in self._measures
            )
        )
        reached = await self._raise_watermarks(findings, marks, known, at, database)
        differences = [difference for finding in findings for difference in finding.differences]
        whole = [finding.result.number for finding in findings if finding.compared_whole]
        await disagreements.note(differences, whole, database)
        rules_checked, violations, silent = await self._violations(anew=request.violations)
        results = [finding.result for finding in findings]
        if currencies:
            results = await asyncio.gather(*(self._with_currencies(result) for result in results))
        unanswered = tuple(sorted(away | silent | {r.note for r in results if r.state == "unanswered"}))
        verdict = rules.verdict_of((result.state for result in results), len(violations), unanswered)
        return Agreement(
            verdict=verdict,
            sentence=rules.sentence(verdict, results, len(violations), unanswered),
            at=_text(at),
            took_ms=round((time.perf_counter() - started) * 1000, 1),
            measures=tuple(results),
            watermarks=tuple(self._tell_watermarks(marks, reached)),
            differences=await self._with_companies(differences[: request.limit], database),
            flows=tuple(_flow_state(durable, floor) for durable, floor in floors.items() if _busy(floor)),
            rules_checked=rules_checked,
            violations_found=len(violations),
            violations=tuple(violations[: request.limit]),
            unanswered=unanswered,
        )

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

    async def _marks(self, wait_seconds: float) -> tuple[dict[str, Mark], set[str]]:
        """Each producer's mark, once it covers what was given out when we first asked, or the wait is over.

        A number is closed by a later call than the one that saw it, so an idle service needs two.
        """
        producers = sorted({measure.producer for measure in self._measures})
        answers = await asyncio.gather(*(self._mark(producer, wait_seconds) for producer in producers))
        marks = {producer: mark for producer, mark in zip(producers, answers, strict=True) if mark is not None}
        return marks, set(producers) - set(marks)

    async def _mark(self, producer: str, wait_seconds: float) -> Mark | None:
        deadline = time.monotonic() + wait_seconds
        try:
            mark = await self._colleagues.ask(producer, "mark", Nothing(), Mark)
            goal = mark.last_position
            while mark.position < goal and time.monotonic() < deadline:
                await asyncio.sleep(POLL_SECONDS)
                mark = await self._colleagues.ask(producer, "mark", Nothing(), Mark)
        except Unanswered:
            return None
        return mark

    async def _floors(self, marks: Mapping[str, Mark], wait_seconds: float) -> dict[str, Floor]:
        """How far each consumer of a book is, once all have reached their mark, or the wait is over."""
        deadline = time.monotonic() + wait_seconds
        goals = {
            durable: marks[measure.producer].sequences.get(stream_of(measure.producer), 0)
            for measure in self._measures
            if measure.producer in marks
            for book in measure.books
            for durable in book.durables
        }
        floors = await self._colleagues.floors(goals)
        behind = [durable for durable, goal in goals.items() if durable in floors and floors[durable].sequence < goal]
        while behind and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            floors |= await self._colleagues.floors(behind)
            behind = [durable for durable in behind if durable in floors and floors[durable].sequence < goals[durable]]
        return floors

    async def _watermarks(self, database: Database) -> dict[int, tuple[int, datetime]]:
        async with database.read() as connection:
            return {
                row["measure"]: (row["position"], row["at"]) for row in await connection.fetch(statements.watermarks)
            }

    async def _compare(
        self,
        measure: Measure,
        marks: Mapping[str, Mark],
        floors: Mapping[str, Floor],
        watermark: int,
        database: Database,
        rows_above_max: int,
    ) -> Finding:
        mark = marks.get(measure.producer)
        if mark is None:
            return _unanswered(measure, watermark, measure.producer)
        sequence = mark.sequences.get(stream_of(measure.producer), 0)
        followed = all(rules.caught_up(book, floors, sequence) for book in measure.books)
        try:
            totals = await asyncio.gather(*(self._total(measure, book, mark.position) for book in measure.books))
            sides = tuple(
                BookSide(book.service, book.name, total.rows, total.a, total.b)
                for book, total in zip(measure.books, totals, strict=True)
            )
            if rules.totals_equal(totals):
                return Finding(result_of(measure, mark.position, mark.position, sides), caught_up=True)
            below = mark.position if followed else min(watermark, mark.position)
            return await self._drill.explain(
                measure, mark.position, below, floors, sides, followed, database, rows_above_max
            )
        except Unanswered as error:
            return _unanswered(measure, watermark, error.service)

    async def _total(self, measure: Measure, book: Book, upto: int) -> DigestEntry:
        request = DigestRequest(measure=measure.number, book=book.name, upto=upto)
        digest = await self._colleagues.ask(book.service, "digest", request, Digest)
        return digest.entries[0] if digest.entries else DigestEntry(-1, 0, 0, 0, "0")

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
                at=_text(min(moment for _, moment in agreed)) if whole else "",
                oldest_writer=mark.oldest_writer,
            )

    async def _with_currencies(self, result: MeasureResult) -> MeasureResult:
        """Sums of money per currency: equal totals of unequal money are a difference. Who cannot say is left out."""

        async def summed(side: BookSide) -> BookSide:
            request = SumsRequest(measure=result.number, book=side.book, upto=result.compared_upto)
            try:
                told = await self._colleagues.ask(side.service, "sums", request, CurrencySums, seconds=25)
            except Unanswered:
                return side
            return msgspec.structs.replace(side, currencies=told.sums)

        if not any(value.endswith("_minor") for value in result.values):
            return result
        sides = tuple(await asyncio.gather(*map(summed, result.sides)))
        result = msgspec.structs.replace(result, sides=sides)
        if result.state == "agree" and not rules.same_money(sides):
            return msgspec.structs.replace(result, state="differ", note="the same in all, but not in each currency")
        return result

    async def _violations(self, *, anew: bool) -> tuple[int, list[tuple[str, Violation]], set[str]]:
        """Each kept balance against its own facts: how many rules, what breaks them, and who did not answer.

        Not anew: what the services' own scrubs found last, which costs them nothing.
        """
        verb = "violations" if anew else "findings"
        services = sorted({book.service for measure in self._measures for book in measure.books})

        async def asked(service: str) -> Violations | None:
            try:
                return await self._colleagues.ask(service, verb, Nothing(), Violations, seconds=25 if anew else None)
            except Unanswered:
                return None

        answers = await asyncio.gather(*(asked(service) for service in services))
        found: list[tuple[str, Violation]] = []
        checked = 0
        silent = set()
        for service, answer in zip(services, answers, strict=True):
            if answer is None:
                silent.add(service)
                continue
            checked += len(answer.rules)
            found += [(service, violation) for violation in answer.violations]
        return checked, found, silent


def _unanswered(measure: Measure, watermark: int, service: str) -> Finding:
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


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
