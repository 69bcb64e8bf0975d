"""Why what happened in a period is not what was posted in it. Pure: both sides come in, named differences go out."""

from calendar import monthrange
from collections.abc import Sequence
from datetime import date
from typing import Literal

from tieout.contracts.period import (
    Deferred,
    OpenCount,
    PeriodAgreement,
    PeriodDifference,
    PeriodFigure,
    PeriodMoves,
    PeriodPostings,
)

Pair = tuple[str, str]  # English, Chinese.


def compare(
    company: str, period: str, moves: PeriodMoves, postings: PeriodPostings, *, caught_up: bool, today: date | None
) -> PeriodAgreement:
    """`caught_up`: finance has handled all of these moves; else what is not explained is still on its way. `today`: of
    the company, as far as its zone is known."""
    stock = _figure(
        "stock_value",
        "moves of stock at their value",
        "库存变动金额",
        moves.value_minor,
        postings.value_minor,
        postings.deferred_out_minor - postings.deferred_in_minor,
    )
    counted = _figure(
        "counted",
        "count differences in profit and loss",
        "盘点差异计入损益",
        moves.counted_minor,
        postings.counted_minor,
        sum(count.left_minor for count in postings.open_counts),
    )
    differences = [_deferred(one, period) for one in postings.deferred]
    differences += [_waiting(one) for one in postings.open_counts]
    differences += [_rest(figure, caught_up=caught_up) for figure in (stock, counted) if figure.unexplained_minor]
    verdict: Literal["agree", "open", "differ"] = "agree"
    if differences:
        verdict = "differ" if any(one.cause == "unknown" for one in differences) else "open"
    nothing = moves.moves == 0 and not any((stock.posted_minor, counted.posted_minor, differences))
    told, told_zh = _sentence(period, differences, _until(period, today), postings.zone, nothing=nothing)
    return PeriodAgreement(
        company=company,
        period=period,
        currency=moves.currency,
        verdict=verdict,
        sentence=told,
        sentence_zh=told_zh,
        figures=(stock, counted),
        differences=tuple(differences),
        closed_through=postings.closed_through,
    )


def _figure(
    name: Literal["stock_value", "counted"], title: str, title_zh: str, happened: int, posted: int, explained: int
) -> PeriodFigure:
    return PeriodFigure(name, title, title_zh, happened, posted, explained, happened - posted - explained)


def _deferred(one: Deferred, period: str) -> PeriodDifference:
    """Out of the period it is missing there; into it, it is more than what happened."""
    posted, posted_zh = f"posted in {one.period} as {one.voucher_no}", f"记入 {one.period}，凭证 {one.voucher_no}"
    amount = one.value_minor if one.deferred_from == period else -one.value_minor
    return PeriodDifference(
        figure="stock_value",
        cause="period_deferred",
        amount_minor=amount,
        why=f"{one.document_no} belongs to {one.deferred_from}, which was closed: {posted}",
        why_zh=f"{one.document_no} 属于 {one.deferred_from}，该期间已结账：{posted_zh}",
        document_no=one.document_no,
        chain_id=one.chain_id,
        voucher_no=one.voucher_no,
        position=one.position,
    )


def _waiting(one: OpenCount) -> PeriodDifference:
    if one.rejected or not one.asked_by:
        why = "was rejected" if one.rejected else "nobody has asked for its approval"
        why_zh = "审批被驳回" if one.rejected else "尚未提交审批"
    else:
        left = one.approvals_needed - one.approvals
        why = f"{one.asked_by} asked for its approval at {one.asked_at}, {left} more must give it"
        why_zh = f"{one.asked_by} 于 {one.asked_at} 提交审批，还需 {left} 人批准"
    return PeriodDifference(
        figure="counted",
        cause="waiting_approval",
        amount_minor=one.left_minor,
        why=f"count {one.document_no} stands on 1901: {why}",
        why_zh=f"盘点 {one.document_no} 仍在 1901：{why_zh}",
        document_no=one.document_no,
        chain_id=one.chain_id,
    )


def _rest(figure: PeriodFigure, *, caught_up: bool) -> PeriodDifference:
    if not caught_up:
        why, why_zh = "finance has not handled all of it yet", "财务尚未处理完"
    else:
        why, why_zh = (
            "no deferral and no approval explains it: ./tieout agreement",
            "既非跨期也非待审批： ./tieout agreement",
        )
    cause: Literal["in_flight", "unknown"] = "unknown" if caught_up else "in_flight"
    return PeriodDifference(figure.name, cause, figure.unexplained_minor, why, why_zh)


def _until(period: str, today: date | None) -> date | None:
    """The last day of a month that is not over; None where it is."""
    year, month = int(period[:4]), int(period[5:])
    if today is None or (today.year, today.month) > (year, month):
        return None
    return date(year, month, monthrange(year, month)[1])


def _sentence(
    period: str, differences: Sequence[PeriodDifference], until: date | None, zone: str, *, nothing: bool
) -> Pair:
    """`until`: the month is not over. `nothing`: no stock moved in it and nothing is posted, of which "all is posted"
    would be true and no help."""
    if nothing:
        return _of_nothing(period, until, zone)
    over, over_zh = (f" It goes on until {until} ({zone}).", f"该月至 {until}（{zone}）才结束。") if until else ("", "")
    if not differences:
        far, far_zh = (" so far", "迄今") if until else ("", "")
        return (
            f"All that happened in {period}{far} is posted in it.{over}",
            f"{period} {far_zh}发生的业务均已记入当期。{over_zh}",
        )
    words = {
        "period_deferred": ("posted in another period", "记入其他期间"),
        "waiting_approval": ("waiting for approval", "待审批"),
        "in_flight": ("still on the way", "在途"),
        "unknown": ("without a reason", "原因不明"),
    }
    counts = {cause: sum(one.cause == cause for one in differences) for cause in words}
    told = ", ".join(f"{count} {words[cause][0]}" for cause, count in counts.items() if count)
    told_zh = "、".join(f"{words[cause][1]} {count} 项" for cause, count in counts.items() if count)
    return f"Not all of {period} is posted in it: {told}.{over}", f"{period} 的业务未全部记入当期：{told_zh}。{over_zh}"


def _of_nothing(period: str, until: date | None, zone: str) -> Pair:
    if until is None:
        return (
            f"No stock moved in {period}, and nothing of stock is posted in it.",
            f"{period} 没有库存变动，也没有相关入账。",
        )
    return (
        f"No stock has moved in {period} yet, and nothing of stock is posted in it. It goes on until {until} ({zone}).",
        f"{period} 尚无库存变动，也没有相关入账。该月至 {until}（{zone}）才结束。",
    )
