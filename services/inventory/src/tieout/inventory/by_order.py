"""Papers about the goods of one order, whether they left or arrived: what confirmations and deliveries share."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from tieout.contracts.event import document_id, order_id
from tieout.contracts.inventory import ConfirmedLine, ConfirmRequest, DeliverRequest, SubmitConfirmation, SubmitDelivery
from tieout.inventory.domain import Part
from tieout.inventory.papers import Kind, P, Paper, Papers
from tieout.inventory.stockroom import Stockroom
from tieout.servicekit import Refused, Transaction, sql

statements = sql.load(__file__)

BY_HAND = "staff"  # Source of what a person enters.
NO_ORDER = "waits_for_its_order"

Request = ConfirmRequest | DeliverRequest


class Verdict(NamedTuple):
    """`wait` and `refusal` are reasons; either: nothing changed."""

    parts: Sequence[Part] = ()
    wait: str = ""
    refusal: str = ""
    detail: str = ""

    @property
    def quantity(self) -> int:
        return sum(part.end - part.start for part in self.parts)

    @property
    def cost(self) -> int:
        return sum(part.cost for part in self.parts)

    @property
    def lines(self) -> tuple[ConfirmedLine, ...]:
        return tuple(ConfirmedLine(p.line.line_no, p.line.sku, p.end - p.start, p.cost) for p in self.parts)


def order_of(said: SubmitConfirmation | SubmitDelivery) -> UUID:
    return order_id(said.company, said.order_source, said.order_number)


def settle(papers: Papers[P], paper: Paper[P], verdict: Verdict, key: str, tx: Transaction) -> None:
    """What became of a paper: it waits, it is refused, or it is obeyed, and whoever waited for its goods is woken."""
    if verdict.wait and paper.cause is not None:
        tx.park(paper.cause, key=key, reason=verdict.wait)
    elif verdict.refusal:
        papers.refuse(paper, verdict.refusal, verdict.detail)
    else:
        papers.accept(paper, verdict.quantity, verdict.cost)
        tx.wake([key])


async def enter_by_hand(room: Stockroom, request: Request) -> datetime:
    """The company of what a person enters is known; answers what time it is there."""
    await room.enter({request.company})
    if request.company not in room.houses:
        detail = f"No company {request.company} is open. Open it in finance first."
        raise Refused("unknown_company", detail, field="company", status=404)
    return datetime.now(ZoneInfo(await room.tx.fetchval(statements.zone_of, request.company)))


async def is_new(papers: Papers[P], paper: Paper[P], request: Request) -> bool:
    """False: this key was used before for the same; for something else it is refused."""
    if await papers.admit([paper]):
        return True
    if papers.conflicts:
        detail = f"The key {request.idempotency_key} was used with other content. Use a new key."
        raise Refused("conflict", detail, field="idempotency_key", status=409)
    return False


def head_by_hand(kind: Kind, request: Request, now: datetime) -> dict[str, Any]:
    """What a paper says of itself that a person entered."""
    fingerprint = sha256(msgspec.json.encode(request)).hexdigest()
    return {
        "intake_id": document_id(f"{kind}-by-hand", request.company, request.idempotency_key, fingerprint),
        "company": request.company,
        "source": BY_HAND,
        "number": request.idempotency_key,
        "version": "1",
        "fingerprint": fingerprint,
        "order_source": request.order_source,
        "order_number": request.order_no,
        "occurred_at": now,
        "zone": str(now.tzinfo),
        "business_date": request.business_date or now.date(),
        "lines": request.lines,
    }


def refuse_to_wait(request: Request, verdict: Verdict, advice: str) -> None:
    """A person can look and try again, so nothing that was entered by hand waits."""
    number = request.order_no
    if verdict.wait == NO_ORDER:
        detail = f"No order {number} of {request.order_source} in company {request.company}."
        raise Refused("not_found", detail, field="order_no", status=404)
    if verdict.wait:
        raise Refused(verdict.wait, f"Part of order {number} {advice}", field="lines", status=409)
    if verdict.refusal:
        raise Refused(verdict.refusal, verdict.detail, field="lines", status=409)
