"""One replay, wave by wave: fetch bodies, ask the flow's service, note what came of each item."""

import asyncio
import itertools
import time
from collections.abc import Coroutine, Sequence
from typing import Any
from uuid import UUID

import msgspec
import structlog
from tieout.contracts.control import Difference
from tieout.contracts.replay import (
    BYTES_MAX,
    EVENTS_MAX,
    INTAKE,
    Effect,
    MapAgain,
    MappedAgain,
    Played,
    PlayedBatch,
    PlayedEvent,
    PlayRequest,
    Selection,
)
from tieout.control import tickets
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.replay import bodies
from tieout.servicekit import Database, Transaction, sql

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

LEASE_SECONDS = 6.0  # Kept while it works; so long the replay of a process that died waits for another one.
ANSWER_SECONDS = 29.0
AGAIN_SECONDS = 1.0
WAVE_ITEMS = 20_000  # Read at a time.
PARTS_AT_ONCE = 3  # Of one flow: one is run, one waits in its service, one is fetched.
WORKING = ("rehearsing", "running", "proving")
SELF = "control"


class Held(Exception):
    """Paused or cancelled: somebody wants us to stop. Or another process has it in hand, and we are the slow one."""


class Playing:
    """One replay in this process' hands."""

    def __init__(self, row: Any, database: Database, colleagues: Colleagues) -> None:
        self.replay: int = row["replay"]
        self.rehearsal = row["state"] == "rehearsing"
        self._selection = msgspec.json.decode(row["selection"], type=Selection)
        self._database = database
        self._colleagues = colleagues
        self._per_second: int = row["per_second"]
        self._taken: int = row["taken"]
        self._began = self._noted = time.monotonic()
        self._asked = 0

    # ------------------------------------------------------------------------------------------------ run

    async def play_all(self) -> None:
        """All that is left. Raises Held."""
        todo = statements.to_rehearse if self.rehearsal else statements.to_run
        while True:
            async with self._database.read() as connection:
                rows = await connection.fetch(todo, self.replay, WAVE_ITEMS)
            if not rows:
                return
            for _, wave in itertools.groupby(rows, key=lambda row: row["wave"]):
                by_flow = itertools.groupby(wave, key=lambda row: row["flow"])
                await _all([self._play_flow(flow, list(items)) for flow, items in by_flow])

    async def _play_flow(self, flow: str, items: list[Any]) -> None:
        """Of one wave, so in parts that do not depend on each other: while a service runs one, the next is fetched and
        decoded."""
        if flow == INTAKE:
            await self._map_again(items)
            return
        size = EVENTS_MAX if not self._per_second else max(1, min(EVENTS_MAX, self._per_second // 4))
        gate = asyncio.Semaphore(1 if self._per_second else PARTS_AT_ONCE)

        async def play(some: list[Any]) -> None:
            async with gate:
                await self._play(flow, some, await self._fetch(some))

        await _all([play(items[start : start + size]) for start in range(0, len(items), size)])

    async def _map_again(self, items: list[Any]) -> None:
        """Raw documents: the gateway has their bytes."""
        size = EVENTS_MAX if not self._per_second else max(1, min(EVENTS_MAX, self._per_second // 4))
        left = items
        while left:
            some = left[:size]
            await self._keep_rate(len(some))
            documents = tuple(UUID(item["event_id"]) for item in some)
            request = MapAgain(documents, self.rehearsal, f"replay {self.replay}")
            try:
                answer = await self._colleagues.ask(
                    "gateway", "map_again", request, MappedAgain, seconds=ANSWER_SECONDS
                )
            except Unanswered as error:
                size = max(1, len(some) // 2)
                await self._wait(error)
                continue
            numbers = [item["item"] for item in some]
            await self._note(list(zip(numbers, answer.played, strict=True)), ())
            async with self._database.transaction() as tx:
                await tx.execute(statements.note_chains, self.replay, numbers, list(answer.chains))
            left = left[len(some) :]

    async def _fetch(self, items: list[Any]) -> list[PlayedEvent | Played]:
        while True:
            try:
                return await bodies.fetch(items, self._database, self._colleagues)
            except Unanswered as error:
                await self._wait(error)

    async def _play(self, flow: str, items: list[Any], events: Sequence[PlayedEvent | Played]) -> None:
        service = flow.partition("-")[0]
        pairs = [(item["item"], event) for item, event in zip(items, events, strict=True)]
        await self._note([(item, event) for item, event in pairs if isinstance(event, Played)], ())
        left = [(item, event) for item, event in pairs if isinstance(event, PlayedEvent)]
        size = EVENTS_MAX
        while left:
            chunk = _fitting(left, size)
            await self._keep_rate(len(chunk))
            request = PlayRequest(flow, tuple(event for _, event in chunk))
            verb = "rehearse" if self.rehearsal else "replay"
            try:
                answer = await self._colleagues.ask(service, verb, request, PlayedBatch, seconds=ANSWER_SECONDS)
            except Unanswered as error:
                size = max(1, len(chunk) // 2)  # It may have been too much for the time that an answer has.
                await self._wait(error)
                continue
            done = [
                (item, one) for (item, _), one in zip(chunk, answer.played, strict=True) if one.reason != "unavailable"
            ]
            await self._note(done, answer.effects)
            known = {item for item, _ in done}
            left = [one for one in left if one[0] not in known]
            if len(done) < len(chunk):
                await self._wait(Unanswered(service, "its database is away or busy"))

    async def _keep_rate(self, events: int) -> None:
        due = self._began + self._asked / self._per_second if self._per_second else 0.0
        self._asked += events
        while (left := due - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 1.0))
            await self.still_mine()

    async def _note(self, played: Sequence[tuple[int, Played]], effects: Sequence[Effect]) -> None:
        """Write outcomes down, and see whether somebody wants us to hold."""
        if not played:
            return
        rows = [(item, one.outcome, one.reason, _clean(one.field), _clean(one.detail)) for item, one in played]
        columns = map(list, zip(*rows, strict=True))
        async with self._database.transaction() as tx:
            note = statements.note_rehearsed if self.rehearsal else statements.note_outcomes
            await tx.execute(note, self.replay, *columns)
            if effects:
                await tx.execute(statements.add_effects, self.replay, *_columns(effects))
            state = await self._keep(tx, len(rows))
        _hold(state)

    async def still_mine(self) -> None:
        """Raises Held where somebody paused or cancelled."""
        async with self._database.transaction() as tx:
            state = await self._keep(tx, 0)
        _hold(state)

    async def _keep(self, tx: Transaction, done: int) -> str:
        """The state that it is in. Raises Held, so that nothing is written, where another process has it in hand."""
        now = time.monotonic()
        state: str | None = await tx.fetchval(statements.keep, self.replay, self._taken, done, now - self._noted)
        if state is None:
            raise Held
        self._noted = now
        return state

    async def keep_lease(self) -> None:
        """Until cancelled, however long a service takes to answer."""
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            try:
                async with self._database.quick() as connection:
                    await connection.execute(statements.lease, self.replay, self._taken, LEASE_SECONDS)
            except Exception as error:  # Who takes it up meanwhile finds what was booked to be there already.
                log.warning("replay's lease is not kept", replay=self.replay, error=repr(error)[:300])

    async def taken_over(self, done: int, items: int) -> None:
        """Say in its log that it goes on, and from where."""
        note = f"The process that had it in hand is gone. It goes on by itself: {done} of {items} are done."
        async with self._database.transaction() as tx:
            await tx.execute(statements.log, self.replay, SELF, "taken_over", note)

    async def _wait(self, error: Unanswered) -> None:
        log.warning("replay waits", replay=self.replay, service=error.service, why=error.why)
        async with self._database.transaction() as tx:
            await tx.execute(
                statements.say, self.replay, self._taken, _clean(f"It waits for {error.service}: {error.why}")
            )
        await self.still_mine()
        await asyncio.sleep(AGAIN_SECONDS)

    async def let_go(self) -> None:
        """Something went wrong here, or this process ends: the next one may take it up at once."""
        async with self._database.transaction() as tx:
            await tx.execute(statements.let_go, self.replay, self._taken)

    # ------------------------------------------------------------------------------------------------ end

    async def rehearsed(self) -> None:
        async with self._database.transaction() as tx:
            counts = {row["outcome"]: row["items"] for row in await tx.fetch(statements.count_rehearsed, self.replay)}
            told = ", ".join(f"{counts[outcome]} {_WOULD[outcome]}" for outcome in _WOULD if counts.get(outcome))
            await self._end(tx, "rehearsed", f"Dry run: {told or 'nothing to do'}. Nothing was written.")

    async def proving(self) -> None:
        async with self._database.transaction() as tx:
            state = await tx.fetchval(statements.prove, self.replay, self._taken)
        _hold(state)

    async def touched(self, differences: Sequence[Difference]) -> list[Difference]:
        """Those that are about documents of this replay."""
        if not differences:
            return []
        async with self._database.read() as connection:
            rows = await connection.fetch(statements.touched, self.replay, list({one.chain_id for one in differences}))
        chains = {row[0] for row in rows}
        return [one for one in differences if one.chain_id in chains]

    async def concluded(self, why_not: str, wrong: Sequence[Difference]) -> None:
        """It succeeded only if nothing failed and the proof holds; else a ticket tells what is left."""
        async with self._database.transaction() as tx:
            counts = {row["outcome"]: row["items"] for row in await tx.fetch(statements.count_outcomes, self.replay)}
            told = ", ".join(f"{counts[outcome]} {_DID[outcome]}" for outcome in _DID if counts.get(outcome))
            left = [f"{counts[o]} {_DID[o]}" for o in ("failed", "waits") if counts.get(o)]
            reasons = [*left, *([why_not] if why_not else [])]
            if not reasons:
                sentence = f"{told or 'Nothing to do'}. The books agree on every document that it touched."
                await self._end(tx, "succeeded", sentence)
                await self._settle(tx)
                return
            sentence = f"{told or 'Nothing was run'}. Not proved: {'; '.join(reasons)}."
            await self._end(tx, "unproved", sentence)
            await tickets.open_ticket(
                tx,
                "replay",
                f"replay:{self.replay}",
                f"Replay {self.replay} ended without proof",
                f"重放 {self.replay} 结束,但未通过核对",
                service=SELF,
                reason="unproved",
                detail=sentence,
                orders=[tickets.Affected("", one.order_no) for one in wrong[:1000] if one.order_no],
            )

    async def _settle(self, tx: Transaction) -> None:
        """Tickets whose letters are all through are done, and so is one that an earlier run of it had opened."""
        await tickets.settle_ticket(tx, f"replay:{self.replay}", "It was proved.", actor=SELF)
        if self._selection.ticket or self._selection.letters:
            for row in await tx.fetch(statements.whole_tickets, self.replay):
                fingerprint = row["fingerprint"]
                why = f"Replay {self.replay} booked its messages, and the books agree."
                await tickets.settle_ticket(tx, fingerprint, why, actor=SELF)

    async def _end(self, tx: Transaction, state: str, sentence: str) -> None:
        """Raises Held where it was cancelled in the last moment, or is in other hands."""
        found = await tx.fetchval(
            statements.end, self.replay, self._taken, state, sentence, time.monotonic() - self._noted
        )
        if found is None:
            raise Held
        await tx.execute(statements.log, self.replay, SELF, "ended", sentence)


_WOULD = {
    "booked": "would be booked",
    "already_there": "are there already",
    "conflict": "would be in conflict",
    "waits": "would wait for their partner",
    "failed": "would fail",
}
_DID = {
    "booked": "booked",
    "already_there": "there already",
    "conflict": "in conflict",
    "waits": "wait for their partner",
    "failed": "failed",
}


def _hold(state: str | None) -> None:
    if state not in WORKING:
        raise Held(state)


async def _all(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Side by side; the first that fails stops the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fitting(events: Sequence[tuple[int, PlayedEvent]], most: int) -> list[tuple[int, PlayedEvent]]:
    """As many as one request may hold; at least one."""
    size = 0
    for index, (_, event) in enumerate(events[:most]):
        size += len(bytes(event.body)) + 100
        if index and size > BYTES_MAX:
            return list(events[:index])
    return list(events[:most])


def _columns(effects: Sequence[Effect]) -> list[list[Any]]:
    rows = [(e.service, e.figure, *e.values, e.currency, e.rows, e.a, e.b) for e in effects]
    return [list(column) for column in zip(*rows, strict=True)]


def _clean(text: str) -> str:
    """Postgres keeps no NUL in text."""
    return text.replace("\0", "\\0")
