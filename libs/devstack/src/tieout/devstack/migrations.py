"""Bring the databases of all services up to date in one process, all at once.

The same as `python -m tieout.<service> migrate` for each, without paying for each service's imports: it is started
while Postgres still starts, reads what to do from its input when Postgres is ready, and ends.
"""

import asyncio
import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct
from tieout.devstack import processes
from tieout.devstack.processes import ServerFailed


class Target(Struct, frozen=True):
    service: str
    owner_url: str
    owner_password: str  # Through a pipe, never in an argument list.


class Migrations:
    """Started early, given its targets later."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tieout.devstack.migrations"),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                preexec_fn=processes.ends_with_launcher(signal.SIGTERM),
            )

    async def run(self, targets: list[Target]) -> None:
        """Raises ServerFailed with the end of the log. Nothing of a file that failed was applied."""
        assert self._process is not None, "start comes first"
        await self._process.communicate(msgspec.json.encode(targets))
        if self._process.returncode:
            raise ServerFailed(f"a migration failed. The end of {self._log}:\n{processes.end_of(self._log)}")

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def fingerprint(services: Iterable[str]) -> str:
    """Changes when any migration file of these services or of the kit does."""
    found = hashlib.sha256()
    for folder in (_folder_of("servicekit", "kit"), *(_folder_of(service) for service in services)):
        for path in sorted(folder.glob("*.sql")):
            found.update(f"{folder}/{path.name}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _folder_of(service: str, name: str = "migrations") -> Path:
    spec = importlib.util.find_spec(f"tieout.{service}")
    if spec is None or spec.origin is None:
        raise ServerFailed(f"the service {service} is not installed")
    return Path(spec.origin).with_name(name)


async def _migrate_all(targets: list[Target]) -> None:
    import asyncpg
    from tieout.servicekit import migrate

    async def one(target: Target) -> None:
        connection = await asyncpg.connect(target.owner_url, password=target.owner_password)
        try:
            for applied in await migrate(connection, target.service, _folder_of(target.service)):
                print(f"{target.service}: applied {applied}")
        finally:
            await connection.close()

    await asyncio.gather(*(one(target) for target in targets))


def main() -> int:
    import tieout.servicekit  # Before waiting: this is what takes time.

    errors = tieout.servicekit.TieoutError
    told = sys.stdin.buffer.read()
    if not told:
        return 0  # The launcher gave up.
    try:
        asyncio.run(_migrate_all(msgspec.json.decode(told, type=list[Target])))
    except (errors, ServerFailed) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
