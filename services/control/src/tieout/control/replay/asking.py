"""control.freeze_replay | rehearse_replay | run_replay | …: what people ask of replays. All of it is logged."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw
from tieout.contracts import replay as contract
from tieout.contracts.replay import (
    INTAKE,
    EditItem,
    Effect,
    FreezeReplay,
    ItemBody,
    Items,
    ItemView,
    ListItems,
    ListReplays,
    LogEntry,
    OutcomeCount,
    PlayedEvent,
    RehearseReplay,
    Replays,
    ReplayView,
    RunReplay,
    Selection,
    ShowItem,
    ShowReplay,
    SteerReplay,
)
from tieout.contracts.streams import EVENTS
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain.history import Happened, waves
from tieout.control.replay import bodies
from tieout.control.replay.choosing import Chooser, documents
from tieout.control.replay.playing import WORKING
from tieout.control.replay.running import Runner
from tieout.servicekit import ACTOR, Answers, Database, Refused, Transaction, operation, sql
from tieout.servicekit.errors import UNREADABLE, field_of

statements = sql.load(__file__)

ITEM_COLUMNS = (
    "replay",
    "item",
    "wave",
    "flow",
    "subject",
    "producer",
    "position",
    "sequence",
    "event_id",
    "chain_id",
    "order_no",
    "company",
    "letter",
)
FROM_STATES = {  # What is possible when.
    "rehearsing": ("frozen", "rehearsed", "unproved", "succeeded"),
    "running": ("rehearsed",),
    "paused": ("running", "proving"),
    "resumed": ("paused",),
    "cancelled": ("frozen", "rehearsing", "rehearsed", "running", "paused", "proving"),
}


class Asking:
    """Answers for people; `operations` go into the service."""

    def __init__(self, colleagues: Colleagues, runner: Runner) -> None:
        self._colleagues = colleagues
        self._chooser = Chooser(colleagues)
        self._runner = runner

    def operations(self) -> tuple[Answers[Any, Any], ...]:
        return (
            operation(contract.FREEZE_REPLAY)(self.freeze),
            operation(contract.LIST_REPLAYS)(list_replays),
            operation(contract.SHOW_REPLAY)(show_replay),
            operation(contract.LIST_ITEMS)(list_items),
            operation(contract.SHOW_ITEM)(self.show_item),
            operation(contract.EDIT_ITEM)(self.edit),
            operation(contract.REHEARSE_REPLAY)(self.rehearse),
            operation(contract.RUN_REPLAY)(self.run),
            operation(contract.PAUSE_REPLAY)(self.pause),
            operation(contract.RESUME_REPLAY)(self.resume),
            operation(contract.CANCEL_REPLAY)(self.cancel),
        )

    async def freeze(self, request: FreezeReplay, database: Database) -> ReplayView:
        """What is chosen now is what will be run, whatever comes in meanwhile."""
        try:
            found = await self._chooser.choose(request.selection, database)
        except Unanswered as error:
            raise _away(error) from None
        if not found and request.selection.ticket:
            raise Refused(
                "not_found",
                f"Ticket {request.selection.ticket} has no dead letters that could be run again. Its next step: "
                f"./tieout tickets show {request.selection.ticket}",
                field="selection",
                status=404,
            )
        if not found:
            raise Refused(
                "not_found",
                "Nothing was heard that this choice means. ./tieout journey ORDER_NO tells what is known of an order.",
                field="selection",
                status=404,
            )
        ordered = waves(found)
        chosen = msgspec.json.encode(request.selection).decode()
        async with database.transaction() as tx:
            number = await tx.fetchval(
                statements.freeze, chosen, request.reason, _actor(), len(ordered), documents(i for _, i in ordered)
            )
            rows = (_row(number, item, wave, happened) for item, (wave, happened) in enumerate(ordered, 1))
            await tx.copy("replay_item", columns=ITEM_COLUMNS, records=rows)
            await _log(tx, number, "frozen", request.reason)
        return await read_view(number, database)

    async def rehearse(self, request: RehearseReplay, database: Database) -> ReplayView:
        """Again, where something was edited or mended since."""
        async with database.transaction() as tx:
            await _move(tx, request.replay, "rehearsing", "rehearsing")
            await tx.execute(statements.forget_rehearsal, request.replay)
            await tx.execute(statements.forget_effects, request.replay)
            await _log(tx, request.replay, "rehearsed", "")
        self._runner.asked.set()
        return await read_view(request.replay, database)

    async def run(self, request: RunReplay, database: Database) -> ReplayView:
        """What was not booked by an earlier run is tried again."""
        async with database.transaction() as tx:
            await _move(tx, request.replay, "running", "running")
            await tx.execute(statements.run, request.replay, request.per_second)
            await tx.execute(statements.forget_failed, request.replay)
            rate = f" (at most {request.per_second} a second)" if request.per_second else ""
            await _log(tx, request.replay, "run", request.reason + rate)
        self._runner.asked.set()
        return await read_view(request.replay, database)

    async def pause(self, request: SteerReplay, database: Database) -> ReplayView:
        return await self._steer(request, database, "paused", "paused")

    async def resume(self, request: SteerReplay, database: Database) -> ReplayView:
        return await self._steer(request, database, "resumed", "running")

    async def cancel(self, request: SteerReplay, database: Database) -> ReplayView:
        return await self._steer(request, database, "cancelled", "cancelled")

    async def _steer(self, request: SteerReplay, database: Database, action: str, state: str) -> ReplayView:
        async with database.transaction() as tx:
            await _move(tx, request.replay, action, state)
            await _log(tx, request.replay, action, request.reason)
        self._runner.asked.set()
        return await read_view(request.replay, database)

    # ------------------------------------------------------------------------------------------ single items

    async def show_item(self, request: ShowItem, database: Database) -> ItemBody:
        row = await _item(request.replay, request.item, database)
        original = await self._original(row, database)
        return ItemBody(_item_view(row), Raw(original), Raw(row["edited"]) if row["edited"] is not None else None)

    async def edit(self, request: EditItem, database: Database) -> ItemView:
        """Only before it was run, and only what its contract can read."""
        row = await _item(request.replay, request.item, database)
        if row["flow"] == INTAKE:
            detail = f"A raw document is corrected in the quarantine: ./tieout quarantine correct {row['event_id']}"
            raise Refused("conflict", detail, field="item", status=409)
        original = await self._original(row, database)
        event = EVENTS.get(row["subject"])
        try:
            if event is not None:
                msgspec.json.decode(request.data, type=event)
            body = bodies.edited(original, bytes(request.data))
        except UNREADABLE as error:
            field = field_of(str(error))
            raise Refused("invalid", str(error), field=f"data.{field}" if field else "data", status=422) from None
        async with database.transaction() as tx:
            state = await tx.fetchval(statements.lock, request.replay)
            if state not in ("frozen", "rehearsed", "unproved") or row["outcome"] in ("booked", "already_there"):
                raise Refused("conflict", f"The replay is {state}; edit before the run.", field="replay", status=409)
            await tx.execute(statements.edit, request.replay, request.item, original, body, _actor(), request.reason)
            await tx.execute(statements.edited, request.replay)
            await _log(tx, request.replay, "edited", f"item {request.item}: {request.reason}")
        return _item_view(await _item(request.replay, request.item, database))

    async def _original(self, row: Any, database: Database) -> bytes:
        """Raises Refused where nobody keeps it any more, or it is no JSON."""
        if row["original"] is not None:
            return bytes(row["original"])
        try:
            (found,) = await bodies.fetch([row], database, self._colleagues)
        except Unanswered as error:
            raise _away(error) from None
        if not isinstance(found, PlayedEvent):
            raise Refused(found.reason, found.detail, field="item", status=409)
        return bytes(found.body)


async def list_replays(request: ListReplays, database: Database) -> Replays:
    async with database.read() as connection:
        rows = await connection.fetch(statements.newest, request.before or 2**62, request.limit)
    return Replays(tuple(_replay(row) for row in rows))


async def show_replay(request: ShowReplay, database: Database) -> ReplayView:
    return await read_view(request.replay, database)


async def list_items(request: ListItems, database: Database) -> Items:
    async with database.read() as connection:
        rows = await connection.fetch(statements.items, request.replay, request.after, request.outcome, request.limit)
    last = rows[-1]["item"] if len(rows) == request.limit else 0
    return Items(tuple(_item_view(row) for row in rows), last)


async def read_view(number: int, database: Database) -> ReplayView:
    async with database.read() as connection:
        row = await connection.fetchrow(statements.show, number)
        if row is None:
            raise _unknown(number)
        rehearsed: list[Any] = []
        outcomes: list[Any] = []
        effects: list[Any] = []
        if row["state"] not in WORKING:  # Who watches the progress asks often, and counting reads every item.
            rehearsed = await connection.fetch(statements.rehearsed, number)
            outcomes = await connection.fetch(statements.outcomes, number)
            effects = await connection.fetch(statements.effects, number)
        entries = await connection.fetch(statements.entries, number)
    return msgspec.structs.replace(
        _replay(row),
        rehearsed=tuple(OutcomeCount(*row) for row in rehearsed),
        outcomes=tuple(OutcomeCount(*row) for row in outcomes),
        effects=tuple(
            Effect(e["service"], e["figure"], (e["value_a"], e["value_b"]), e["currency"], e["rows"], *_whole(e))
            for e in effects
        ),
        log=tuple(LogEntry(_text(e["at"]), e["actor"], e["action"], e["note"]) for e in entries),
    )


def _whole(row: Any) -> tuple[int, int]:
    return int(row["a"]), int(row["b"])


def _replay(row: Any) -> ReplayView:
    return ReplayView(
        replay=row["replay"],
        state=row["state"],
        selection=msgspec.json.decode(row["selection"], type=Selection),
        reason=row["reason"],
        items=row["items"],
        documents=row["documents"],
        done=row["done"],
        per_second=row["per_second"],
        frozen_at=_text(row["frozen_at"]),
        frozen_by=row["frozen_by"],
        sentence=row["sentence"],
        started_at=_text(row["started_at"]),
        ended_at=_text(row["ended_at"]),
        seconds=round(row["seconds"], 2),
    )


def _row(number: int, item: int, wave: int, one: Happened) -> tuple[Any, ...]:
    return (
        number,
        item,
        wave,
        one.flow,
        one.subject,
        one.producer,
        one.position,
        one.sequence,
        one.event_id,
        one.chain_id,
        one.order_no,
        one.company,
        one.letter,
    )


async def _item(replay: int, item: int, database: Database) -> Any:
    async with database.read() as connection:
        row = await connection.fetchrow(statements.item, replay, item)
    if row is None:
        raise Refused("not_found", f"Replay {replay} has no item {item}.", field="item", status=404)
    return row


def _item_view(row: Any) -> ItemView:
    return ItemView(
        item=row["item"],
        flow=row["flow"],
        subject=row["subject"],
        order_no=row["order_no"],
        company=row["company"],
        chain_id=row["chain_id"],
        stream=row["producer"].upper(),
        sequence=row["sequence"],
        position=row["position"],
        event_id=row["event_id"],
        rehearsed=row["rehearsed"],
        outcome=row["outcome"],
        reason=row["reason"],
        field=row["field"],
        detail=row["detail"],
        done_at=_text(row["done_at"]),
        edited_by=row["edited_by"],
        edited_why=row["edited_why"],
    )


_FOLLOW = " It goes on by itself: ./tieout replay show {replay}. To end it: ./tieout replay cancel {replay} --why …"
_NEXT_STEPS = {
    ("running", "frozen"): " Rehearse it first: nobody runs what he has not seen.",
    ("running", "running"): _FOLLOW,
    ("running", "proving"): _FOLLOW,
    ("running", "paused"): " Go on with it: ./tieout replay resume {replay} --why …",
    ("running", "succeeded"): " To run it once more, rehearse it again: ./tieout replay rehearse {replay}",
    ("running", "unproved"): " To run it once more, rehearse it again: ./tieout replay rehearse {replay}",
    ("running", "cancelled"): " A cancelled one stays so. Choose anew: ./tieout replay new --help",
    ("running", "rehearsing"): " Wait for the end of its rehearsal: ./tieout replay show {replay}",
}


async def _move(tx: Transaction, replay: int, action: str, state: str) -> None:
    """Lock it, and change its state where that is possible. Raises Refused."""
    found = await tx.fetchval(statements.lock, replay)
    if found is None:
        raise _unknown(replay)
    if found not in FROM_STATES[action]:
        next_step = _NEXT_STEPS.get((action, found), "").format(replay=replay)
        detail = f"The replay is {found}; this needs {' or '.join(FROM_STATES[action])}.{next_step}"
        raise Refused("conflict", detail, field="replay", status=409)
    await tx.execute(statements.move, replay, state)


async def _log(tx: Transaction, replay: int, action: str, note: str) -> None:
    await tx.execute(statements.log, replay, _actor(), action, note)


def _actor() -> str:
    return ACTOR.get() or "staff"


def _unknown(replay: int) -> Refused:
    return Refused("not_found", f"There is no replay {replay}. See ./tieout replay list", field="replay", status=404)


def _away(error: Unanswered) -> Refused:
    return Refused("unavailable", f"{error.service} does not answer: {error.why}. Try again in a moment.", status=503)


def _text(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
