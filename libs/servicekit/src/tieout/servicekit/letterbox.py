"""What the stream of dead letters has lost of ours is published again, out of the outbox.

Letters of all services lie in one stream, and nobody may read another's. So the stored bytes are not compared one by
one, as the audit of the own stream does; the stream's own figures tell what lacks (created since, emptied, ends
earlier, deleted in its middle), and the last letter of each of our subjects shows a tail whose numbers others have now.
Where in doubt a letter goes out twice: its id makes it one.
"""

import json
from typing import Any

import msgspec
import structlog
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from tieout.contracts.streams import DEAD_STREAM
from tieout.servicekit import sql
from tieout.servicekit.outbox import Outbox
from tieout.servicekit.packs import packed
from tieout.servicekit.wire import when

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

AT_ONCE = 100  # Rows of the outbox, of at most four letters each.


class Letterbox:
    """`look` is cheap where this service has no letters, which is nearly always."""

    def __init__(self, js: JetStreamContext, outbox: Outbox, pool: Any, retention_hours: int) -> None:
        self._js = js
        self._outbox = outbox
        self._pool = pool
        self._hours = retention_hours
        self.lost = 0

    async def look(self) -> int:
        """Number of letters published again. Raises what broker and database raise; no stream yet is nothing."""
        upto = await self._pool.fetchval(statements.sent_upto)
        try:
            request = json.dumps({"deleted_details": True}).encode()
            info = await self._js._api_request(f"{self._js._prefix}.STREAM.INFO.{DEAD_STREAM}", request)
        except NotFoundError:
            self._outbox.letters_created = None  # control makes it; until then letters wait in the outbox.
            return 0
        created = when(info["created"])
        self._outbox.letters_created = created
        if upto is None:
            return 0
        state, age = info["state"], info["config"].get("max_age", 0) / 3.6e12
        hours = min(self._hours, age - 1) if age else self._hours  # What is older may have gone by its age.
        place = (created, state["first_seq"], state["last_seq"], state.get("deleted") or [], hours)
        subjects, lasts = await self._last_of_subjects()
        again = seen = 0  # Each row once: what goes out now stands behind all that was looked at.
        while rows := await self._pool.fetch(statements.lacking, *place, subjects, lasts, seen, upto, AT_ONCE):
            again += sum([await self._publish(row["batch"]) for row in rows])
            seen = rows[-1]["batch"]
        await self._pool.execute(statements.settled, created)
        if again:
            self.lost += again
            log.warning("the broker had lost dead letters", published_again=again)
        return again

    async def _last_of_subjects(self) -> tuple[list[str], list[int]]:
        """Where the stream's last letter of each subject stands that our newest letters have; 0: nowhere."""
        subjects = [row["subject"] for row in await self._pool.fetch(statements.newest_subjects)]
        return subjects, [await self._last(subject) for subject in subjects]

    async def _last(self, subject: str) -> int:
        try:
            return (await self._js.get_last_msg(DEAD_STREAM, subject, direct=True)).seq or 0
        except (NotFoundError, msgspec.MsgspecError):
            return 0

    async def _publish(self, batch: int) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(statements.hold, batch)
            if row is None:
                return 0  # Forgotten meanwhile.
            messages = packed(row["subjects"], row["bodies"], row["message"])
            sequences = await self._outbox.publish(messages)
            await self._outbox.mark_sent(connection, batch, DEAD_STREAM, sequences)
        return len(messages)
