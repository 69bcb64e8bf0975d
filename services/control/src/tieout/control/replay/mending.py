"""Replays that a repair asks for: rehearsed for its preview without leaving anything, then frozen, run and proved."""

import asyncio
import collections
import itertools
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict
from tieout.contracts.replay import (
    INTAKE,
    Effect,
    FreezeReplay,
    MapAgain,
    MappedAgain,
    OutcomeCount,
    Played,
    PlayedBatch,
    PlayedEvent,
    PlayRequest,
    RehearseReplay,
    ReplayView,
    RunReplay,
    Selection,
)
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain.history import Happened, waves
from tieout.control.replay import bodies
from tieout.control.replay.asking import Asking, read_view
from tieout.control.replay.choosing import Chooser
from tieout.servicekit import Database, Refused

REHEARSED_MAX = 1_000  # Events of one dry run within a question; larger ones are replays of their own.
ANSWER_SECONDS = 10.0
RUN_SECONDS_MAX = 15.0  # Then it is told that the replay still runs.
LOOK_SECONDS = 0.05
OVER = ("succeeded", "unproved", "cancelled")


class DryRun(Struct, frozen=True):
    """What a replay of a selection would do; empty where nothing was heard that it means."""

    would: tuple[OutcomeCount, ...] = ()
    effects: tuple[Effect, ...] = ()
    trouble: str = ""  # Why nobody knows.

    @property
    def helps(self) -> bool:
        return any(count.outcome == "booked" for count in self.would)


class Ran(Struct, frozen=True):
    replay: int
    state: str
    sentence: str


class Mending:
    def __init__(self, colleagues: Colleagues, replays: Asking) -> None:
        self._colleagues = colleagues
        self._chooser = Chooser(colleagues)
        self._replays = replays

    async def rehearse(self, selection: Selection, database: Database) -> DryRun:
        """The real flows, rolled back; nothing is kept of it, not even that it was asked."""
        try:
            found = waves(await self._chooser.choose(selection, database))
            if len(found) > REHEARSED_MAX:
                return DryRun(trouble=f"more than {REHEARSED_MAX} events: make a replay of its own of it")
            items = [_item(number, wave, happened) for number, (wave, happened) in enumerate(found)]
            counts: collections.Counter[tuple[str, str, str]] = collections.Counter()
            effects: list[Effect] = []
            for (_, flow), some in itertools.groupby(items, key=lambda item: (item["wave"], item["flow"])):
                played, told = await self._ask(flow, list(some), database)
                counts.update((flow, one.outcome, one.reason) for one in played)
                effects += told
        except Unanswered as error:
            return DryRun(trouble=f"{error.service} does not answer: {error.why}")
        except Refused as refusal:
            return DryRun(trouble=refusal.problem.detail)
        would = tuple(OutcomeCount(*key, items=number) for key, number in sorted(counts.items()))
        return DryRun(would, tuple(_summed(effects)))

    async def _ask(self, flow: str, items: list[Any], database: Database) -> tuple[list[Played], tuple[Effect, ...]]:
        if flow == INTAKE:
            mapping = MapAgain(tuple(UUID(item["event_id"]) for item in items), rehearsal=True, reason="preview")
            mapped = await self._colleagues.ask("gateway", "map_again", mapping, MappedAgain, seconds=ANSWER_SECONDS)
            return list(mapped.played), ()
        events = await bodies.fetch(items, database, self._colleagues)
        known = [event for event in events if isinstance(event, PlayedEvent)]
        played = [event for event in events if isinstance(event, Played)]
        if not known:
            return played, ()
        request = PlayRequest(flow, tuple(known))
        service = flow.partition("-")[0]
        answer = await self._colleagues.ask(service, "rehearse", request, PlayedBatch, seconds=ANSWER_SECONDS)
        return [*played, *answer.played], answer.effects

    async def run(self, selection: Selection, reason: str, database: Database) -> Ran:
        """Frozen, rehearsed and run like any other: with its own log, its proof, and its ticket where it fails.

        Raises Refused where nothing was heard that the selection means.
        """
        frozen = await self._replays.freeze(FreezeReplay(selection, f"repair: {reason}"), database)
        deadline = asyncio.get_running_loop().time() + RUN_SECONDS_MAX
        await self._replays.rehearse(RehearseReplay(frozen.replay), database)
        view = await _until(frozen.replay, ("rehearsed", *OVER), deadline, database)
        if view.state == "rehearsed":
            await self._replays.run(RunReplay(frozen.replay, f"repair: {reason}"), database)
            view = await _until(frozen.replay, OVER, deadline, database)
        return Ran(view.replay, view.state, view.sentence)


async def _until(replay: int, states: Iterable[str], deadline: float, database: Database) -> ReplayView:
    while True:
        view = await read_view(replay, database)
        if view.state in states or asyncio.get_running_loop().time() > deadline:
            return view
        await asyncio.sleep(LOOK_SECONDS)


def _item(number: int, wave: int, happened: Happened) -> dict[str, Any]:
    return {**asdict(happened), "item": number, "wave": wave, "edited": None}


def _summed(effects: Iterable[Effect]) -> list[Effect]:
    sums: dict[tuple[str, str, tuple[str, str], str], tuple[int, int, int]] = {}
    for one in effects:
        key = (one.service, one.figure, one.values, one.currency)
        rows, a, b = sums.get(key, (0, 0, 0))
        sums[key] = (rows + one.rows, a + one.a, b + one.b)
    return [Effect(*key, *total) for key, total in sorted(sums.items())]
