"""Sends a trading day to a running stack, each document as its satellite speaks, and cuts the store off meanwhile."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from nats.js.errors import Error as JetStreamError
from tieout.contracts.streams import site_stream
from tieout.devstack.satellites import Answer, Door, Till, key_headers, shopify_headers
from tieout.devstack.suite import Stack
from tieout.devstack.trading_day import Fed
from tieout.devstack.trading_day.catalogue import STORE, WEB

CUT_FROM, CUT_UNTIL = 0.40, 0.65  # Which part of the day the store is on its own.
CONNECTIONS = 12


class Feeding:
    """Counts only what left the satellites; what became of it, the books say."""

    def __init__(self, stack: Stack, gateway: str, keys: Mapping[str, str]) -> None:
        self._stack = stack
        self._door = Door(gateway, connections=CONNECTIONS)
        self._till = Till(stack.endpoints().sites[STORE])
        self._keys = keys  # API key or HMAC secret by satellite.
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent: Counter[str] = Counter()  # By satellite, confirmed by whoever took it.
        self.rejected: Counter[str] = Counter()  # Turned away at the door, by satellite.
        self.surprises: list[str] = []  # Answers that no document of the day should get.
        self.cut_off = False
        self.sold_while_cut = 0
        self.seconds_cut = 0.0
        self.seconds_to_catch_up: float | None = None

    async def open(self) -> None:
        await self._till.open()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._till.close()
        await self._door.close()

    async def send(self, documents: Sequence[Fed], seconds: float, *, cut: bool = False) -> None:
        """All documents in their order, spread evenly over about `seconds`; returns when the last is confirmed."""
        began = time.monotonic()
        pace = seconds / max(len(documents), 1)
        cutting = asyncio.create_task(self._cut_and_mend(seconds)) if cut else None
        try:
            for ordinal, fed in enumerate(documents):
                ahead = began + ordinal * pace - time.monotonic()
                if ahead > 0.002:
                    await asyncio.sleep(ahead)
                await self._send(fed)
            while self._tasks:
                await asyncio.wait(self._tasks)
            await self._till.flush()
            if cutting is not None:
                await cutting
        finally:
            if cutting is not None and not cutting.done():
                cutting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await cutting

    async def _send(self, fed: Fed) -> None:
        if fed.satellite == STORE:
            await self._till.sell(fed.topic, fed.delivery, fed.body, self._count_sale)
            return
        await self._slots.acquire()
        task = asyncio.create_task(self._post(fed))
        self._tasks.add(task)
        task.add_done_callback(self._settle)

    async def _post(self, fed: Fed) -> None:
        key = self._keys[fed.satellite]
        if fed.satellite == WEB:
            headers = shopify_headers(key, fed.topic, fed.delivery, fed.body, genuine=fed.signed)
        else:
            headers = key_headers(key, fed.delivery)
        self._note(fed, await self._door.send(fed.satellite, fed.channel, fed.body, headers))

    def _note(self, fed: Fed, answer: Answer) -> None:
        refused = any(expected.outcome == "rejected" for expected in fed.expected)
        if answer.taken and not refused:
            self.sent[fed.satellite] += 1
        elif refused and answer.status == 401:
            self.rejected[fed.satellite] += 1
        else:
            told = answer.body[:300].decode(errors="replace")
            self.surprises.append(f"{fed.satellite} {fed.topic} {fed.number}: HTTP {answer.status} {told}")

    def _count_sale(self) -> None:
        self.sent[STORE] += 1
        self.sold_while_cut += self.cut_off

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._slots.release()
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.surprises.append(str(error))

    async def _cut_and_mend(self, seconds: float) -> None:
        await asyncio.sleep(seconds * CUT_FROM)
        self._stack.cut(STORE)
        self.cut_off = True
        began = time.monotonic()
        try:
            await asyncio.sleep(seconds * (CUT_UNTIL - CUT_FROM))
        finally:
            self._stack.mend(STORE)
            self.cut_off = False
        mended = time.monotonic()
        self.seconds_cut = mended - began
        sold = self.sent[STORE]
        while time.monotonic() < mended + 60:
            if await self._copied() >= sold:
                self.seconds_to_catch_up = time.monotonic() - mended
                return
            await asyncio.sleep(0.05)

    async def _copied(self) -> int:
        """How many of the store's documents the hub has."""
        with contextlib.suppress(JetStreamError, TimeoutError):
            info = await (await self._stack.operator()).jsm().stream_info(site_stream(STORE))
            return info.state.last_seq
        return 0
