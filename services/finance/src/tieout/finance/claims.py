"""A refund of more than came is a claim on the customer, and a ticket. What ends the claim is told, so that ends too.

Whatever raises what came, is credited or is given up may end one, in whatever order it comes. Nearly no document does:
it costs two comparisons of integers, and the books are asked only where a claim has ended. Only what takes back that it
was given up opens one again: nothing else makes more owed of an item whose refunds are above what came.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec import Struct
from tieout.contracts.finance import ClaimReopened, ClaimSettled
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
    await _note(
        tx,
        [
            (*one.item.key, refund, position, True)
            for (one, part), position in zip(told, positions, strict=True)
            for refund in part
        ],
    )


async def tell_reopened(tx: Transaction, item: OpenItem, document_id: UUID, document_no: str) -> None:
    """A document has taken back what was given up of a claim. The item is locked and final; most have no claim."""
    if not item.claim:
        return
    refunds: dict[str, list[UUID]] = {}
    for source, refund in await tx.fetch(statements.refunds_again, *item.key, item.claim):
        refunds.setdefault(source, []).append(refund)
    told = [
        (source, tuple(found[first : first + REFUNDS_MAX]))
        for source, found in refunds.items()
        for first in range(0, len(found), REFUNDS_MAX)
    ]
    positions = await tx.positions(len(told))
    for (source, part), position in zip(told, positions, strict=True):
        tx.announce(
            ClaimReopened(document_id, document_no, item.company, item.currency, item.order_no, source, part),
            position=position,
            key=(item.item_id, item.currency, document_id, part[0]),
            chain=item.item_id,
            order_no=item.order_no,
            company=item.company,
        )
    await _note(
        tx,
        [
            (*item.key, refund, position, False)
            for (_, part), position in zip(told, positions, strict=True)
            for refund in part
        ],
    )


async def _note(tx: Transaction, records: list[tuple[UUID, str, UUID, int, bool]]) -> None:
    if records:
        await tx.copy(
            "told_claim", columns=("item_id", "currency", "document_id", "position", "ended"), records=records
        )
