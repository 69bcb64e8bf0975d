"""What is behind a difference, said so that a person believes it. Pure: the evidence comes in, a sentence goes out.

The order of the questions is the order of their certainty: a hand that the database itself has seen, a message that the
stream does not hold, a fact that its source does not have, the same fact twice. What none of them explains is unknown;
rounding is never a cause, for amounts are announced and nobody computes them again.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from tieout.contracts.agreement import WAITS_FOR_APPROVAL, Measure, Touch, Waiting
from tieout.contracts.control import Cause, RepairKind
from tieout.control.domain.agreement import BookRows, Context, Excuse, Explanation, behind, hears, surplus

STALLED_SECONDS = 15.0  # A consumer with work that has not moved for so long stands still.

REPAIRS: dict[Cause, RepairKind] = {
    "in_flight": "wait",
    "stalled": "restart_flow",
    "parked": "wait",
    "waiting_approval": "wait",
    "goods_in_return": "wait",
    "period_deferred": "wait",
    "dead": "replay",
    "lost_by_broker": "publish_again",
    "missing_at_source": "resubmit",
    "edited_by_hand": "reverse_and_rebook",
    "duplicate": "reverse_and_rebook",
    "unknown": "replay",
}


class DeadNote(Struct, frozen=True):
    """A dead letter, as control keeps it."""

    flow: str
    reason: str
    field: str
    number: int


class Evidence(Struct, frozen=True):
    """What was asked about the positions that differ; each by position."""

    touches: Mapping[int, Sequence[tuple[str, Touch]]] = {}  # With the service.
    lost: frozenset[int] = frozenset()
    waiting: Mapping[int, Waiting] = {}
    dead: Mapping[int, DeadNote] = {}
    copies: Mapping[int, tuple[str, int]] = {}  # The service, and the other position that holds the same fact.
    stalled: Mapping[str, float] = {}  # Seconds, by durable.


def explain(
    measure: Measure,
    position: int,
    excuse: Excuse,
    books: Sequence[BookRows],
    context: Context,
    evidence: Evidence,
) -> Explanation:
    if excuse == "in_flight":
        return _on_its_way(position, books, context, evidence)
    if excuse == "parked":
        return _waits(measure, evidence.waiting.get(position))
    if excuse == "dead":
        return _dead(evidence.dead.get(position))
    return _not_excused(measure, position, books, context, evidence)


def _told(cause: Cause, why: str, why_zh: str, flow: str = "", service: str = "") -> Explanation:
    return Explanation(cause, REPAIRS[cause], why, why_zh, flow, service)


def _on_its_way(position: int, books: Sequence[BookRows], context: Context, evidence: Evidence) -> Explanation:
    flow = next(
        (durable for book in books if not book.rows.get(position) for durable in behind(position, book.book, context)),
        "",
    )
    floor = context.floors.get(flow)
    if floor is None:
        return _told("stalled", f"{flow} has no consumer at the broker", f"{flow} 在消息服务器上没有消费者", flow)
    lag = floor.waiting + floor.unacked
    seconds = evidence.stalled.get(flow, 0.0)
    if seconds >= STALLED_SECONDS:
        return _told(
            "stalled",
            f"{flow} has stood still for {seconds:.0f} s with {lag} messages to go",
            f"{flow} 已停滞 {seconds:.0f} 秒,尚有 {lag} 条消息",
            flow,
        )
    return _told("in_flight", f"{flow} has {lag} messages to go", f"{flow} 尚有 {lag} 条消息待处理", flow)


def _waits(measure: Measure, waiting: Waiting | None) -> Explanation:
    flow = waiting.flow if waiting else ""
    reason = waiting.reason if waiting else "waits"
    since = waiting.since if waiting else ""
    if reason == WAITS_FOR_APPROVAL:
        return _told(
            "waiting_approval", f"in {flow} since {since}, until it is approved", f"自 {since} 起等待审批", flow
        )
    if measure.name == "returned":
        return _told("goods_in_return", f"{flow}: {reason}, since {since}", f"退货在途,自 {since} 起:{reason}", flow)
    return _told("parked", f"{flow}: {reason}, since {since}", f"{flow} 自 {since} 起等待前置单据:{reason}", flow)


def _dead(letter: DeadNote | None) -> Explanation:
    if letter is None:
        return _told("dead", "given up", "已放入死信")
    field = f" (field {letter.field})" if letter.field else ""
    return _told(
        "dead",
        f"dead letter {letter.number} of {letter.flow}: {letter.reason}{field}",
        f"{letter.flow} 的死信 {letter.number}:{letter.reason}{field}",
        letter.flow,
    )


def _not_excused(
    measure: Measure, position: int, books: Sequence[BookRows], context: Context, evidence: Evidence
) -> Explanation:
    hands = [(service, touch) for service, touch in evidence.touches.get(position, ()) if not touch.settled]
    if hands:
        service, touch = hands[0]
        when = f" at {touch.at}" if touch.at else ""
        return _told(
            "edited_by_hand",
            f"{touch.op} in {service} by {touch.who}{when}",
            f"{touch.who} 于 {touch.at} 在 {service} 中手工 {touch.op}",
            service=service,
        )
    odd = surplus(position, books)
    if odd is not None:
        return _surplus(position, odd, next(book for book in books if book is not odd))
    absent = [book for book in books if not book.rows.get(position)]
    if position in evidence.lost and any(book.book.durables for book in absent):
        sequence = context.sequences.get(position, 0)
        return _told(
            "lost_by_broker",
            f"{measure.producer}'s outbox published it as {sequence}, the stream holds something else or nothing",
            f"{measure.producer} 的发件箱显示已发布(序号 {sequence}),但消息流中不存在",
        )
    if position in evidence.copies:
        service, other = evidence.copies[position]
        return _told(
            "duplicate",
            f"{service} holds the same at position {other}, and the source has it once",
            f"{service} 在位置 {other} 已有同样内容,来源只有一次",
            service=service,
        )
    source = next((book for book in books if not book.book.durables), None)
    if source is not None and source in absent:
        return _told(
            "missing_at_source",
            f"{source.book.service} has no such fact, others hold it",
            f"来源 {source.book.service} 没有这笔事实,其他账簿却有",
        )
    flow = next((durable for book in absent for durable in hears(position, book.book, context)), "")
    if absent and not context.sequences.get(position):
        return _told(
            "unknown",
            f"no hand was seen here, and {measure.producer}'s outbox does not hold the event (any more)",
            f"此处未见手工修改,但 {measure.producer} 的发件箱中(已)没有这个事件:原因不明",
            flow,
        )
    return _told(
        "unknown",
        "no hand was seen, nothing is on the way, the stream holds the message",
        "未见手工修改,没有在途消息,消息流完整:原因不明",
        flow,
    )


def _surplus(position: int, odd: BookRows, other: BookRows) -> Explanation:
    service, book = odd.book.service, odd.book.name
    more = sorted(odd.rows[position].keys() - other.rows[position].keys())
    lines, lines_zh = ", ".join(map(str, more)), "、".join(map(str, more))
    one = len(more) == 1
    return Explanation(
        "edited_by_hand",
        REPAIRS["edited_by_hand"],
        f"no event has line{'' if one else 's'} {lines} of {service}'s {book} at position {position}: written with the "
        f"service's own role",
        f"{service} 的 {book} 中位置 {position} 的第 {lines_zh} 行不属于任何事件，系以该服务自身的账号写入",
        service=service,
        surplus=True,
    )
