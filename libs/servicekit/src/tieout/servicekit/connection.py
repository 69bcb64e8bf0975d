"""The connection to the broker: FastStream's, with a short way for the messages of batch flows.

nats-py parses the headers of each message character by character, builds an object, puts it into a queue and starts a
coroutine for it: about 20 us, when all that a flow wants is subject, reply and body. Ours takes them in the read loop.
Everything else (requests, operations, control messages) goes nats-py's own way.
"""

from collections.abc import Awaitable, Callable

import nats.errors
from faststream.nats import NatsBroker
from msgspec import Struct
from nats.aio.client import Client
from tieout.servicekit.packs import events_in


class Message(Struct):
    """One message of a flow: a pack of events. Its headers stay as they came: few read them."""

    subject: str
    reply: str
    data: bytes
    events: int
    headers: None = None
    raw_headers: bytes = b""


class QuickClient(Client):
    """`deliver[sid]` gets the JetStream messages of that subscription at once; it must not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.deliver: dict[int, Callable[[Message], None]] = {}
        self.password: Callable[[], str] | None = None  # As it is now; asked at each new connection.

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        deliver = self.deliver.get(sid)
        if deliver is None or not reply or not reply.startswith(b"$JS.ACK"):
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        body = bytes(data)
        deliver(Message(subject.decode(), reply.decode(), body, events_in(body), None, bytes(headers or b"")))

    def _connect_command(self) -> bytes:
        if self.password is not None:
            self.options["password"] = self.password()
        return super()._connect_command()

    async def _process_err(self, err_msg: str) -> None:
        """An error of the server, in small letters. nats-py would close for ever, also where it may connect again: a
        server sends "authorization violation" to all who are connected when their password is exchanged."""
        if "permissions violation" in err_msg or "stale connection" in err_msg:
            await super()._process_err(err_msg)
            return
        error = nats.errors.Error(f"nats: {err_msg}")
        await self._error_cb(error)
        await self._process_op_err(error)


class QuickBroker(NatsBroker):
    password: Callable[[], str] | None = None
    told: Callable[[Exception], Awaitable[None]] | None = None  # Of trouble. FastStream's own raises what ends for it.

    async def _connect(self) -> Client:
        connection = QuickClient()
        connection.password = self.password
        await connection.connect(**{**self._connection_kwargs, "error_cb": self.told})
        self.config.connect(connection)
        return connection
