"""The verdict as people say it, in English and Chinese: what disagrees first, then what is still on its way. Pure."""

from collections.abc import Sequence

from tieout.contracts.control import MeasureResult, Verdict

Pair = tuple[str, str]  # English, Chinese.
RULES_NAMED = 3  # In a sentence; the answer has all.


def sentence(
    verdict: Verdict,
    measures: Sequence[MeasureResult],
    violations: int,
    unanswered: Sequence[str],
    unpublished: int = 0,
    *,
    unchecked: Sequence[str] = (),
    unlooked: Sequence[str] = (),
    given_up: Sequence[str] = (),
    by_hand: int = 0,
    missing_streams: Sequence[str] = (),
    shown: int = 3,
) -> Pair:
    """`unlooked`: whose balances nobody has checked since they started, and this was not to wait for it. The verdict is
    that of the books then, so the sentence says which part of the proof it leaves out.
    `by_hand`: so many of the violations are of no balance, but of what hands did to rows, triggers or settings.
    `given_up`: rules whose check did not come to its end.
    `missing_streams`: what was on them and unheard makes its measures differ; the verdict itself is that of the books.
    """
    told = [pair for measure in measures for pair in _of_measure(measure)]
    if balances := violations - by_hand:
        are = "is not the sum of its facts" if balances == 1 else "are not the sums of their facts"
        told.append((f"{_count(balances, 'kept balance')} {are}", f"{balances} 个余额与其明细合计不符"))
    if by_hand:
        told.append((f"{_count(by_hand, 'trace')} of changes by hand", f"{by_hand} 处手工改动的痕迹"))
    if on_the_way := sum(measure.in_flight for measure in measures):
        told.append((f"{_count(on_the_way, 'event')} still on the way", f"{on_the_way} 个事件在途"))
    if waiting := sum(measure.parked for measure in measures):
        told.append((f"{_count(waiting, 'event')} waiting for a partner document", f"{waiting} 个事件等待前置单据"))
    if unpublished:
        english = f"{_count(unpublished, 'event')} committed that the broker has not taken"
        told.append((english, f"{unpublished} 个事件已提交，但消息服务器尚未接收"))
    if unanswered:
        told.append((f"no answer from {', '.join(unanswered)}", f"{'、'.join(unanswered)} 没有应答"))
    if unchecked:
        english = f"the balances of {', '.join(unchecked)} are not checked against their facts yet"
        told.append((english, f"{'、'.join(unchecked)} 的余额尚未与明细核对"))
    if given_up:
        named, more = given_up[:RULES_NAMED], len(given_up) - RULES_NAMED
        english = f"not checked: {', '.join(named)}{f' and {more} more' if more > 0 else ''}"
        told.append((english, f"未能核对：{'、'.join(named)}{f' 等 {len(given_up)} 项' if more > 0 else ''}"))
    if missing_streams:
        are = "stream" if len(missing_streams) == 1 else "streams"
        english = f"the hub has no {are} {', '.join(missing_streams)}"
        told.append((english, f"消息服务器上没有流 {'、'.join(missing_streams)}"))
    return _whole(verdict, told, unlooked, shown)


def _of_measure(measure: MeasureResult) -> list[Pair]:
    title, title_zh = measure.title, measure.title_zh
    noted = (f"{title}: {measure.note}", f"{title_zh}：{measure.note_zh or measure.note}")
    told = []
    if events := measure.differing - measure.digests:
        english = f"{title}: {_count(events, 'event')} with different values"
        told.append((english, f"{title_zh}：{events} 个事件的数值不同"))
    if measure.digests:
        told.append(noted)
    if measure.dead:
        english = f"{title}: {_count(measure.dead, 'message')} in the dead letters"
        told.append((english, f"{title_zh}：{measure.dead} 条消息在死信中"))
    if measure.state == "differ" and not measure.differing and not measure.dead:
        told.append(noted)
    return told


def _whole(verdict: Verdict, told: Sequence[Pair], unlooked: Sequence[str], shown: int) -> Pair:
    more = len(told) - shown
    english = "; ".join(pair[0] for pair in told[:shown]) + (f", and {more} more" if more > 0 else "")
    chinese = "；".join(pair[1] for pair in told[:shown]) + (f"，另有 {more} 项" if more > 0 else "")
    left_out = f"he balances of {', '.join(unlooked)} were not checked against their facts since the start"
    left_out_zh = f"{'、'.join(unlooked)} 的余额自启动以来尚未与明细核对"
    if verdict == "agree":  # What is told then takes nothing from it.
        but, but_zh = (f"; {english}", f"；{chinese}") if told else ("", "")
        return (
            f"Orders, stock and books agree{but}{f'; t{left_out}' if unlooked else ''}.",
            f"订单、库存与账簿一致{but_zh}{f'；{left_out_zh}' if unlooked else ''}。",
        )
    too, too_zh = (f" T{left_out}.", f"{left_out_zh}。") if unlooked else ("", "")
    if verdict == "differ":
        return f"The books differ. {english}.{too}", f"账簿不一致。{chinese}。{too_zh}"
    return (
        f"Nothing disagrees, but not all is there. {english}.{too}",
        f"未发现不一致，但数据尚不完整。{chinese}。{too_zh}",
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
