"""Sends what became of tickets to the channels: what the tickets' transactions wrote, after their commit.

At least once: a process that dies between the channel's answer and ours sends it again, with the same ids. A channel
gets one message at a time, as many a minute as its vendor takes; whatever comes meanwhile shares the next message.
Each has a task of its own while it is served, so a robot that answers slowly delays nobody else's.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence, Set
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import structlog
from tieout.control import ticket_reads, tickets
from tieout.control.notify.channels import Channel
from tieout.control.notify.messages import Answer, Told, compose, verdict
from tieout.servicekit import Database, Misconfigured, sql
from tieout.servicekit.errors import Cause, cause_of

statements = sql.load(__file__)
log = structlog.get_logger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # It would log each address, and a robot's holds its key.

SECONDS_MAX = 10.0  # For one message.
ANSWER_BYTES_MAX = 64 << 10
RETRY_SECONDS_MAX = 300.0
FAILURES_FOR_TICKET = 5
FORGET_EVERY_SECONDS = 3600.0
READ_EVERY_SECONDS = 10.0  # So long after an exchange the old address or secret may still be used.
NOBODY_TOLD_SECONDS = 30.0  # Without channels nothing is urgent; what there is to tell is still ticked off.


class Sender:
    def __init__(self, read: Callable[[], Sequence[Channel]], seconds: float = 1.0) -> None:
        """`read`: the channels as their files hold them now. Raises Misconfigured where it does so now."""
        self._read = read
        self._channels = read()
        self._read_at = time.monotonic()
        self._seconds = seconds
        self._serving: dict[str, asyncio.Task[None]] = {}  # By channel.

    def owners(self) -> Set[str]:
        """Teams that some channel is told for."""
        return {owner for channel in self._channels for owner in channel.owners}

    async def run(self, database: Database) -> None:
        """Until cancelled."""
        if self._seconds <= 0:
            await asyncio.Event().wait()
        forgotten = float("-inf")
        async with (
            httpx.AsyncClient(timeout=SECONDS_MAX, follow_redirects=False) as client,
            asyncio.TaskGroup() as group,
        ):
            while True:
                try:
                    await self._begin(database, client, group)
                    if time.monotonic() - forgotten > FORGET_EVERY_SECONDS:
                        forgotten = time.monotonic()
                        async with database.transaction() as tx:
                            await tx.execute(statements.forget)
                            await tx.execute(statements.forget_deliveries)
                except Exception as error:
                    _tell_failure(error)
                await asyncio.sleep(self._seconds if self._channels else max(self._seconds, NOBODY_TOLD_SECONDS))

    async def once(self, database: Database, client: httpx.AsyncClient) -> None:
        """Spread what is new, then one message for each channel that may have one now, until all are answered."""
        async with asyncio.TaskGroup() as group:
            await self._begin(database, client, group)

    async def _begin(self, database: Database, client: httpx.AsyncClient, group: asyncio.TaskGroup) -> None:
        """The same, without waiting for an answer; a channel that is still waited for has its next turn later."""
        self._refresh()
        names = [channel.target.name for channel in self._channels]
        async with database.read() as connection:
            due = await connection.fetchrow(statements.due, names)
        assert due is not None
        if due["fresh"]:
            async with database.transaction() as tx:
                await tx.execute(
                    statements.spread,
                    names,
                    [channel.priority_max for channel in self._channels],
                    [",".join(channel.owners) for channel in self._channels],
                )
                await tx.execute(statements.note_channels, names)
        if due["fresh"] or due["waiting"]:
            self._serving = {name: task for name, task in self._serving.items() if not task.done()}
            for channel in self._channels:
                if channel.target.name not in self._serving:
                    task = group.create_task(self._served(channel, database, client))
                    self._serving[channel.target.name] = task

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at < READ_EVERY_SECONDS:
            return
        self._read_at = time.monotonic()
        try:
            self._channels = self._read()
        except Misconfigured as error:
            log.warning("the channels cannot be read; those of before stay", error=str(error))

    async def _served(self, channel: Channel, database: Database, client: httpx.AsyncClient) -> None:
        try:
            await self._serve(channel, database, client)
        except Exception as error:  # Of this channel alone.
            _tell_failure(error)

    async def _serve(self, channel: Channel, database: Database, client: httpx.AsyncClient) -> None:
        name = channel.target.name
        async with database.transaction() as tx:
            failures = await tx.fetchval(statements.take, name, 60.0 / channel.per_minute)
        if failures is None:
            return
        async with database.read() as connection:
            rows = await connection.fetch(statements.waiting, name)
            found = await ticket_reads.several(connection, {row["ticket"] for row in rows})
        told = [Told(row["number"], row["what"], found[row["ticket"]], row["note"]) for row in rows]
        answer = await _post(channel, told, client)
        async with database.transaction() as tx:
            if answer.accepted:
                await tx.execute(statements.sent, name, [one.id for one in told])
                await tx.execute(statements.worked, name)
                if failures >= FAILURES_FOR_TICKET:
                    await tickets.settle_ticket(tx, _fingerprint(name), "The channel takes messages again.")
                return
            pause = min(2.0**failures, RETRY_SECONDS_MAX) * random.uniform(0.75, 1.25)
            failures = await tx.fetchval(statements.failed, name, pause, answer.error)
            log.warning("channel refuses", channel=name, error=answer.error, failures=failures, seconds=round(pause, 1))
            if failures == FAILURES_FOR_TICKET:
                await tickets.open_ticket(
                    tx,
                    "satellite",
                    _fingerprint(name),
                    f"Notifications do not reach the channel {name}",
                    f"通知渠道 {name} 无法送达",
                    detail=answer.error,
                )


async def _post(channel: Channel, told: Sequence[Told], client: httpx.AsyncClient) -> Answer:
    """Send, and read what the other side says. Errors name no address: it holds the robot's key."""
    post = compose(channel.target, told, str(uuid4()), datetime.now(UTC))
    try:
        async with (
            asyncio.timeout(SECONDS_MAX),
            client.stream("POST", post.url, content=post.body, headers=post.headers) as response,
        ):
            body = b""
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > ANSWER_BYTES_MAX:
                    break
            return verdict(channel.target.kind, response.status_code, body)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        return Answer(accepted=False, error=type(error).__name__)


def _tell_failure(error: Exception) -> None:
    if cause_of(error) is Cause.CODE:
        log.error("notifications failed", exc_info=error)
    else:
        log.warning("notifications wait", error=repr(error)[:300])


def _fingerprint(channel: str) -> str:
    return f"satellite:channel:{channel}"
