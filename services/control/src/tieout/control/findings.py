"""What the comparison of one measure found, told again where more is known: by other measures, by a book's own scrub,
or by what its producer has given out."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from tieout.contracts.agreement import Measure, Violation
from tieout.contracts.control import CauseCount, Difference, MeasureResult
from tieout.control.drill import Finding
from tieout.control.totals import Totals

DIGEST_RULE = "digest_is_rows"


def one_row_many_books(findings: Sequence[Finding], measures: Sequence[Measure]) -> list[Finding]:
    """A row that no event has counts in every book of its table; a measure of three books tells of all."""
    producers = {measure.number: measure.producer for measure in measures}
    known = {
        (producers[one.measure], one.position, one.line_no, one.service): one
        for finding in findings
        for one in finding.differences
        if one.surplus
    }
    return [_as_known(finding, producers, known) for finding in findings] if known else list(findings)


def of_digests(
    result: MeasureResult, measure: Measure, hidden: int, violations: Iterable[tuple[str, Violation]]
) -> MeasureResult:
    """Totals that differ while no row does are no events of other values: whose digest it is, its own scrub tells."""
    if not hidden:
        return result
    forged = {(service, one.key.split(",")[0]) for service, one in violations if one.rule == DIGEST_RULE}
    named = [book for book in measure.books if (book.service, book.name) in forged]
    where = ", ".join(dict.fromkeys(book.service for book in named))
    either = " or ".join(dict.fromkeys(book.service for book in measure.books))
    told = f"a digest that is not its rows, in {where or f'{either}: its own rules have not been checked yet'}"
    told += f" ({DIGEST_RULE})" if where else ""
    whose_zh = where or f"{either.replace(' or ', ' 或 ')}（各自的规则尚未检查）"
    told_zh = f"{whose_zh} 的摘要与其明细不符" + (f"（{DIGEST_RULE}）" if where else "")
    return msgspec.structs.replace(_noted(result, told, told_zh), digests=hidden)


def _noted(result: MeasureResult, told: str, told_zh: str) -> MeasureResult:
    """With a note more, in both languages."""
    note = "; ".join(filter(None, (result.note, told)))
    return msgspec.structs.replace(result, note=note, note_zh="；".join(filter(None, (result.note_zh, told_zh))))


def beyond(finding: Finding, totals: Totals, never_given_out: Mapping[int, int]) -> Finding:
    result = finding.result
    last = never_given_out[result.number]
    told = (
        f"{totals.beyond} holds rows up to position {totals.highest}, but {result.producer} has given out none above "
        f"{last}: written by hand, or {result.producer} was restored from a backup"
    )
    told_zh = (
        f"{totals.beyond} 的记录位置达到 {totals.highest}，而 {result.producer} 只发出到 {last}："
        f"系手工写入，或 {result.producer} 由备份恢复"
    )
    result = _noted(result, told, told_zh)
    result = msgspec.structs.replace(result, state="differ", differing=result.differing + 1)
    return Finding(
        result, finding.differences, finding.causes, caught_up=False, compared_whole=False, hidden=finding.hidden
    )


def _as_known(
    finding: Finding, producers: Mapping[int, str], known: Mapping[tuple[str, int, int, str], Difference]
) -> Finding:
    told: list[Difference] = []
    moved: set[int] = set()
    for one in finding.differences:
        holders = [side.service for side in one.sides if side.present]
        same = known.get((producers[one.measure], one.position, one.line_no, holders[0])) if len(holders) == 1 else None
        if same is not None and one.cause == "unknown":
            moved.add(one.position)
            one = msgspec.structs.replace(
                one,
                cause=same.cause,
                why=same.why,
                why_zh=same.why_zh,
                flow="",
                repair=same.repair,
                service=same.service,
                surplus=True,
            )
        told.append(one)
    moved -= {
        one.position for one in told if one.cause == "unknown"
    }  # Counted by event: another line is still unknown.
    if not moved:
        return msgspec.structs.replace(finding, differences=tuple(told))
    left = len(moved)
    causes: list[CauseCount] = []
    for count in finding.causes:
        fewer = min(left, count.events) if count.cause == "unknown" else 0
        left -= fewer
        if fewer:
            causes.append(
                msgspec.structs.replace(
                    count, cause="edited_by_hand", events=fewer, flow="", repair="reverse_and_rebook"
                )
            )
        if count.events > fewer:
            causes.append(msgspec.structs.replace(count, events=count.events - fewer))
    return msgspec.structs.replace(finding, differences=tuple(told), causes=tuple(causes))
