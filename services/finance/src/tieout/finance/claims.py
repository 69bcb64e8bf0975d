"""A refund of more than came is a claim on the customer, and a ticket. What ends the claim is told, so that ends too.

Whatever raises what came, is credited or is given up may end one, in whatever order it comes. Nearly no document does:
it costs two comparisons of integers, and the books are asked only where a claim has ended.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec import Struct
from tieout.contracts.finance import ClaimSettled
from tieout.finance.domain.open_item import OpenItem
from tieout.servicekit import Received, Transaction, sql

statements = sql.load(__file__)

REFUNDS_MAX = 10_000  # In one event, which may not be larger than a message. A notice never stops the money itself.


class Ended(Struct):
    """An item without a claim after a document that found one."""

    item: OpenItem
    document_id: UUID  # Touches the item once only: the end's identity.
    document_no: str
    cause: Received[Any] | None


async def tell(tx: Transaction, found: Iterable[Ended]) -> None:
    """The last of each item tells it; none where the batch has left a claim again. The items are locked and final."""
    ended = {one.item.key: one for one in found if not one.item.claim}
    if not ended:
        return
    items, currencies = zip(*sorted(ended), strict=True)
    refunds: dict[tuple[UUID, str], list[UUID]] = {}
    for item_id, currency, document in await tx.fetch(statements.refunds_above, items, currencies):
        refunds.setdefault((item_id, currency), []).append(document)
    told = [
        (ended[key], tuple(refunds[key][first : first + REFUNDS_MAX]))
        for key in sorted(refunds)
        for first in range(0, len(refunds[key]), REFUNDS_MAX)
    ]
    positions = await tx.positions(len(told))
    for (one, part), position in zip(told, positions, strict=True):
        item = one.item
        tx.announce(
            ClaimSettled(
                document_id=one.document_id,
                document_no=one.document_no,
                company=item.company,
                currency=item.currency,
                order_no=item.order_no if item.of_order else "",
                refunds=part,
            ),
            position=position,
            key=(item.item_id, item.currency, one.document_id, *part[:1]),
            chain=item.item_id if item.of_order else one.document_id,
            order_no=item.order_no if item.of_order else one.document_no,
            company=item.company,
            cause=one.cause,
        )
    await tx.copy(
        "ended_claim",
        columns=("item_id", "currency", "document_id", "position"),
        records=[
            (*one.item.key, refund, position)
            for (one, part), position in zip(told, positions, strict=True)
            for refund in part
        ],
    )
