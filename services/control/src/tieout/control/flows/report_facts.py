"""order.conflicted, inventory.cancel_decided, *.document_settled -> ticket

Facts of other services that need a person although nothing failed: the same document number with other contents, and
goods that had left when their order was cancelled.
"""

from collections.abc import Callable, Iterable
from typing import Any

from tieout.contracts.finance import DocumentSettled as FinanceSettled
from tieout.contracts.inventory import CancelDecided
from tieout.contracts.inventory import DocumentSettled as InventorySettled
from tieout.contracts.order import SubmissionConflicted
from tieout.control import tickets
from tieout.control.domain import facts
from tieout.control.domain.opening import Opening
from tieout.servicekit import BatchFlow, Database, Received, batch_flow, sql

statements = sql.load(__file__)


def flows() -> list[BatchFlow]:
    """One per producer, because each has a stream of its own."""
    return [
        _flow("control-report-order", (SubmissionConflicted,)),
        _flow("control-report-inventory", (CancelDecided, InventorySettled)),
        _flow("control-report-finance", (FinanceSettled,)),
    ]


def _flow(durable: str, types: tuple[type[Any], ...]) -> BatchFlow:
    @batch_flow(durable, *types, size=200, linger_seconds=0.1)
    async def report_facts(batch: list[Received[Any]], database: Database) -> None:
        noteworthy = {received.envelope.id: received for received in batch if facts.needs_somebody(received.data)}
        if not noteworthy:
            return  # Nearly always: most cancellations come in time.
        async with database.transaction() as tx:
            rows = await tx.fetch(statements.note, sorted(noteworthy))
            fresh = [noteworthy[row["event_id"]] for row in rows]
            await tickets.open_tickets(tx, _together(fresh, durable))

    return report_facts


def _together(fresh: Iterable[Received[Any]], durable: str) -> list[Opening]:
    service: Callable[[Received[Any]], str] = lambda received: received.subject.partition(".")[0]  # noqa: E731
    return facts.openings([(service(received), received.data) for received in fresh])
