"""Forward only: `NNNN_pre_*.sql` before the new code is deployed, `NNNN_post_*.sql` after. The kit's files come first.

Each file is one transaction; a file that was applied may not change afterwards (its checksum is kept).
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import asyncpg
from tieout.servicekit.errors import MigrationFailed

Phase = Literal["pre", "post", "all"]

_KIT = Path(__file__).with_name("kit")
_FILE = re.compile(r"^\d{4}_(pre|post)_[a-z0-9_]+\.sql$")
_LOCK = 0x7469656F  # "tieo": one migration at a time per database.

_PREPARE = """
CREATE TABLE IF NOT EXISTS schema_migration (
    owner text NOT NULL, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (owner, name))
"""


async def migrate(
    connection: "asyncpg.Connection[asyncpg.Record]", service: str, folder: Path, phase: Phase = "all"
) -> list[str]:
    """Bring the database up to date and name what was applied. `connection` belongs to the owner role.

    Grants go to the roles `<service>_app` and `<service>_auditor`.
    """
    applied: list[str] = []
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_PREPARE)
        known = {
            (row["owner"], row["name"]): row["checksum"]
            for row in await connection.fetch("SELECT owner, name, checksum FROM schema_migration")
        }
        for owner, path, text, checksum in _all(service, folder):
            if (owner, path.name) in known:
                if known[owner, path.name] != checksum:
                    raise MigrationFailed(
                        f"{path} was changed after it had been applied. "
                        "Undo the change and write a new file; on a test stack start afresh with --fresh."
                    )
                continue
            if phase != "all" and f"_{phase}_" not in path.name:
                continue
            await _apply(connection, service, owner, path, text, checksum)
            applied.append(f"{owner}/{path.name}")
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
    return applied


def checksums(service: str, folder: Path) -> dict[tuple[str, str], str]:
    """(owner, file) -> checksum of every migration that this release holds."""
    return {(owner, path.name): checksum for owner, path, _, checksum in _all(service, folder)}


def _all(service: str, folder: Path) -> Iterator[tuple[str, Path, str, str]]:
    for owner, path in [("kit", path) for path in _files(_KIT)] + [(service, path) for path in _files(folder)]:
        text = path.read_text(encoding="utf-8")
        yield owner, path, text, hashlib.sha256(text.encode()).hexdigest()


async def _apply(
    connection: "asyncpg.Connection[asyncpg.Record]", service: str, owner: str, path: Path, text: str, checksum: str
) -> None:
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT set_config('tieout.app_role', $1, true), set_config('tieout.auditor_role', $2, true)",
                f"{service}_app",
                f"{service}_auditor",
            )
            await connection.execute(  # First: it is by this row that triggers know a migration from a hand.
                "INSERT INTO schema_migration (owner, name, checksum) VALUES ($1, $2, $3)", owner, path.name, checksum
            )
            guarded = await connection.fetchval("SELECT to_regproc('begin_guarding') IS NOT NULL")
            if guarded:
                await connection.execute("CALL begin_guarding()")
            await connection.execute(text)
            if guarded:  # What this file made or altered is as it shall be; nothing else is.
                await connection.execute("CALL end_guarding()")
    except asyncpg.PostgresError as error:
        line = ""
        if error.position and str(error.position).isdigit():
            line = f", line {text.count(chr(10), 0, int(error.position)) + 1}"
        raise MigrationFailed(f"{path}{line}: {error}. Nothing of this file was applied.") from error


def _files(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.sql"))
    for path in paths:
        if not _FILE.match(path.name):
            raise MigrationFailed(f"{path}: name it NNNN_pre_what.sql or NNNN_post_what.sql.")
    numbers = [path.name[:4] for path in paths]
    if len(set(numbers)) != len(numbers):
        raise MigrationFailed(
            f"{folder}: a number is used twice: {', '.join(numbers)}. Give the newer file the next one."
        )
    return paths
