"""gateway.choose_documents | map_again: the step `intake` of a replay.

A document leads to its commands once: what was mapped, ignored or decided otherwise stays as it is. One in quarantine
is mapped again, as a person's `resubmit` would do it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from tieout.contracts.replay import (
    CHOOSE_DOCUMENTS,
    MAP_AGAIN,
    ChooseDocuments,
    ChosenDocument,
    ChosenDocuments,
    MapAgain,
    MappedAgain,
    Played,
)
from tieout.gateway.identifiers import STEP, document_of
from tieout.gateway.papers import Paper
from tieout.gateway.people import asking
from tieout.servicekit import Answers, Database, operation, sql

statements = sql.load(__file__)

PAGE = 5_000
MAPPED_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05
THERE = Played("already_there")
_UNDECIDED = ("pending", "waiting")


@operation(CHOOSE_DOCUMENTS)
async def choose_documents(request: ChooseDocuments, database: Database) -> ChosenDocuments:
    async with database.read() as connection:
        named: list[UUID] | None = None
        if request.order_nos:
            numbers = list(request.order_nos)
            named = [document_of(row[0]) for row in await connection.fetch(statements.named, numbers)]
        rows = await connection.fetch(
            statements.choose, request.satellite, request.since, request.until, named, request.after, PAGE
        )
    documents = tuple(ChosenDocument(*row) for row in rows)
    return ChosenDocuments(documents, len(documents) == PAGE)


def mapping_again(
    rehearse: Callable[[Sequence[UUID]], Awaitable[list[Paper]]], queued: Callable[[], None]
) -> Answers[MapAgain, MappedAgain]:
    """`rehearse` maps without writing; `queued` is called when documents are in the queue again."""

    @operation(MAP_AGAIN)
    async def map_again(request: MapAgain, database: Database) -> MappedAgain:
        ids = list(request.documents)
        before = await _states(ids, database)
        refused = [i for i in ids if i in before and before[i]["state"] == "quarantined"]
        if request.rehearsal:
            would = {paper.id: _of_paper(paper) for paper in await rehearse(refused)}
            return MappedAgain(tuple(would.get(i) or _of_state(before.get(i)) for i in ids), _chains(ids, before))
        if refused:
            async with database.transaction() as tx:
                decided = await tx.fetch(statements.resubmit, refused, asking(), request.reason[:500])
                if decided:
                    await tx.execute(statements.queue_again, sorted(row[0] for row in decided))
            queued()
        after = await _mapped(refused, database)
        played = []
        for i in ids:
            if i not in after:
                played.append(_of_state(before.get(i)))
            elif after[i]["state"] == "mapped":
                played.append(Played("booked"))
            else:
                played.append(_of_state(after[i]))
        return MappedAgain(tuple(played), _chains(ids, {**before, **after}))

    return map_again


async def _states(ids: list[UUID], database: Database) -> dict[UUID, Any]:
    async with database.read() as connection:
        rows = await connection.fetch(statements.states, ids, [UUID(int=i.int + STEP) for i in ids])
    return {row["id"]: row for row in rows}


async def _mapped(ids: list[UUID], database: Database) -> dict[UUID, Any]:
    """Mapping is another task's; it takes milliseconds where nothing else waits."""
    deadline = time.monotonic() + MAPPED_SECONDS_MAX
    while True:
        found = await _states(ids, database)
        if all(row["state"] != "pending" for row in found.values()) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(POLL_SECONDS)


def _of_state(row: Any) -> Played:
    if row is None:
        return Played("failed", "no_longer_kept", "", "The gateway has no document of this id.")
    if row["state"] == "quarantined":
        return Played("failed", row["reason"], row["field"], row["detail"][:500])
    if row["state"] in _UNDECIDED:
        return Played("waits", row["state"], "", "It is in the queue, or waits for the order that it names.")
    return THERE if row["state"] == "mapped" else Played("already_there", row["state"])


def _of_paper(paper: Paper) -> Played:
    if paper.fault is not None:
        return Played("failed", paper.fault.reason, paper.fault.field, paper.fault.detail[:500])
    if paper.waits:
        return Played("waits", "waiting", "", "It waits for the order that it names.")
    return Played("already_there", "ignored") if paper.ignored else Played("booked")


def _chains(ids: list[UUID], rows: dict[UUID, Any]) -> tuple[str, ...]:
    return tuple(str(row["chain_id"] or "") if (row := rows.get(i)) is not None else "" for i in ids)
