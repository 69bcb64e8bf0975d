"""One service's database goes back to an older backup while the others go on, and is brought forward again."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
from tieout.devstack import databases, recover
from tieout.devstack.failures import CommandFailed
from tieout.devstack.postgres import binaries
from tieout.devstack.suite import Stack

WORKS_SECONDS_MAX = 90.0  # On a machine that is busy.
RECOVERY_SECONDS = 120.0  # Each attempt of one that is killed again and again is a process of its own.
PAUSE_SECONDS = 0.5
_FAILS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, subprocess.CalledProcessError, CommandFailed)


async def back_and_forward(
    stack: Stack, service: str, seconds: float, *, settings: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A dump under load, `seconds` of further work, the restore, and the recovery; what the recovery told.

    `settings` are for the recovery that counts, which is run again until it ends.
    """
    dump = stack.folder / f"{service}.dump"
    await _until_it_works(lambda: back_up(stack, service, dump))
    await asyncio.sleep(seconds)
    await _until_it_works(lambda: restore(stack, service, dump))
    await asyncio.sleep(PAUSE_SECONDS)  # The service tries to start, and must refuse.
    where = stack.endpoints()
    looked = await _until_it_works(lambda: recover.preview(where, stack.folder, service))
    done = await _until_it_works(
        lambda: recover.bring_forward(where, stack.folder, service, settings=settings), RECOVERY_SECONDS
    )
    return {**done, "preview": looked}


async def back_up(stack: Stack, service: str, dump: Path) -> None:
    """While the service works."""
    url = stack.postgres.url(databases.database_of(service))
    await _program("pg_dump", "--format=custom", "--compress=0", f"--file={dump}", f"--dbname={url}")


async def restore(stack: Stack, service: str, dump: Path) -> None:
    """As an administrator does: the database away, a new one, the dump into it. The service notices nothing before."""
    name = databases.database_of(service)
    server = await asyncpg.connect(stack.postgres.url(), timeout=60)
    try:
        await server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await databases.create(server, service, f"{name}_restored")
        url = stack.postgres.url(f"{name}_restored")
        await _program("pg_restore", "--exit-on-error", f"--dbname={url}", str(dump))
        await server.execute(f"ALTER DATABASE {name}_restored RENAME TO {name}")
    finally:
        with contextlib.suppress(*_FAILS):
            await server.execute(f"DROP DATABASE IF EXISTS {name}_restored WITH (FORCE)")
            await server.close()


async def _program(name: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        binaries() / name, *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, told = await process.communicate()
    if process.returncode:
        raise CommandFailed(f"{name} ended with code {process.returncode}: {told.decode(errors='replace')[-500:]}")


async def _until_it_works(attempt: Any, seconds: float = WORKS_SECONDS_MAX) -> Any:
    """Other faults may strike at the same time, and a restore that is not finished is worse than none."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await attempt()
        except _FAILS:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(PAUSE_SECONDS)
