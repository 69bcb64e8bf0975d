"""Sends a seeded trading day and poison through the front doors, and records what was acknowledged."""

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from tieout.devstack.chaos import poison
from tieout.devstack.chaos.checker import Sent
from tieout.devstack.satellites import Answer, Door, Till, Unanswered, key_headers, shopify_headers
from tieout.devstack.suite import Stack
from tieout.devstack.trading_day import Fed
from tieout.devstack.trading_day.catalogue import STORE, WEB

CONNECTIONS = 12
ATTEMPTS = 240  # About four minutes: a gateway whose recovery is killed again and again is away that long.
POISON = "chaos-poison"  # A satellite of its own: nobody plans what becomes of its documents.


class Posted(Struct, frozen=True):
    """A document that the gateway has acknowledged, as its satellite keeps it to send it again."""

    number: int  # In `Load.sent`.
    channel: str
    headers: dict[str, str]
    began: datetime
    answered: datetime


class Load:
    def __init__(self, stack: Stack, keys: Mapping[str, str]) -> None:
        self._gateway = stack.endpoints().gateway
        self._door = Door(stack.endpoints().gateway, connections=CONNECTIONS, timeout_seconds=60.0, attempts=ATTEMPTS)
        self._till = Till(stack.endpoints().sites[STORE])
        self._keys = keys
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent: list[Sent] = []
        self._posted: list[Posted] = []
        self.refused = 0  # Turned away at the door, as it should be.
        self.surprises: list[str] = []

    async def send(self, documents: Sequence[Fed], seconds: float, poisoned: Sequence[bytes] = ()) -> None:
        """All in their order, spread over about `seconds`; returns when the last one was answered."""
        await self._till.open()
        began = time.monotonic()
        every = len(documents) // (len(poisoned) + 1) + 1
        rest = list(poisoned)
        try:
            for ordinal, fed in enumerate(documents):
                ahead = began + ordinal * seconds / len(documents) - time.monotonic()
                if ahead > 0.002:
                    await asyncio.sleep(ahead)
                await self._start(fed)
                if rest and ordinal % every == every - 1:
                    await self._spoil(rest.pop(), ordinal)
            while self._tasks:
                await asyncio.wait(self._tasks)
            await self._till.flush()
        except Unanswered as unanswered:
            self.surprises.append(str(unanswered))
        finally:
            for task in self._tasks:
                task.cancel()
            await self._till.close()
            await self._door.close()

    async def send_again(self, named: Sequence[Mapping[str, Any]]) -> None:
        """What a recovery of the gateway named, as its satellites would: what was on its way in the lost time, in its
        order and under its own delivery ids. A leaf site does nothing: the hub has its sales."""
        lost = {
            one["sender"]: (datetime.fromisoformat(one["since"]), datetime.fromisoformat(one["until"])) for one in named
        }
        door = Door(self._gateway, timeout_seconds=60.0, attempts=ATTEMPTS)
        try:
            for posted in sorted(self._posted, key=lambda one: one.began):
                sent = self.sent[posted.number]
                if sent.satellite not in lost:
                    continue
                since, until = lost[sent.satellite]
                if posted.began <= until and since <= posted.answered:
                    answer = await door.send(sent.satellite, posted.channel, sent.body, posted.headers)
                    if answer.taken:
                        intake_id = json.loads(answer.body)["intake_id"]
                        self.sent[posted.number] = msgspec.structs.replace(sent, again=intake_id)
                    else:
                        told = answer.body[:200].decode(errors="replace")
                        self.surprises.append(f"{sent.satellite} {sent.number} again: HTTP {answer.status} {told}")
        except Unanswered as unanswered:
            self.surprises.append(str(unanswered))
        finally:
            await door.close()

    async def _start(self, fed: Fed) -> None:
        expected = tuple((one.kind, one.outcome) for one in fed.expected)
        if fed.satellite == STORE:
            sent = Sent(fed.satellite, fed.number, fed.body, expected, True)
            await self._till.sell(fed.topic, fed.delivery, fed.body, lambda: self.sent.append(sent))
            return
        key = self._keys[fed.satellite]
        if fed.satellite == WEB:
            headers = shopify_headers(key, fed.topic, fed.delivery, fed.body, genuine=fed.signed)
        else:
            headers = key_headers(key, fed.delivery)
        await self._post(fed.satellite, fed.channel, fed.number, fed.body, headers, expected)

    async def _spoil(self, body: bytes, ordinal: int) -> None:
        headers = key_headers(self._keys[POISON], f"poison-{ordinal}")
        await self._post(POISON, "tieout", f"poison {ordinal}", body, headers, ())

    async def _post(
        self,
        satellite: str,
        channel: str,
        number: str,
        body: bytes,
        headers: dict[str, str],
        expected: tuple[tuple[str, str], ...],
    ) -> None:
        await self._slots.acquire()

        async def post() -> None:
            began = datetime.now(UTC)
            try:
                answer = await self._door.send(satellite, channel, body, headers)
                if answer.taken:
                    self._posted.append(Posted(len(self.sent), channel, headers, began, datetime.now(UTC)))
                self._note(satellite, number, body, expected, answer)
            except Unanswered as unanswered:
                self.surprises.append(str(unanswered))
                self.sent.append(Sent(satellite, number, body, expected, False))
            finally:
                self._slots.release()

        task = asyncio.create_task(post())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(
        self, satellite: str, number: str, body: bytes, expected: tuple[tuple[str, str], ...], answer: Answer
    ) -> None:
        if answer.taken:
            intake_id = json.loads(answer.body)["intake_id"]
            self.sent.append(Sent(satellite, number, body, expected, True, intake_id))
        elif satellite == POISON or ("order", "rejected") in expected:
            self.refused += 1
        else:
            told = answer.body[:200].decode(errors="replace")
            self.surprises.append(f"{satellite} {number}: HTTP {answer.status} {told}")


def poisoned(chance: random.Random, count: int) -> list[bytes]:
    return [poison.DOCUMENTS[chance.choice(sorted(poison.DOCUMENTS))](chance) for _ in range(count)]
