"""Service processes: started, watched, started again with growing pauses when they die, and stopped gracefully."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
from tieout.devstack import processes

STOP_SECONDS_MAX = 10.0
_PAUSE_SECONDS_MIN, _PAUSE_SECONDS_MAX = 0.1, 10.0
_STEADY_SECONDS = 30.0  # Who ran this long before it died is started again at once.
_POLL_SECONDS = 0.25
_STARTED_NOT_SECONDS = 1.0


def service_of(process: str) -> str:
    """`order-2` is the second process of `order`."""
    name, _, number = process.rpartition("-")
    return name if number.isdigit() else process


class Supervised:
    """One process of a service, whether it runs at this moment or not."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self.deaths = 0  # In a row, without a steady time between.
        self.wanted = False  # Else its end is no death.
        self.started_at = 0.0
        self.start_again_at = 0.0


class Supervisor:
    """`environment_of` says what a service's process is told; `changed` is called whenever a process came or went."""

    def __init__(
        self,
        logs: Path,
        cwd: Path,
        environment_of: Callable[[str], Mapping[str, str]],
        changed: Callable[[], None],
    ) -> None:
        self.services: dict[str, Supervised] = {}
        self._logs = logs
        self._cwd = cwd
        self._environment_of = environment_of
        self._changed = changed
        self._begun: dict[str, subprocess.Popen[bytes]] = {}  # Importing, not told anything yet.
        self._watch: asyncio.Task[None] | None = None

    def begin(self, name: str, environment: Mapping[str, str]) -> None:
        """Start it before anybody knows where its servers will listen: it imports meanwhile, and `start` tells it.

        That is most of the time that a service takes to start.
        """
        self._begun[name] = processes.start(
            [sys.executable, "-m", f"tieout.{service_of(name)}", "serve"],
            log=self._logs / f"{name}.log",
            environment={**environment, "TIEOUT_SETTINGS": "stdin"},
            cwd=self._cwd,
            asks=True,
        )

    def start(self, name: str) -> None:
        service = self.services.setdefault(name, Supervised(name, self._logs / f"{name}.log"))
        service.wanted = True
        begun = self._begun.pop(name, None)
        if begun is not None:
            service.process = begun
            with contextlib.suppress(BrokenPipeError):  # It has ended already, and is started again like others.
                assert begun.stdin is not None
                begun.stdin.write(msgspec.json.encode(self._environment_of(name)))
                begun.stdin.close()
        else:
            service.process = processes.start(
                [sys.executable, "-m", f"tieout.{service_of(name)}", "serve"],
                log=service.log,
                environment=self._environment_of(name),
                cwd=self._cwd,
            )
        service.started_at = time.monotonic()
        self._changed()
        if self._watch is None:
            self._watch = asyncio.create_task(self._restart_the_dead())

    async def stop(self, name: str, patience_seconds: float = STOP_SECONDS_MAX) -> bool:
        """Gracefully, and it stays down until `start`. False where it had to be killed."""
        service = self.services[name]
        service.wanted = False
        process, service.process = service.process, None
        if process is None or process.poll() is not None:
            return True
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + patience_seconds
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                return False
            await asyncio.sleep(0.02)
        return True

    async def stop_all(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        for begun in self._begun.values():  # Never told where to work: the start has failed.
            begun.kill()
            begun.communicate()
        self._begun.clear()
        await asyncio.gather(*(self.stop(name) for name in self.services))
        self.services.clear()

    def running(self) -> Iterable[tuple[str, subprocess.Popen[bytes]]]:
        return [(name, service.process) for name, service in self.services.items() if service.process is not None]

    async def _restart_the_dead(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            now = time.monotonic()
            for service in self.services.values():
                if not service.wanted:
                    continue
                try:
                    if service.process is not None and service.process.poll() is not None:
                        self._note_death(service, service.process.returncode, now)
                    if service.process is None and now >= service.start_again_at:
                        self.start(service.name)
                        service.restarts += 1
                except OSError as error:  # A full disk: no log, no list of processes. There may be room in a moment.
                    service.start_again_at = now + _STARTED_NOT_SECONDS
                    processes.complain(f"{service.name} could not be started: {error}. Tried again")

    def _note_death(self, service: Supervised, code: int, now: float) -> None:
        service.process = None
        service.deaths = 1 if now - service.started_at > _STEADY_SECONDS else service.deaths + 1
        pause = min(_PAUSE_SECONDS_MIN * 2 ** (service.deaths - 1), _PAUSE_SECONDS_MAX)
        service.start_again_at = now + pause
        with service.log.open("a") as log:
            log.write(f"[tieout] {service.name} ended with code {code}; started again in {pause:.1f} s\n")
        self._changed()
