"""The line between a site and the hub, as a TCP proxy that misbehaves: cut, slow, or half open (nothing passes, and
nobody is told)."""

import asyncio
import contextlib
import socket
from typing import Literal

State = Literal["open", "cut", "slow", "half_open"]
CHUNK_BYTES = 64 << 10
SLOW_SECONDS = 0.15  # Each chunk, each way.


class Line:
    """`start` gives the port to connect to; `to` says where it leads."""

    def __init__(self) -> None:
        self.state: State = "open"
        self.port = 0
        self._to = 0
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def between(self, hub_port: int) -> int:
        self._to = hub_port
        return self.port

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._socket)

    async def stop(self) -> None:
        for task in list(self._pairs):
            task.cancel()
        if self._server is not None:
            self._server.close()

    def set(self, state: State) -> None:
        self.state = state
        if state == "cut":
            for task in list(self._pairs):
                task.cancel()
        self._changed.set()
        self._changed = asyncio.Event()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        try:
            if self.state == "cut":
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._copy(reader, far_writer))
                    group.create_task(self._copy(far_reader, writer))
            finally:
                far_writer.close()
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # One end went away, or the line was cut: the other end learns it by the close below.
        finally:
            self._pairs.discard(task)
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            while self.state == "half_open":
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 1.0)
            if self.state == "slow":
                await asyncio.sleep(SLOW_SECONDS)
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError
