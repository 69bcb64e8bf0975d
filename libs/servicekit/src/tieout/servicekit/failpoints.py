"""Places where a fault harness may let a service fail: between commit and publish, publish and mark, commit and ack.

They exist only under the harness: `arm` refuses unless TIEOUT_FAILPOINTS names a folder that holds the harness' marker.
Else `ARMED` stays None, and a place costs one comparison.

The folder holds `plan.json`, which the harness rewrites as it likes: a list of faults, each with its own name. A fault
strikes `times` times in all processes and lives together: each strike is a file `<name>.<n>`, made exclusively.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import asyncpg
import msgspec
import structlog
from msgspec import Struct
from tieout.servicekit.errors import Misconfigured

log = structlog.get_logger(__name__)

MARKER = "tieout-fault-harness"  # A file of this name, written by the harness, makes a folder its own.
PLAN = "plan.json"
LOOK_SECONDS = 0.05  # Between two looks whether the plan has changed.

Place = Literal["begin", "commit", "committed", "published", "handled"]


class Fault(Struct, frozen=True):
    """What happens at a place. `flow` narrows the place `handled` to one flow's batches."""

    name: str
    place: Place
    action: Literal["kill", "lose_connection", "disk_full", "bug", "slow"]
    service: str = ""  # "": whichever comes by first.
    flow: str = ""
    times: int = 1
    seconds: float = 0.5  # Of `slow`.
    after: int = 0  # Let so many pass first, in each process.


class Plan(Struct, frozen=True):
    faults: tuple[Fault, ...] = ()
    clock_seconds: float = 0.0  # The services' clock is this much ahead.


class Failpoints:
    def __init__(self, folder: Path, service: str) -> None:
        self._folder = folder
        self._service = service
        self._plan = Plan()
        self._looked = float("-inf")
        self._changed = 0
        self._passed: dict[str, int] = {}

    async def reach(self, place: Place, flow: str = "") -> None:
        """Raises, sleeps or ends the process, where the plan says so."""
        for fault in self._due(place, flow):
            if not self._strike(fault):
                continue
            log.warning("failpoint", fault=fault.name, place=place, action=fault.action, flow=flow)
            if fault.action == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif fault.action == "slow":
                await asyncio.sleep(fault.seconds)
            elif fault.action == "disk_full":
                raise asyncpg.DiskFullError("failpoint: no space left on device")
            elif fault.action == "lose_connection":
                raise asyncpg.ConnectionDoesNotExistError("failpoint: connection was closed in the middle of operation")
            else:
                raise RuntimeError(f"failpoint {fault.name}: a bug")

    def now(self, true: datetime) -> datetime:
        """The clock as the harness bends it."""
        return true + timedelta(seconds=self._look().clock_seconds)

    def _due(self, place: Place, flow: str) -> Iterable[Fault]:
        for fault in self._look().faults:
            if fault.place != place or fault.service not in ("", self._service) or fault.flow not in ("", flow):
                continue
            self._passed[fault.name] = passed = self._passed.get(fault.name, 0) + 1
            if passed > fault.after:
                yield fault

    def _look(self) -> Plan:
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._looked = now
            path = self._folder / PLAN
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                changed = path.stat().st_mtime_ns
                if changed != self._changed:
                    self._plan = msgspec.json.decode(path.read_bytes(), type=Plan)
                    self._changed = changed
        return self._plan

    def _strike(self, fault: Fault) -> bool:
        """True where one of its times is left, which is then used up."""
        for number in range(fault.times):
            with contextlib.suppress(FileExistsError):
                (self._folder / f"{fault.name}.{number}").touch(exist_ok=False)
                return True
        return False


ARMED: Failpoints | None = None


def arm(folder: str, service: str) -> None:
    """Called at the start of a process with the setting. Raises Misconfigured where the folder is not the harness'."""
    global ARMED
    if not folder:
        ARMED = None
        return
    path = Path(folder)
    if not (path / MARKER).is_file():
        raise Misconfigured(
            f"TIEOUT_FAILPOINTS={folder!r} is for the fault harness only, and its marker is not there. Unset it."
        )
    ARMED = Failpoints(path, service)
    log.warning("failpoints armed: this process fails on purpose", folder=folder)
