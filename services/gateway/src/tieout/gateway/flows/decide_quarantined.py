"""gateway.correct | resubmit | resubmit_many | dismiss | dismiss_many: what people decide about refused documents.

A decision belongs to one refusal and is made once. The original bytes stay whatever is decided.
"""

from typing import Any
from uuid import UUID

from tieout.contracts.gateway import (
    CORRECT,
    DISMISS,
    DISMISS_MANY,
    RESUBMIT,
    RESUBMIT_MANY,
    CorrectDocument,
    Decided,
    DismissDocument,
    Dismissed,
    DismissMany,
    ResubmitDocument,
    ResubmitMany,
    Resubmitted,
)
from tieout.gateway.channels.reading import read_object
from tieout.gateway.domain.faults import Fault
from tieout.gateway.identifiers import first_of_request
from tieout.gateway.intake.keeping import Delivery, Kept, write_documents
from tieout.gateway.people import asking
from tieout.gateway.reads import check_choice
from tieout.servicekit import Database, Refused, Transaction, operation, sql

statements = sql.load(__file__)


@operation(CORRECT)
async def correct_document(request: CorrectDocument, database: Database) -> Decided:
    """The same correction again (same bytes) is told as repeated; another one on top is a conflict. What is no JSON
    object is refused at once: it would use up the one correction that a refusal has, and be refused again."""
    body = request.content.encode()
    try:
        read_object(body)
    except Fault as fault:
        detail = f"The correction is {fault.detail}. Nothing was changed; send the whole document."
        raise Refused("unreadable", detail, field="content", status=422) from None
    async with database.transaction() as tx:
        refusal = await _refusal(tx, request.intake_id)
        if refusal["decision"] is not None:
            if refusal["decision"] == "corrected":
                same = await tx.fetchval(statements.same_body, refusal["corrected_by"], body)
                if same:
                    return Decided(refusal["corrected_by"], repeated=True)
            raise _decided_before(refusal, request.intake_id)
        delivery = Delivery(
            refusal["satellite"], refusal["channel"], refusal["topic"], [body], corrects=request.intake_id
        )
        kept = Kept(first_of_request(), 1)
        await write_documents(tx.connection, [(delivery, kept)])
        await _decide(tx, request.intake_id, refusal, "corrected", request.note, kept.first)
    return Decided(kept.first)


@operation(RESUBMIT)
async def resubmit_document(request: ResubmitDocument, database: Database) -> Decided:
    async with database.transaction() as tx:
        refusal = await _refusal(tx, request.intake_id)
        if refusal["decision"] is not None:
            raise _decided_before(refusal, request.intake_id)
        await _decide(tx, request.intake_id, refusal, "resubmitted", request.note, None)
        await tx.execute(statements.queue_again, [request.intake_id])
    return Decided(request.intake_id)


@operation(DISMISS)
async def dismiss_document(request: DismissDocument, database: Database) -> Decided:
    async with database.transaction() as tx:
        refusal = await _refusal(tx, request.intake_id)
        if refusal["decision"] == "dismissed":
            return Decided(request.intake_id, repeated=True)
        if refusal["decision"] is not None:
            raise _decided_before(refusal, request.intake_id)
        await _decide(tx, request.intake_id, refusal, "dismissed", request.note, None)
    return Decided(request.intake_id)


@operation(RESUBMIT_MANY)
async def resubmit_many(request: ResubmitMany, database: Database) -> Resubmitted:
    """Oldest first. Call it again until it answers 0."""
    async with database.transaction() as tx:
        await check_choice(tx.connection, request.satellite, request.reason, request.field)
        chosen = (request.satellite, request.reason, request.limit, asking(), request.note, request.field)
        ids = [row[0] for row in await tx.fetch(statements.resubmit_many, *chosen)]
        if ids:
            await tx.execute(statements.queue_again, sorted(ids))
    return Resubmitted(len(ids))


@operation(DISMISS_MANY)
async def dismiss_many(request: DismissMany, database: Database) -> Dismissed:
    """Call it again until it answers 0. Without any choice it is refused: a decision is made once, and nobody means all
    that every satellite ever sent wrong."""
    if not (request.satellite or request.reason or request.field):
        detail = "Choose by satellite, reason or field; nothing was dismissed."
        raise Refused("missing", detail, field="satellite", status=422)
    async with database.transaction() as tx:
        await check_choice(tx.connection, request.satellite, request.reason, request.field)
        chosen = (request.satellite, request.reason, request.limit, asking(), request.note, request.field)
        rows = await tx.fetch(statements.dismiss_many, *chosen, request.upto)
    return Dismissed(len(rows))


async def _refusal(tx: Transaction, document: UUID) -> Any:
    """The newest refusal of a document, locked through the document, with the decision on it."""
    await tx.execute(statements.lock_document, document)
    row = await tx.fetchrow(statements.newest_refusal, document)
    if row is None:
        raise Refused(
            "not_found",
            f"No document of this id was refused. What became of it: ./tieout quarantine show {document}",
            field="intake_id",
            status=404,
        )
    return row


def _decided_before(refusal: Any, document: UUID) -> Refused:
    return Refused(
        "conflict",
        f"It was {refusal['decision']} already, at {refusal['decided_at']:%Y-%m-%d %H:%M:%S} UTC. "
        f"What became of it: ./tieout quarantine show {document}",
        field="intake_id",
        status=409,
    )


async def _decide(
    tx: Transaction, document: UUID, refusal: Any, decision: str, note: str, corrected_by: UUID | None
) -> None:
    made = await tx.fetchval(statements.decide, refusal["entry"], decision, asking(), note, corrected_by)
    if made is None:
        raise _decided_before(await tx.fetchrow(statements.newest_refusal, document), document)
