"""Forward only: `NNNN_pre_*.sql` before the new code is deployed, `NNNN_post_*.sql` after. The kit's files come first.

Each file is one transaction; a file that was applied may not change afterwards (its checksum is kept).

Where pods of two releases run side by side, nobody is there to say when the last old one has gone. So a deployment runs
the phase `upgrade` before each release: post files of earlier releases, then the pre files of this one. Such a post
file runs when an earlier release has noted it (`post_migration`), and every living process holds it in its own package
(`process_run.holds`): then none is left that needs what it takes away, also where the earlier release never got to run.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import asyncpg
import structlog
from tieout.servicekit.errors import MigrationFailed

Phase = Literal["pre", "post", "all", "upgrade"]
log = structlog.get_logger(__name__)

_KIT = Path(__file__).with_name("kit")
_FILE = re.compile(r"^\d{4}_(pre|post)_[a-z0-9_]+\.sql$")
_LOCK = 0x7469656F  # "tieo": one migration at a time per database.

_PREPARE = """
CREATE TABLE IF NOT EXISTS schema_migration (
    owner text NOT NULL, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (owner, name))
"""
_NOTED = "SELECT owner, name, release FROM post_migration"
_NOTE = "INSERT INTO post_migration (owner, name, release) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_LACKING = """
SELECT version, host, pid FROM process_run
WHERE ended = '' AND NOT $1 = ANY (holds) AND seen_at > clock_timestamp() - interval '10 minutes' ORDER BY run LIMIT 1
"""


class _File(NamedTuple):
    owner: str
    path: Path
    text: str
    checksum: str

    @property
    def name(self) -> str:
        return f"{self.owner}/{self.path.name}"

    @property
    def key(self) -> tuple[str, str]:
        return self.owner, self.path.name

    def belongs_to(self, phase: str) -> bool:
        return f"_{phase}_" in self.path.name


async def migrate(
    connection: "asyncpg.Connection[asyncpg.Record]",
    service: str,
    folder: Path,
    phase: Phase = "all",
    release: str = "",
) -> list[str]:
    """Bring the database up to date and name what was applied. `connection` belongs to the owner role.

    Grants go to the roles `<service>_app` and `<service>_auditor`. `release` names what is deployed, for `upgrade`.
    """
    applied: list[str] = []
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_PREPARE)
        known = {
            (row["owner"], row["name"]): row["checksum"]
            for row in await connection.fetch("SELECT owner, name, checksum FROM schema_migration")
        }
        waiting = []
        for file in _all(service, folder):
            if file.key not in known:
                waiting.append(file)
            elif known[file.key] != file.checksum:
                raise MigrationFailed(
                    f"{file.path} was changed after it had been applied. "
                    "Undo the change and write a new file; on a test stack start afresh with --fresh."
                )
        if phase == "upgrade" and known:
            due = await _due(connection, [file for file in waiting if file.belongs_to("post")], release)
            due += [file for file in waiting if file.belongs_to("pre")]
        else:  # An empty database has no older process to wait for.
            due = [file for file in waiting if phase in ("all", "upgrade") or file.belongs_to(phase)]
        for file in due:
            await _apply(connection, service, file)
            applied.append(file.name)
        if phase in ("pre", "upgrade"):
            later = [file.key for file in waiting if file not in due and file.belongs_to("post")]
            await connection.executemany(_NOTE, [(*key, release) for key in later])
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
    return applied


def checksums(service: str, folder: Path) -> dict[tuple[str, str], str]:
    """(owner, file) -> checksum of every migration that this release holds."""
    return {file.key: file.checksum for file in _all(service, folder)}


def posts(migrations: Collection[tuple[str, str]]) -> list[str]:
    """Names of the post files among them, as `process_run.holds` has them."""
    return [f"{owner}/{name}" for owner, name in sorted(migrations) if "_post_" in name]


def _all(service: str, folder: Path) -> Iterator[_File]:
    for owner, path in [("kit", path) for path in _files(_KIT)] + [(service, path) for path in _files(folder)]:
        text = path.read_text(encoding="utf-8")
        yield _File(owner, path, text, hashlib.sha256(text.encode()).hexdigest())


async def _due(connection: "asyncpg.Connection[asyncpg.Record]", waiting: list[_File], release: str) -> list[_File]:
    """Post files that nobody needs to wait for any more; why the others wait is logged."""
    if not waiting or await connection.fetchval("SELECT to_regclass('post_migration')") is None:
        return []
    noted = {(row["owner"], row["name"]): row["release"] for row in await connection.fetch(_NOTED)}
    due = []
    for file in waiting:
        lacking = await connection.fetchrow(_LACKING, file.name)
        if noted.get(file.key, release) == release:
            log.info("a post migration waits for the next release", migration=file.name, release=release)
        elif lacking is not None:
            log.warning("a post migration waits: a process of an earlier release runs", migration=file.name, **lacking)
        else:
            due.append(file)
            continue
        break  # What follows may build on it.
    return due


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", service: str, file: _File) -> None:
    owner, path, text, checksum = file
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
