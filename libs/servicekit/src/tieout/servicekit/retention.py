"""What a service may forget of its outbox and its stream, by age and by bytes.

Never what a proof still needs: only what every consumer has confirmed, and never the newest row, whose sequence says
where a stream that was lost begins anew. The outbox forgets first, then the stream; the other way round the audit
would take what the stream has let go for lost, and publish it again.
"""

import asyncio
import json
from typing import Any

import structlog
from nats.js import JetStreamContext
from tieout.servicekit import sql
from tieout.servicekit.outbox import Outbox
from tieout.servicekit.settings import Settings

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

SOME = 2_000  # Rows in one statement, so that nobody waits for it.
KEPT_HOURS_MIN = 24  # However many bytes they have: time to notice that something is wrong.


class Retention:
    def __init__(self, js: JetStreamContext, outbox: Outbox, pool: Any, settings: Settings) -> None:
        self._js = js
        self._stream = outbox.stream
        self._pool = pool
        self._hours = settings.outbox_retention_hours
        self._bytes_max = settings.stream_bytes_max

    async def run(self) -> int:
        """Rows of the outbox that were forgotten. Raises what broker and database raise."""
        consumers = await self._js.consumers_info(self._stream)
        info = await self._js.stream_info(self._stream)
        floors = [consumer.ack_floor.stream_seq for consumer in consumers if consumer.ack_floor]
        floor = min(floors, default=info.state.last_seq)
        forgotten = await self._forget(floor, self._hours)
        await self._pool.execute(statements.forget_letters, self._hours)
        state = info.state
        if 0 < self._bytes_max < state.bytes and state.messages:
            # Messages are about equally large, so the share of bytes that is too much is the share of sequences.
            share = (state.bytes - self._bytes_max) / state.bytes
            upto = min(floor, state.first_seq + int((state.last_seq - state.first_seq) * share))
            forgotten += await self._forget(upto, KEPT_HOURS_MIN)
            await self._let_go(upto)
        return forgotten

    async def _forget(self, sequence: int, hours: int) -> int:
        forgotten = 0
        while True:
            status = await self._pool.execute(statements.forget, self._stream, sequence, hours, SOME)
            some = int(status.split()[-1])
            forgotten += some
            if some < SOME:
                return forgotten
            await asyncio.sleep(0.05)

    async def _let_go(self, upto: int) -> None:
        """The stream's messages below `upto` that the outbox does not know any more."""
        kept = await self._pool.fetchval(statements.lowest_sequence, self._stream)
        first = min(upto + 1, kept) if kept else upto + 1
        request = json.dumps({"seq": first}).encode()
        await self._js._api_request(f"{self._js._prefix}.STREAM.PURGE.{self._stream}", request)
        log.info("stream let go of what all have confirmed", stream=self._stream, first_sequence=first)
