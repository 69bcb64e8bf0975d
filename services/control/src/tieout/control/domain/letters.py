"""What a dead letter means for people: the cause it belongs to, in English and Chinese, and whom it hurts. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct
from tieout.contracts.order import SubmitOrder
from tieout.control.domain.opening import Affected, Opening
from tieout.control.domain.reasons import REASONS

NUMBER_MAX = 100
MINOR_MAX = 10**17  # What came is not to be trusted: sums of it must fit into a bigint.

# What each flow does, as a noun that a sentence can begin with.
FLOWS = {
    "order-place-orders": ("Accepting orders", "订单受理"),
    "order-request-cancellations": ("Accepting cancellations", "取消申请受理"),
    "order-accept-credits": ("Accepting credit notes", "贷项通知单受理"),
    "order-note-inventory": ("Noting stock events on orders", "订单记录库存事件"),
    "order-note-settlements": ("Noting payments on orders", "订单记录结算"),
    "inventory-reserve-stock": ("Reserving stock", "库存预留"),
    "inventory-decide-cancellations": ("Deciding cancellations", "取消处理"),
    "inventory-take-back": ("Taking goods back", "退货入库"),
    "inventory-receive-goods": ("Receiving goods", "收货入库"),
    "inventory-adjust-stock": ("Adjusting stock", "库存调整"),
    "inventory-confirm-shipments": ("Confirming shipments", "发货确认"),
    "inventory-confirm-deliveries": ("Confirming deliveries", "签收确认"),
    "inventory-note-calendar": ("Following the posting periods", "会计期间同步"),
    "finance-note-orders": ("Noting orders in the books", "财务登记订单"),
    "finance-bill-shipments": ("Billing shipments", "发货开票记账"),
    "finance-release-deposits": ("Releasing deposits", "释放预收款"),
    "finance-credit-returns": ("Booking credit notes", "红冲记账"),
    "finance-post-stock": ("Posting stock movements", "存货记账"),
    "finance-book-cash": ("Booking payments and refunds", "收付款记账"),
    "gateway-note-articles": ("Following the articles", "商品资料同步"),
    "gateway-note-companies": ("Following the companies", "公司资料同步"),
    "control-report-order": ("Reporting conflicts of orders", "订单冲突上报"),
    "control-report-inventory": ("Reporting conflicts of stock documents", "库存单据冲突上报"),
    "control-report-finance": ("Reporting conflicts of payments", "收付款冲突上报"),
    "control-collect-dead": ("Collecting dead letters", "死信收集"),
}


class Letter(Struct, frozen=True):
    """What a ticket needs of a dead letter; servicekit's Letter has all of it."""

    id: str
    at: str
    service: str
    flow: str
    reason: str
    detail: str
    subject: str
    attempts: int
    cause: str = ""  # Fingerprint of why; empty in letters of older versions.
    field: str = ""
    body: str = ""
    chain_id: str = ""
    order_no: str = ""
    company: str = ""
    position: int = 0


class _Line(Struct, frozen=True):
    """The few fields that money is computed from, wherever a contract has them."""

    net_minor: Annotated[int, Meta(ge=-(10**15), le=10**15)] = 0
    tax_minor: Annotated[int, Meta(ge=-(10**15), le=10**15)] = 0
    from_micro: Annotated[int, Meta(ge=0, le=10**15)] = 0
    to_micro: Annotated[int, Meta(ge=0, le=10**15)] = 0
    ordered_micro: Annotated[int, Meta(ge=0, le=10**15)] = 0

    @property
    def minor(self) -> int:
        whole = self.net_minor + self.tax_minor
        if not self.ordered_micro:
            return whole
        return (2 * whole * (self.to_micro - self.from_micro) + self.ordered_micro) // (2 * self.ordered_micro)


class _Named(Struct, frozen=True):
    """A part of a document that names an order: a share of a payment, an item of a settlement."""

    order_number: str = ""
    order_no: str = ""


class _DocumentLine(_Line, frozen=True):
    order_number: str = ""


class _Document(_Line, frozen=True):
    currency: str = ""
    amount_minor: Annotated[int, Meta(ge=-(10**15), le=10**15)] = 0
    company: str = ""
    order_no: str = ""
    order_number: str = ""  # As the documents of satellites name it.
    number: str = ""  # Its own.
    received_minor: Annotated[int, Meta(ge=0, le=10**15)] = 0
    paid_minor: Annotated[int, Meta(ge=0, le=10**15)] = 0
    lines: tuple[_DocumentLine, ...] = ()
    allocations: tuple[_Named, ...] = ()
    items: tuple[_Named, ...] = ()


class _Event(Struct, frozen=True):
    orderno: str = ""
    company: str = ""
    data: Raw = Raw(b"{}")


_event = msgspec.json.Decoder(_Event).decode
_document = msgspec.json.Decoder(_Document).decode


def affected(letter: Letter) -> list[Affected]:
    """The orders that the message names, and the document itself where that is none: people search for either number.

    With the money as far as the message tells: of the one order that it names, else of the document.
    """
    envelope, document = _read(letter.body)
    parts = (*document.allocations, *document.items)
    named = {letter.order_no, envelope.orderno, document.order_no, document.order_number}
    named |= {line.order_number for line in document.lines} | {part.order_number or part.order_no for part in parts}
    own = document.number
    if letter.subject == SubmitOrder.SUBJECT:
        named.add(own)
    orders = sorted({clean(number)[:NUMBER_MAX] for number in named} - {""})
    paper = clean(own)[:NUMBER_MAX]
    company = clean(letter.company or envelope.company or document.company)
    minor = _minor(document)
    currency = clean(document.currency)[:3] if minor else ""
    if len(orders) == 1:
        found = [Affected(company, orders[0], currency, minor)]
        currency, minor = "", 0  # Money is counted once.
    else:
        found = [Affected(company, number) for number in orders]
    if paper and paper not in orders:
        found.append(Affected(company, paper, currency, minor, paper=True))
    return found


def _minor(document: _Document) -> int:
    minor = document.amount_minor or document.received_minor or document.paid_minor
    minor = minor or document.net_minor + document.tax_minor or sum(line.minor for line in document.lines)
    return max(-MINOR_MAX, min(MINOR_MAX, minor))


def _read(body: str) -> tuple[_Event, _Document]:
    """As much as can be read of what was perhaps given up because it cannot."""
    envelope, document = _Event(), _Document()
    try:
        envelope = _event(body)
        document = _document(envelope.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return envelope, document
    return envelope, document


def fingerprint(letter: Letter) -> str:
    return clean(f"dead_letter:{letter.flow}:{letter.cause or f'{letter.reason}:{letter.field}'}")


def other(flow: str) -> str:
    """Where a flow finds a new cause for each message, all further ones share one ticket."""
    return f"dead_letter:{flow}:other"


def openings(letters: Iterable[tuple[str, Letter]]) -> list[Opening]:
    """One per fingerprint; the newest letter speaks for all."""
    groups: dict[str, list[Letter]] = {}
    for name, letter in letters:
        groups.setdefault(name, []).append(letter)
    return [_opening(name, group) for name, group in groups.items()]


def _opening(name: str, group: Sequence[Letter]) -> Opening:
    newest = max(group, key=lambda letter: letter.at)
    title_en, title_zh = title(newest, several=name == other(newest.flow))
    times = [datetime.fromisoformat(letter.at) for letter in group]
    return Opening(
        kind="dead_letter",
        fingerprint=name,
        title_en=title_en,
        title_zh=title_zh,
        service=clean(newest.service),
        flow=clean(newest.flow),
        reason=clean(newest.reason),
        field=clean(newest.field),
        detail=clean(newest.detail),
        count=len(group),
        orders=[order for letter in group for order in affected(letter)],
        first_at=min(times),
        last_at=max(times),
    )


def title(letter: Letter, *, several: bool = False) -> tuple[str, str]:
    """Billing shipments: a company that is not set up (field company)"""
    flow_en, flow_zh = FLOWS.get(letter.flow, (letter.flow, letter.flow))
    if several:
        return f"{flow_en}: messages fail for many different reasons", f"{flow_zh}：消息因多种原因失败"
    spoken = letter.reason.replace("_", " ")
    reason_en, reason_zh = REASONS.get(letter.reason, (spoken, spoken))
    field_en, field_zh = (f" (field {letter.field})", f"（字段 {letter.field}）") if letter.field else ("", "")
    return clean(f"{flow_en}: {reason_en}{field_en}"), clean(f"{flow_zh}：{reason_zh}{field_zh}")


def clean(text: str) -> str:
    """Postgres keeps no NUL in text, and the letter about one names it."""
    return text.replace("\0", "\u2400")
