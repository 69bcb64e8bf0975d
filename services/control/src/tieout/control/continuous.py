"""The proof that nobody asked for: every two seconds, so that a new disagreement is known seconds after its watermark.

Under load a question at the newest mark would nearly always find something on the way. So marks are kept as candidates:
once every consumer of a measure has confirmed past one, the books must be equal up to there, and are compared there,
however long the backlog above it is. What differs then is never in flight.
"""

import asyncio
import collections
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog
from msgspec import Struct
from tieout.contracts.agreement import MEASURES, Measure
from tieout.contracts.control import Difference
from tieout.contracts.streams import stream_of
from tieout.control import disagreements
from tieout.control.calm import rest
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain import agreement as rules
from tieout.control.domain.agreement import Floor
from tieout.control.drill import Drill, Finding
from tieout.control.proof import Prover
from tieout.control.totals import Told, Totals, totals
from tieout.servicekit import Database

log = structlog.get_logger(__name__)

CANDIDATES_MAX = 32


class Candidate(Struct, frozen=True):
    """A mark of one producer: what was closed and published then."""

    taken: float  # Monotonic seconds.
    at: datetime
    position: int
    sequence: int


class Continuous:
    """One per process; replicas may prove side by side, what they note is the same."""

    def __init__(
        self, colleagues: Colleagues, prover: Prover, seconds: float, measures: Sequence[Measure] = MEASURES
    ) -> None:
        self._colleagues = colleagues
        self._prover = prover
        self._seconds = seconds
        self._measures = measures
        self._candidates: dict[str, collections.deque[Candidate]] = {}
        self._agreed: dict[int, Candidate] = {}
        self._began = time.monotonic()
        self._differing: dict[int, int] = {}
        self._last: dict[str, int] = {}  # By producer: the last position that it had given out.

    @property
    def age_seconds(self) -> float:
        """Since the youngest moment up to which all books were proved to agree; since our start while there is none."""
        now = time.monotonic()
        if len(self._agreed) < len(self._measures):
            return now - self._began
        return now - min(candidate.taken for candidate in self._agreed.values())

    @property
    def proved_at(self) -> str:
        """That moment, RFC 3339 UTC; empty before the first whole proof."""
        if len(self._agreed) < len(self._measures):
            return ""
        return min(candidate.at for candidate in self._agreed.values()).isoformat().replace("+00:00", "Z")

    async def run(self, database: Database) -> None:
        """Until cancelled. What fails is logged and tried again at the next turn; the age tells how long it has."""
        if self._seconds <= 0:
            await asyncio.Event().wait()
        database.readings["tieout.agreement.age"] = lambda: {"": round(self.age_seconds, 1)}
        database.readings["tieout.agreement.disagreements"] = lambda: {"": sum(self._differing.values())}
        complained, calm = "", False
        while True:
            await rest(database, self._seconds, calm=calm)
            calm = False
            try:
                calm = not await self.look(database)
                complained = ""
            except Unanswered as error:
                if complained != str(error):
                    complained = str(error)
                    log.warning("the proof could not ask", service=error.service, why=error.why)
            except Exception:
                log.exception("the proof failed")

    async def look(self, database: Database) -> list[Finding]:
        """One proof of all measures, each at the newest point that all of its books have reached."""
        told = await self._take_marks()
        known = [measure for measure in self._measures if self._candidates.get(measure.producer)]
        newest = {measure.number: self._candidates[measure.producer][-1] for measure in known}
        found, silent = await totals(self._colleagues, known, _positions(newest), told)
        open_ones = [measure for measure in known if measure.number in found and not found[measure.number].equal]
        # What no watermark will ever reach is no agreement, however equal the rest is.
        beyond = await self._prover.never_given_out(self._colleagues, found, self._last)
        for number, last in beyond.items():
            top = found[number]
            log.error("rows above all that was given out", measure=number, service=top.beyond, position=top.highest,
                      given_out=last, runbook="BooksDiffer")  # fmt: skip
        reached = {number: newest[number] for number, total in found.items() if total.equal}
        findings: list[Finding] = []
        if open_ones:
            findings = await self._below(open_ones, reached, database)
        reached = {number: candidate for number, candidate in reached.items() if number not in beyond}
        self._agreed |= reached
        whole = {number: candidate.position for number, candidate in reached.items()}
        whole |= {f.result.number: f.result.compared_upto for f in findings if f.compared_whole}
        self._differing |= dict.fromkeys((*reached, *beyond), 0)
        self._differing |= {f.result.number: f.result.differing + f.result.dead for f in findings}
        self._differing |= {number: self._differing.get(number, 0) + 1 for number in beyond}
        differences = [difference for finding in findings for difference in finding.differences]
        await disagreements.note(differences, whole, database, {m.number: m.name for m in self._measures})
        self._forget()
        for service in {*silent.values()}:
            raise Unanswered(service, "its books could not be compared")
        return findings

    async def _take_marks(self) -> Told:
        """Of whoever does not answer the candidates stay, and get old: the age says so."""
        marks, _, told = await self._prover.marks(self._colleagues, 0.0)
        for producer, mark in marks.items():
            self._last[producer] = mark.last_position
            queue = self._candidates.setdefault(producer, collections.deque())
            if queue and mark.position < queue[-1].position:
                queue.clear()  # Restored from a backup: what was closed then may never have been.
            sequence = mark.sequences.get(stream_of(producer), 0)
            candidate = Candidate(time.monotonic(), datetime.now(UTC), mark.position, sequence)
            if queue and queue[-1].position == mark.position and queue[-1].sequence == sequence:
                queue.pop()  # Nothing happened since: the same point, proved at a later time.
            queue.append(candidate)
            if len(queue) > CANDIDATES_MAX:  # A long backlog: coarser steps do.
                kept = [one for index, one in enumerate(queue) if index % 2 == 0 or index == len(queue) - 1]
                queue.clear()
                queue.extend(kept)
        return told

    async def _below(
        self, measures: Sequence[Measure], reached: dict[int, Candidate], database: Database
    ) -> list[Finding]:
        """Unequal at the newest mark: compare at the newest one that all consumers have confirmed; note who agrees."""
        durables = {durable for measure in measures for book in measure.books for durable in book.durables}
        floors = await self._colleagues.floors(durables)
        chosen: dict[int, Candidate] = {}
        for measure in measures:
            candidate = self._followed(measure, floors)
            if candidate is not None:
                chosen[measure.number] = candidate
        asked = [measure for measure in measures if measure.number in chosen]
        found, _ = await totals(self._colleagues, asked, _positions(chosen))
        findings = []
        for measure in asked:
            total: Totals | None = found.get(measure.number)
            if total is None:
                continue
            candidate = chosen[measure.number]
            if total.equal:
                reached[measure.number] = candidate
                continue
            drill = Drill(self._colleagues, self._prover.stalled())
            finding = await drill.explain(
                measure, candidate.position, candidate.position, floors, total.sides, True, database, 0
            )
            findings.append(finding)
            if finding.result.state != "differ":  # What waits for its partner is explained, and no disagreement.
                reached[measure.number] = candidate
            if finding.result.differing:
                log.error(
                    "books differ", measure=measure.name, events=finding.result.differing, runbook="BooksDiffer",
                    why=_first(finding.differences),
                )  # fmt: skip
        return findings

    def _followed(self, measure: Measure, floors: Mapping[str, Floor]) -> Candidate | None:
        for candidate in reversed(self._candidates[measure.producer]):
            if all(rules.caught_up(book, floors, candidate.sequence) for book in measure.books):
                return candidate
        return self._agreed.get(measure.number)  # Proved once: it has to hold for ever.

    def _forget(self) -> None:
        """Candidates that all measures of their producer have passed; the newest stays."""
        for producer, queue in self._candidates.items():
            agreed = [self._agreed.get(m.number) for m in self._measures if m.producer == producer]
            low = min((one.position if one else -1 for one in agreed), default=-1)
            while len(queue) > 1 and queue[0].position < low:
                queue.popleft()


def _positions(candidates: Mapping[int, Candidate]) -> dict[int, int]:
    return {number: candidate.position for number, candidate in candidates.items()}


def _first(differences: Sequence[Difference]) -> str:
    return f"{differences[0].cause}: {differences[0].why}" if differences else ""
