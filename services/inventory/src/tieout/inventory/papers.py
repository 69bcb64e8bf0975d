"""Receipts, counts, confirmations and deliveries: each number counts once, whoever sends it again.

The same content under the same number is a success without effect (duplicate); other content is a conflict, told and
kept as a fact, and never written over the first. A paper that cannot be obeyed gives its number back.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from tieout.contracts.event import document_id, order_id
from tieout.contracts.inventory import (
    DocumentSettled,
    SubmitAdjustment,
    SubmitConfirmation,
    SubmitDelivery,
    SubmitReceipt,
)
from tieout.inventory.journal import Journal, columns
from tieout.inventory.stockroom import Stockroom, company_key
from tieout.servicekit import Received, Transaction, sql

statements = sql.load(__file__)

Kind = Literal["receipt", "adjustment", "confirmation", "delivery"]
OfOrder = SubmitConfirmation | SubmitDelivery
P = TypeVar("P", SubmitReceipt, SubmitAdjustment, SubmitConfirmation, SubmitDelivery)

SUBMISSIONS = columns(
    "intake_id position document_id kind outcome reason company source number business_date lines quantity_micro"
    " value_minor said_micro said_minor currency detail order_id"
)


class Paper(Generic[P]):
    """One submitted document: its content, its id by number, and the message that brought it (none: an operation)."""

    __slots__ = ("cause", "content", "document_id")

    content: P

    def __init__(self, kind: Kind, content: P, cause: Received[Any] | None) -> None:
        self.content = content
        self.cause = cause
        self.document_id: UUID = document_id(kind, content.company, content.source, content.number)


class Papers(Generic[P]):
    """The papers of one batch, all of one kind."""

    def __init__(self, kind: Kind, tx: Transaction, journal: Journal) -> None:
        self._kind: Kind = kind
        self._tx = tx
        self._journal = journal
        self._submissions: list[tuple[Any, ...]] = []
        self._given_back: list[UUID] = []
        self.conflicts: list[Paper[P]] = []  # Of this batch.

    def read(self, batch: Iterable[Received[P]]) -> list[Paper[P]]:
        return [Paper(self._kind, received.data, received) for received in batch]

    async def admit(self, papers: Sequence[Paper[P]]) -> list[Paper[P]]:
        """Lock the numbers and answer those that are to be decided now. Redeliveries are dropped, repeats settled."""
        fates = await self._fates(papers)  # Before the locks: these must not take a number that was given back.
        papers = [paper for paper in papers if paper.content.intake_id not in fates]
        first: dict[UUID, Paper[P]] = {}
        for paper in papers:
            first.setdefault(paper.document_id, paper)
        if not first:
            return []
        rows = [
            (key, self._kind, c.intake_id, c.company, c.source, c.number, c.version, c.fingerprint)
            for key, c in ((key, paper.content) for key, paper in first.items())
        ]
        holders = {
            key: (intake, version, fingerprint)
            for key, intake, version, fingerprint in await self._tx.fetch(
                statements.anchor_documents, *map(list, zip(*rows, strict=True))
            )
        }
        fates = await self._fates(papers)  # After the locks: another process may have had the same paper in hand.
        self._given_back += [
            paper.document_id
            for paper in papers
            if fates.get(paper.content.intake_id) == "conflict"
            and holders[paper.document_id][0] == paper.content.intake_id
        ]
        settled = set(fates)
        to_decide = []
        for paper in papers:
            content = paper.content
            if content.intake_id in settled:
                continue
            settled.add(content.intake_id)
            intake, version, fingerprint = holders[paper.document_id]
            if intake == content.intake_id:
                to_decide.append(paper)
            elif fingerprint == content.fingerprint:
                self._settle(paper, "duplicate")
            else:
                detail = f"Version {version} was taken with other content than this version {content.version}."
                self._settle(paper, "conflict", "other_content", detail)
        return to_decide

    async def _fates(self, papers: Sequence[Paper[P]]) -> dict[UUID, str]:
        """What was decided of those that were settled before, by intake id."""
        rows = await self._tx.fetch(statements.settled, [paper.content.intake_id for paper in papers])
        return {row["intake_id"]: row["outcome"] for row in rows}

    def refuse(self, paper: Paper[P], reason: str, detail: str) -> None:
        """It cannot be obeyed; nothing was changed, and its number is free for a corrected one."""
        self._given_back.append(paper.document_id)
        self._settle(paper, "conflict", reason, detail)

    def accept(self, paper: Paper[P], quantity_micro: int, value_minor: int) -> None:
        """It was obeyed, and moved so much."""
        self._submissions.append(self._row(paper, "accepted", "", "", (quantity_micro, value_minor)))

    def _settle(
        self, paper: Paper[P], outcome: Literal["duplicate", "conflict"], reason: str = "", detail: str = ""
    ) -> None:
        content = paper.content
        if outcome == "conflict":
            self.conflicts.append(paper)
        self._submissions.append(self._row(paper, outcome, reason, detail, said(content)))
        event = DocumentSettled(
            content.intake_id,
            paper.document_id,
            content.company,
            content.source,
            content.number,
            self._kind,
            outcome,
            reason,
            detail,
            orders=(content.order_number,) if outcome == "conflict" and isinstance(content, OfOrder) else (),
        )
        self._journal.told(event, (content.intake_id,), paper.document_id, content.number, content.company, paper.cause)

    def _row(self, paper: Paper[P], outcome: str, reason: str, detail: str, moved: tuple[int, int]) -> tuple[Any, ...]:
        c = paper.content
        said_micro, said_minor = said(c)
        order = None
        if isinstance(c, OfOrder):
            order = order_id(c.company, c.order_source, c.order_number)
        return (
            c.intake_id,
            paper.cause.position if paper.cause is not None else None,
            paper.document_id,
            self._kind,
            outcome,
            reason,
            c.company,
            c.source,
            c.number,
            c.business_date,
            len(c.lines),
            *moved,
            said_micro,
            said_minor,
            getattr(c, "currency", ""),
            detail,
            order,
        )

    async def save(self) -> None:
        if self._given_back:
            await self._tx.execute(statements.give_numbers_back, self._given_back)
        if self._submissions:
            await self._tx.copy("submission", columns=SUBMISSIONS, records=self._submissions)


def said(content: SubmitReceipt | SubmitAdjustment | OfOrder) -> tuple[int, int]:
    """Quantity and value of the lines as they were handed over, which the gateway says as well (measure 12)."""
    value = sum(line.value_minor for line in content.lines) if isinstance(content, SubmitReceipt) else 0
    return sum(line.quantity_micro for line in content.lines), value


async def take_in(
    kind: Kind, batch: Sequence[Received[P]], tx: Transaction
) -> tuple[Stockroom, Papers[P], list[Paper[P]]]:
    """The papers of a batch that are to be decided now; those of a company that nobody has opened yet wait for it."""
    room = Stockroom(tx)
    papers: Papers[P] = Papers(kind, tx, room.journal)
    await room.enter({received.data.company for received in batch})
    for received in batch:
        if received.data.company not in room.houses:
            tx.park(received, key=company_key(received.data.company), reason="unknown_company")
    return room, papers, await papers.admit(papers.read(r for r in batch if r.data.company in room.houses))
