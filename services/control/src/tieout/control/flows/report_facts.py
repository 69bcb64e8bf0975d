"""order.conflicted, inventory.cancel_decided, *.document_settled -> ticket; finance.claim_settled, …reopened -> its end

Facts of other services that need a person although nothing failed: the same document number with other contents, and
goods that had left when their order was cancelled. A refund of more than came is the one that ends by itself: once
finance tells that nothing is left of any that its ticket has counted, nobody needs to look any more. What was written
off of it may be recovered: then somebody has to look again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from tieout.contracts.event import event_id
from tieout.contracts.finance import ClaimReopened, ClaimSettled
from tieout.contracts.finance import DocumentSettled as FinanceSettled
from tieout.contracts.inventory import CancelDecided
from tieout.contracts.inventory import DocumentSettled as InventorySettled
from tieout.contracts.order import SubmissionConflicted
from tieout.contracts.ticket import ClaimSetAside, ClaimsSetAside
from tieout.control import tickets
from tieout.control.domain import facts
from tieout.control.domain.opening import Opening
from tieout.servicekit import BatchFlow, Database, Received, Transaction, batch_flow, sql

statements = sql.load(__file__)

ASIDE_MAX = 5_000  # Refunds in one event, which may not be larger than a message.


def flows() -> list[BatchFlow]:
    """One per producer, because each has a stream of its own."""
    return [
        _flow("control-report-order", (SubmissionConflicted,)),
        _flow("control-report-inventory", (CancelDecided, InventorySettled)),
        _flow("control-report-finance", (FinanceSettled, ClaimSettled, ClaimReopened)),
    ]


def _flow(durable: str, types: tuple[type[Any], ...]) -> BatchFlow:
    @batch_flow(durable, *types, size=200, linger_seconds=0.1)
    async def report_facts(batch: list[Received[Any]], database: Database) -> None:
        noteworthy = {received.envelope.id: received for received in batch if facts.noteworthy(received.data)}
        if not noteworthy:
            return  # Nearly always: most cancellations come in time.
        async with database.transaction() as tx:
            rows = await tx.fetch(statements.note, sorted(noteworthy))
            fresh = [noteworthy[row["event_id"]] for row in rows]
            ends = [received for received in fresh if isinstance(received.data, ClaimSettled)]
            told = [received for received in fresh if not isinstance(received.data, ClaimSettled)]
            openings = _together(told, durable)
            states = await _lock_tickets(tx, {one.fingerprint for one in openings}, ends)
            above = [received for received in told if facts.is_claim(received.data)]
            if above or ends:
                over = await _note_claims(tx, above, ends, states)
                openings = (
                    _together([one for one in told if one.envelope.id not in over], durable) if over else openings
                )
            await tickets.open_tickets(tx, openings)
            if ends:
                await _end_claims(tx, ends)

    return report_facts


async def _lock_tickets(
    tx: Transaction, openings: set[str], ends: Sequence[Received[ClaimSettled]]
) -> Mapping[str, str]:
    """Those that are opened, counted or ended, in one sorted round and before their claims: fingerprint -> state."""
    ended = set()
    if ends:
        refunds = sorted({document for end in ends for document in end.data.refunds})
        ended = {row["fingerprint"] for row in await tx.fetch(statements.counted_by, refunds)}
    return await tickets.lock(tx, openings | ended)


async def _note_claims(
    tx: Transaction,
    above: Sequence[Received[FinanceSettled | ClaimReopened]],
    ends: Sequence[Received[ClaimSettled]],
    states: Mapping[str, str],
) -> set[str]:
    """Events of refunds that are settled before their ticket heard of them: nobody needs to look."""
    counted = {
        document: facts.fingerprint("finance", one.data) for one in above for document in facts.refunds(one.data)
    }
    latest: dict[UUID, tuple[int, bool]] = {}  # What stands of the batch: at which position, and whether it is an end.
    messages: list[Received[Any]] = [*above, *ends]
    for one in messages:
        at = 0 if isinstance(one.data, FinanceSettled) else one.position
        for document in one.data.refunds if isinstance(one.data, ClaimSettled) else facts.refunds(one.data):
            latest[document] = max(latest.get(document, (0, False)), (at, isinstance(one.data, ClaimSettled)))
    documents = sorted(latest)
    rows = await tx.fetch(
        statements.note_claims,
        documents,
        [counted.get(one, "") for one in documents],
        [latest[one][1] for one in documents],
        [latest[one][0] for one in documents],
    )
    over = {row["document_id"] for row in rows if row["settled"]}
    again = {counted[one] for one in counted.keys() - over if states.get(counted[one]) == "resolved"}
    if again:
        await _set_aside(tx, sorted(again), documents)
    return {one.envelope.id for one in above if over.issuperset(facts.refunds(one.data))}


async def _set_aside(tx: Transaction, fingerprints: list[str], documents: list[UUID]) -> None:
    """What somebody resolved these tickets without. Said, since nothing else would tell it to a restored database."""
    aside: dict[str, list[ClaimSetAside]] = {}
    for row in await tx.fetch(statements.set_aside, fingerprints, documents):
        aside.setdefault(row["fingerprint"], []).append(ClaimSetAside(row["document_id"], row["position"]))
    for row in await tx.fetch(statements.resolved_times, sorted(aside)) if aside else ():
        claims = aside[row["fingerprint"]]
        parts = [tuple(claims[first : first + ASIDE_MAX]) for first in range(0, len(claims), ASIDE_MAX)]
        times = row["times"] + 1
        for place, (part, position) in enumerate(zip(parts, await tx.positions(len(parts)), strict=True)):
            tx.announce(
                ClaimsSetAside(row["number"], row["fingerprint"], times, part),
                position=position,
                key=(row["number"], times, place),
                chain=event_id("ticket", row["number"]),
            )


async def _end_claims(tx: Transaction, ends: Sequence[Received[ClaimSettled]]) -> None:
    """Say in the tickets what has ended, and resolve those of which nothing is left.

    By the identity of what ended it: numbers are given by each source, and for each kind of document, anew.
    """
    by_refund = {document: end.data for end in ends for document in end.data.refunds}
    for row in await tx.fetch(statements.standing, sorted(by_refund)):
        claims = [by_refund[document] for document in row["documents"]]
        ended = {(claim.document_id, claim.currency, claim.order_no): claim for claim in claims}
        what = "; ".join(sorted(facts.ended(claim) for claim in ended.values()))
        if await tx.fetchval(statements.claims_left, row["fingerprint"]):
            await tx.execute(statements.note_ended, row["number"], what)
        else:
            await tickets.settle_ticket(tx, row["fingerprint"], f"{what}. Nothing is left to claim.")


def _together(fresh: Iterable[Received[Any]], durable: str) -> list[Opening]:
    service: Callable[[Received[Any]], str] = lambda received: received.subject.partition(".")[0]  # noqa: E731
    return facts.openings([(service(received), received.data) for received in fresh])
