"""The ids that flows lock before they read: orders, cancellations and credit notes, also those that are still to come.

Whoever needs an order that is not there, or not far enough, parks its message under the order's lock and marks the
anchor as awaited; whoever brings the next fact of that order sees the mark under the same lock. Nothing falls between.
"""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from msgspec import Struct
from tieout.servicekit import Received, Transaction, sql

statements = sql.load(__file__)


class Anchor(Struct, gc=False):
    id: UUID
    position: int | None  # None: named by others, not brought yet.
    awaited: bool
    cancel_waits: bool = False  # A cancellation was among those who came before the order.


async def claim(tx: Transaction, ids: Collection[UUID]) -> dict[UUID, Anchor]:
    """Locks these ids, making those that nobody has named before.

    Always in this order, in every flow: first make, then lock, each sorted. Who makes waits only for others who make,
    who locks only for others who lock; so nobody waits in a circle. Locking first and making what was missing would.
    """
    ordered = sorted(ids)
    await tx.execute(statements.claim, ordered)
    rows = await tx.fetch(statements.lock, ordered)
    return {row["id"]: Anchor(*row) for row in rows}


async def accept(tx: Transaction, brought: Iterable[Anchor]) -> None:
    """Says where the documents of these anchors stand now."""
    anchors = list(brought)
    if anchors:
        await tx.execute(statements.accept, [a.id for a in anchors], [a.position for a in anchors])


class Waiting:
    """Collects who waits for what, and who need not wait any more; saved once per batch."""

    def __init__(self) -> None:
        self._parked: set[str] = set()
        self._waited: dict[UUID, Anchor] = {}
        self._served: dict[UUID, Anchor] = {}
        self._cancels: set[UUID] = set()

    def park(self, tx: Transaction, received: Received[Any], anchor: Anchor, reason: str) -> None:
        if received.business_id not in self._parked:  # Twice in one batch is once parked.
            tx.park(received, key=str(anchor.id), reason=reason)
        self._parked.add(received.business_id)
        self._waited[anchor.id] = anchor

    def hold(self, anchor: Anchor) -> None:
        """Its order is to be placed with the word that a cancellation waits: nothing of it leaves before."""
        self._cancels.add(anchor.id)

    def serve(self, anchor: Anchor) -> None:
        """A fact of this order was added: those who wait for it look again."""
        if anchor.awaited:
            self._served[anchor.id] = anchor

    async def save(self, tx: Transaction) -> None:
        served = [id for id in self._served if id not in self._waited]
        if self._waited:
            await tx.execute(statements.await_them, sorted(self._waited), sorted(self._cancels))
        if served:
            await tx.execute(statements.await_no_more, sorted(served))
        if self._served:
            tx.wake([str(id) for id in self._served])
