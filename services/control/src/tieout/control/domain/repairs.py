"""Which repair fits which difference. Pure: differences in, steps out."""

from collections.abc import Mapping, Sequence

from tieout.contracts.agreement import HeldLine, Measure
from tieout.contracts.control import Cause, Difference, RepairKind
from tieout.contracts.repair import RepairStep
from tieout.contracts.replay import INTAKE, OutcomeCount, Selection
from tieout.contracts.streams import FLOW, stream_of

SHOWN = 5  # Differences of a step that a preview shows with both values.
ORDERS_IN_WORDS = 20

Group = tuple[str, Cause, str, str, str, bool]  # measure, cause, flow, service, book, surplus


def plan(differences: Sequence[Difference], measures: Mapping[str, Measure], events_max: int) -> tuple[RepairStep, ...]:
    """One step per measure, cause and place; each event once, at most `events_max` of them per step."""
    groups: dict[Group, list[Difference]] = {}
    for difference in differences:
        service, book = _place(difference, measures[difference.name])
        group = (difference.name, difference.cause, difference.flow, service, book, difference.surplus)
        groups.setdefault(group, []).append(difference)
    return tuple(_step(group, found, events_max) for group, found in groups.items())


def _place(difference: Difference, measure: Measure) -> tuple[str, str]:
    """Whose books or outbox a repair works on. Of an edit by hand: the service that its evidence names."""
    if difference.service:
        return difference.service, next((b.name for b in measure.books if b.service == difference.service), "")
    if difference.flow in FLOW:
        return FLOW[difference.flow].service, ""
    return measure.producer, ""


def _step(group: Group, found: Sequence[Difference], events_max: int) -> RepairStep:
    measure, cause, flow, service, book, surplus = group
    positions = sorted({difference.position for difference in found})[:events_max]
    told = [difference for difference in found if difference.position in set(positions)]
    orders = tuple(sorted({difference.order_no for difference in told} - {""}))
    repair: RepairKind = told[0].repair or "replay"
    if surplus:
        runs, title, title_zh, words = _taken_out(service, book)
    else:
        runs, title, title_zh, words = _words(cause, repair, flow, service, orders, len(positions))
    return RepairStep(
        measure=measure,
        cause=cause,
        repair=repair,
        events=len(positions),
        positions=tuple(positions),
        order_nos=orders,
        runs=runs,
        title=title,
        title_zh=title_zh,
        words=words,
        flow=flow,
        service=service,
        book=book,
        why=told[0].why,
        differences=tuple(told[:SHOWN]),
        surplus=surplus,
    )


def held(step: RepairStep, differences: Sequence[Difference]) -> tuple[HeldLine, ...]:
    """What the book that a step corrects held when it was previewed, of all its events."""
    positions = set(step.positions)
    return tuple(
        HeldLine(one.position, one.line_no, side.present, side.a, side.b)
        for one in differences
        if one.name == step.measure and one.position in positions and one.surplus == step.surplus
        for side in one.sides
        if (side.service, side.book) == (step.service, step.book)
    )


def selection(step: RepairStep, measure: Measure) -> Selection:
    """The replay that a step means. Of a source it is all that the source hears of these orders."""
    if step.repair == "resubmit":
        return Selection(order_nos=step.order_nos, step=INTAKE if step.service == "gateway" else step.service)
    consumers = [durable for book in measure.books for durable in book.durables]
    return Selection(
        stream=stream_of(measure.producer),
        positions=step.positions,
        letters=step.cause == "dead",
        step=step.flow or consumers[0],
    )


def why_by_a_person(step: RepairStep, would: Sequence[OutcomeCount], trouble: str) -> str:
    """What has to be done where the dry run says that a replay mends nothing."""
    numbers = " ".join(step.order_nos[:ORDERS_IN_WORDS])
    if trouble:
        return f"nobody knows what it would do: {trouble}"
    if not would and step.repair == "resubmit":
        return f"{step.service} has heard nothing of {numbers}; from its source: tieout census SATELLITE FILE --fetch"
    if not would:
        return "nobody has heard of these events: their producer has to announce them again"
    failed = sorted({f"{one.reason or one.outcome} in {one.flow}" for one in would if one.outcome != "already_there"})
    if failed:
        return f"mend the cause first, it would fail again: {', '.join(failed)}"
    return (
        f"{step.flow or step.service} takes them for handled, so running them again changes nothing; its log says why"
    )


def _taken_out(service: str, book: str) -> tuple[bool, str, str, str]:
    """No log holds such a row; that nothing stood there before, the source and the other books say."""
    return (
        True,
        f"reverse in {service}'s {book} what no event has",
        f"在 {service} 的 {book} 中冲回不属于任何事件的行",
        "",
    )


def _words(
    cause: Cause, repair: RepairKind, flow: str, service: str, orders: Sequence[str], events: int
) -> tuple[bool, str, str, str]:
    """Whether `repair run` does it, its title in two languages, and what a person has to type or to do."""
    numbers = " ".join(orders[:ORDERS_IN_WORDS])
    if repair == "wait":
        return True, f"wait for {flow or 'what is on its way'}", f"等待 {flow or '在途消息'}", ""
    if repair == "restart_flow":
        words = f"if {service} is not running at all, start its process: tieout status"
        return True, f"let {flow} ask for its messages anew", f"让 {flow} 重新取消息", words
    if repair == "publish_again":
        return True, f"publish {events} events again out of {service}'s outbox", f"从 {service} 发件箱重新发布", ""
    if repair == "replay":
        return True, f"run {events} events again through {flow or 'their flows'}", f"经 {flow or '各流程'} 重放事件", ""
    if repair == "resubmit":
        what = numbers or "these orders"
        return True, f"hand {service} again what it had heard of {what}", f"向 {service} 重新提交 {what} 的单据", ""
    if cause == "edited_by_hand":
        return (
            True,
            f"reverse the edit in {service} and book again what stood there",
            f"冲回 {service} 的手工修改并重记",
            "",
        )
    words = f"reverse what stands twice with a document of its own (a credit note, a return) for {numbers}"
    return False, "reverse the second booking", "冲回重复入账", words
