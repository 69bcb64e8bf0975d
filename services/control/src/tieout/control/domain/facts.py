"""Facts that need a person although nothing failed: conflicts, and goods that left although cancelled. Pure."""

from collections.abc import Sequence
from uuid import UUID

from tieout.contracts.finance import ClaimReopened, ClaimSettled
from tieout.contracts.finance import DocumentSettled as FinanceSettled
from tieout.contracts.inventory import CancelDecided
from tieout.contracts.inventory import DocumentSettled as InventorySettled
from tieout.contracts.order import SubmissionConflicted
from tieout.control.domain.opening import Affected, Opening
from tieout.control.domain.reasons import REASONS

Fact = SubmissionConflicted | CancelDecided | InventorySettled | FinanceSettled | ClaimReopened

KINDS = {
    "order": ("orders", "订单"),
    "cancel": ("cancellations", "取消单"),
    "credit": ("credit notes", "贷项通知单"),
    "receipt": ("receipts", "收货单"),
    "adjustment": ("stock counts", "盘点单"),
    "confirmation": ("shipping confirmations", "发货确认"),
    "delivery": ("delivery confirmations", "签收确认"),
    "payment": ("payments", "收款单"),
    "refund": ("refunds", "退款单"),
}


def noteworthy(fact: Fact | ClaimSettled) -> bool:
    """Whether somebody needs to look at it, or need not any more."""
    if isinstance(fact, ClaimSettled | ClaimReopened):
        return True
    if isinstance(fact, CancelDecided):
        return any(line.too_late_micro > 0 for line in fact.lines)
    return isinstance(fact, SubmissionConflicted) or fact.outcome == "conflict"


def is_claim(fact: Fact) -> bool:
    """Whether it is a refund that left a claim, of which finance tells the end; or a claim that is open again."""
    return isinstance(fact, ClaimReopened) or (isinstance(fact, FinanceSettled) and fact.booked)


def refunds(fact: FinanceSettled | ClaimReopened) -> tuple[UUID, ...]:
    """Whose claim it is."""
    return fact.refunds if isinstance(fact, ClaimReopened) else (fact.document_id,)


def ended(claim: ClaimSettled) -> str:
    """How it reads in a ticket's history."""
    whose = f"Order {claim.order_no}" if claim.order_no else "A customer without an order"
    return f"{whose}: settled by {claim.document_no}"


def openings(facts: Sequence[tuple[str, Fact]]) -> list[Opening]:
    """(service, fact) -> one opening per cause: a satellite's conflicts of one kind, a company's late cancellations."""
    groups: dict[str, list[tuple[str, Fact]]] = {}
    for service, fact in facts:
        groups.setdefault(fingerprint(service, fact), []).append((service, fact))
    return [_opening(fingerprint, group) for fingerprint, group in groups.items()]


def fingerprint(service: str, fact: Fact) -> str:
    if isinstance(fact, CancelDecided):
        return f"cancelled_but_shipped:{fact.company}"
    if isinstance(fact, ClaimReopened):  # The ticket of its refunds.
        return f"conflict:{service}:{fact.company}:{fact.source}:refund:above_received"
    return f"conflict:{service}:{fact.company}:{fact.source}:{fact.kind}:{fact.reason}"


def _opening(fingerprint: str, group: Sequence[tuple[str, Fact]]) -> Opening:
    service, last = group[-1]
    orders = [one for _, fact in group for one in _affected(fact)]
    if isinstance(last, CancelDecided):
        return Opening(
            kind="cancelled_but_shipped",
            fingerprint=fingerprint,
            title_en=f"Goods left although their orders were cancelled, company {last.company}",
            title_zh=f"订单已取消但货物已发出（公司 {last.company}）",
            service=service,
            reason="too_late",
            detail="They are booked as shipped. Ask the customers to send them back, or to keep and pay them.",
            count=len(group),
            orders=orders,
        )
    if isinstance(last, ClaimReopened):
        kind, reason, number = "refund", "above_received", last.document_no
        detail = (
            f"What was written off of order {last.order_no} is recovered, so refunds above what came are a claim again."
        )
    else:
        kind, reason, number = last.kind, last.reason, last.number
        detail = last.detail or "nothing was changed; what came first stands."
    english, chinese = KINDS[kind]
    spoken = reason.replace("_", " ")  # Of a newer service than this.
    why_en, why_zh = REASONS.get(reason or "other_content", (spoken, spoken))
    return Opening(
        kind="conflict",
        fingerprint=fingerprint,
        title_en=f"{last.source} sends {english} in conflict: {why_en}",
        title_zh=f"{last.source} 发送的{chinese}有冲突：{why_zh}",
        service=service,
        reason=reason,
        detail=f"{number}: {detail}",
        count=len(group),
        orders=orders,
    )


def _affected(fact: Fact) -> list[Affected]:
    """The orders that it names, and of a conflict the document itself: people search for either number."""
    if isinstance(fact, CancelDecided):
        return [Affected(fact.company, fact.order_no)]
    if isinstance(fact, ClaimReopened):
        return [Affected(fact.company, fact.order_no), Affected(fact.company, fact.document_no, paper=True)]
    found = [Affected(fact.company, order_no) for order_no in fact.orders]
    return found if fact.kind == "order" else [*found, Affected(fact.company, fact.number, paper=True)]
