"""Bring a service's database forward that was restored from an older backup, while the others stand at today.

First the whole recovery is run on a copy, which is dropped: it tells what comes back as it was announced, and what does
not and why. Then, with --yes or when you say so, on the database itself; and the agreement is proved again. What others
have booked is never announced twice, and no position is given out a second time.

It works for all services. The stack may run meanwhile: the service itself refuses to start until its database is where
its stream is. What people did in the lost time (articles, warehouses, rates, closed
periods) stands in no stream; the commands are listed, to be done again. Of the gateway the commands come back, and what
leaf sites sold; it is told from when on each satellite must send again, and what else is lost. Control hears again what
the streams hold; tickets stand again, what people did with them does not.

It may be interrupted at any time, also by kill -9: what came back stays, and the next `tieout recover` goes on.

Exit code 0 if nothing was lost, or all that was announced is there again as it was; 1 if something is lost, for it did
not come back or nothing was done; 130 if it was interrupted.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import msgspec
import nats
import nats.errors
from msgspec import Struct
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tieout.contracts import desk, finance, inventory, order, repair, replay, ticket
from tieout.contracts.control import PROVE_AGREEMENT, Agreement, AgreementRequest
from tieout.contracts.operation import Health
from tieout.devstack import consent, databases, endpoints, hints, processes
from tieout.devstack.calling import call
from tieout.devstack.endpoints import Endpoints
from tieout.devstack.failures import CommandFailed
from tieout.devstack.secrets import Secrets
from tieout.devstack.suite import Stack, installed_services
from tieout.devstack.terminal import Screen
from tieout.devstack.wording import counted, why_silent

COPY_SECONDS_MAX = 60.0
READY_SECONDS_MAX = 60.0
PROVED_SECONDS_MAX = 40.0
_COMMANDS = {
    operation.name
    for module in (order, inventory, finance, ticket, desk, replay, repair)
    for operation in module.OPERATIONS
    if operation.method != "GET"
}


class Commanded(Struct, frozen=True):
    """What somebody asked of the service after the backup. It stands in no stream."""

    at: datetime
    who: str
    operation: str
    path: str


class Report(Struct, omit_defaults=True):
    service: str
    preview: dict[str, Any]
    commands: list[Commanded]
    done: dict[str, Any] | None = None
    agreement: str = ""  # "agree", or what control says instead; "" where it was not asked.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "service", choices=installed_services(), metavar="SERVICE", help=", ".join(installed_services())
    )
    parser.add_argument("--yes", action="store_true", help="do it without asking, where everything comes back")
    parser.add_argument(
        "--accept-differences", action="store_true", help="with --yes: also where something does not come back"
    )
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")


def run(arguments: argparse.Namespace) -> int:
    try:
        return asyncio.run(_run(arguments))
    except KeyboardInterrupt:
        again = hints.command(f"recover {arguments.service}")
        print(f"\ntieout recover: interrupted. What came back by now stays; go on with: {again}", file=sys.stderr)
        return 130


async def _run(arguments: argparse.Namespace) -> int:
    service, folder, console = arguments.service, arguments.dir, Screen(stderr=arguments.json)
    async with _servers(folder) as (where, runs):
        if runs:
            await _refuse_living(where, service)
        report = Report(service, await preview(where, folder, service), [])
        if report.preview["lost"]:
            report.commands = await commands_since(where, service, report.preview["backup_at"])
        _tell_preview(report, console)
        if report.preview["lost"] or arguments.yes:
            _make_sure(arguments, report)
            report.done = await bring_forward(where, folder, service)
            if runs:
                report.agreement = await _proved(where)
            _tell_done(report, console)
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    if report.done is None:
        return 0
    return 0 if report.done["exact"] and report.agreement in ("", "agree") else 1


@contextlib.asynccontextmanager
async def _servers(folder: Path) -> AsyncIterator[tuple[Endpoints, bool]]:
    """Of the running stack; or servers without services for as long as this takes."""
    if (folder / "endpoints.json").exists():
        yield endpoints.of_stack(folder), True
        return
    if not (folder / "postgres").exists():
        raise CommandFailed(f"there is no stack in {folder}. Name its folder: --dir")
    stack = Stack(folder, services=())
    async with stack.running():
        yield stack.endpoints(), False


async def _refuse_living(where: Endpoints, service: str) -> None:
    """Beside a service that works, outbox and stream never stand still together: what is on its way looks forgotten."""
    hub = where.hub
    try:
        client = await hub.connect()
    except (OSError, TimeoutError, nats.errors.Error) as error:
        raise CommandFailed(
            f"the hub at {hub.url} does not answer ({why_silent(error)}), and what was forgotten stands in its streams "
            f"only. What is wrong: {hints.command('doctor')}"
        ) from None
    try:
        answer = await client.request(f"rpc.{service}.health", b"{}", timeout=2)
        living = msgspec.json.decode(answer.data, type=Health).ready
    except (nats.errors.Error, msgspec.MsgspecError, TimeoutError):
        living = False
    finally:
        await client.close()
    if living:
        raise CommandFailed(
            f"{service} works, so its database lacks nothing that was announced: one that does is refused at the start."
            f" To run again what it heard without announcing anything, stop the stack first: {hints.command('down')}"
        )


# ---------------------------------------------------------------------------------------------- what would happen


async def preview(where: Endpoints, folder: Path, service: str) -> dict[str, Any]:
    """The whole recovery on a copy of the database; the database itself is only read."""
    name = databases.database_of(service)
    copy = f"{name}_recovery"
    server = await asyncpg.connect(_superuser(where, folder, service), timeout=10)
    try:
        await databases.open_again(server, name)  # One that was killed may have left it closed.
        looked = await bring_forward(where, folder, service, really=False)
        await _copy(server, service, name, copy)
        return {**await bring_forward(where, folder, service, database=copy), "unreachable": looked["unreachable"]}
    finally:
        await server.execute(f"DROP DATABASE IF EXISTS {copy} WITH (FORCE)")
        await server.close()


async def _copy(server: asyncpg.Connection, service: str, name: str, copy: str) -> None:
    """Postgres copies only what nobody is connected to, and the service tries to start again and again."""
    await server.execute(f"DROP DATABASE IF EXISTS {copy} WITH (FORCE)")
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    deadline = time.monotonic() + COPY_SECONDS_MAX
    try:
        while True:
            await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            try:
                await databases.create(server, service, copy, template=name)
                return
            except asyncpg.ObjectInUseError:
                if time.monotonic() > deadline:
                    raise CommandFailed(f"{name} is in use, so it cannot be copied. Stop who uses it") from None
            await asyncio.sleep(0.2)
    finally:
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def _superuser(where: Endpoints, folder: Path, service: str) -> str:
    parts = urlsplit(where.databases[service].dsn)
    host = f"postgres:{Secrets(folder / 'secrets').of('postgres')}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=host, path="/postgres"))


async def commands_since(where: Endpoints, service: str, backup_at: str | None) -> list[Commanded]:
    """From the gateway's audit: what people had the service do after its backup."""
    gateway = where.databases.get("gateway")
    if gateway is None or backup_at is None or service == "gateway":
        return []  # Its own audit is lost with it.
    password = Path(gateway.auditor_password_file).read_text().strip()
    connection = await asyncpg.connect(gateway.auditor_dsn, password=password, timeout=10)
    try:
        rows = await connection.fetch(
            "SELECT at, who, operation, path FROM audit WHERE at > $1 AND status < 300 AND operation = ANY($2::text[]) "
            "ORDER BY entry",
            datetime.fromisoformat(backup_at),
            [name for name in _COMMANDS if name.startswith(f"{service}.")],
        )
    finally:
        await connection.close()
    return [Commanded(*row) for row in rows]


# ---------------------------------------------------------------------------------------------- doing it


async def bring_forward(
    where: Endpoints,
    folder: Path,
    service: str,
    *,
    really: bool = True,
    database: str = "",
    settings: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """`python -m tieout.<service> recover`, as in production; reads all streams as the operator. `settings`: more of
    its environment."""
    at = where.databases[service]

    def url(dsn: str) -> str:
        parts = urlsplit(dsn)
        return urlunsplit(parts._replace(path=f"/{database}")) if database else dsn

    environment = {
        **os.environ,
        "TIEOUT_LOG": "text",
        "TIEOUT_DATABASE_URL": url(at.dsn),
        "TIEOUT_DATABASE_PASSWORD_FILE": at.password_file,
        "TIEOUT_OWNER_URL": url(at.owner_dsn),
        "TIEOUT_OWNER_PASSWORD_FILE": at.owner_password_file,
        "TIEOUT_NATS_URL": where.hub.url,
        "TIEOUT_NATS_USER": where.hub.user,
        "TIEOUT_NATS_PASSWORD_FILE": where.hub.password_file,
        **(settings or {}),
    }
    log = folder / "logs" / "recovery.log"
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", f"tieout.{service}", "recover", *(["--yes"] if really else [])]
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=out,
            env=environment,
            start_new_session=True,  # Ctrl-C is ours: we end it, and tidy up behind it.
            preexec_fn=processes.ends_with_launcher(signal.SIGTERM),
        )
        try:
            told, _ = await process.communicate()
        finally:
            if process.returncode is None:  # We were interrupted.
                process.kill()
                await process.wait()
    if process.returncode:
        end = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise CommandFailed(f"the recovery stopped: {''.join(end)} The rest is in {log}; run it again, it goes on")
    found: dict[str, Any] = json.loads(told)
    return found


async def _proved(where: Endpoints) -> str:
    """Once the service, which its supervisor starts again, is there."""
    deadline = time.monotonic() + READY_SECONDS_MAX + PROVED_SECONDS_MAX
    told = "control did not answer"
    async with where.async_client(timeout=30) as client:
        while time.monotonic() < deadline:
            try:
                proved: Agreement = await call(client, PROVE_AGREEMENT, AgreementRequest(wait_seconds=3))
            except (CommandFailed, httpx.TransportError) as failure:
                told = str(failure) if isinstance(failure, CommandFailed) else f"control: {why_silent(failure)}"
            else:
                told = proved.verdict if proved.verdict == "agree" else f"{proved.verdict}: {proved.sentence}"
                if proved.verdict == "agree":
                    break
            await asyncio.sleep(1.0)
    return told


def _make_sure(arguments: argparse.Namespace, report: Report) -> None:
    exact = report.preview["exact"] and not report.commands
    if arguments.yes:
        if not exact and not arguments.accept_differences:
            raise CommandFailed(
                "not everything would be as it was; see above. To do it all the same: --accept-differences"
            )
        return
    consent.make_sure(yes=False)


# ---------------------------------------------------------------------------------------------- telling


def _tell_preview(report: Report, console: Console) -> None:
    found = report.preview
    if not found["lost"]:
        told = "knows all that it has announced. With --yes, what it heard without announcing anything is run again."
        console.print(f"{report.service} {told}", style="green", soft_wrap=True)
        if found["send_again"] or found["not_back"]:
            console.print("If it is an older backup all the same:", soft_wrap=True)
        _tell_lost(found, console)
        return
    at = (found["backup_at"] or "")[:19].replace("T", " ")
    console.print(
        f"{report.service} stands at {at} UTC, position {found['known_position']}; its stream goes to position "
        f"{found['announced_position']}: {counted(found['events'], 'event')} of "
        f"{counted(found['transactions'], 'transaction')} forgotten.",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"On a copy, {found['again']} came back exactly as announced, "
        f"from {counted(found['played'], 'event')} of others; "
        f"{found['differing']} came out otherwise, {found['missing']} did not come back; "
        f"{found['new']} were in hand and come now.",
        highlight=False,
        soft_wrap=True,
    )
    if found["heard_anew"]:
        console.print(
            f"{counted(found['heard_anew'], 'notice')} of the others forgotten, and heard anew.", highlight=False
        )
    _tell_lost(found, console)
    for why in found["unreachable"]:
        console.print(f"  ! {why}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    _tell_differences(found, console)
    if report.commands:
        console.print("Done by people in the lost time, in no stream, to be done again:", style="yellow")
        for one in report.commands[:20]:
            console.print(f"  {one.at:%Y-%m-%d %H:%M:%S}  {one.operation}  {one.path}  {one.who}", highlight=False)
        if len(report.commands) > 20:
            console.print(f"  and {len(report.commands) - 20} more; --json lists all", highlight=False)


def _tell_lost(found: dict[str, Any], console: Console) -> None:
    """What stood in this database alone, and who must send again."""
    if found["send_again"]:
        first = found["send_again"][0]
        span = " to ".join(first[name][:19].replace("T", " ") for name in ("since", "until"))
        console.print(
            f"Each satellite sends again what it sent from {span} UTC; nothing is booked twice:", style="yellow"
        )
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for column in ("satellite", "came back by their commands", "lost, at least", "taken in again from its site"):
            table.add_column(column, justify="left" if column == "satellite" else "right")
        for one in found["send_again"]:
            table.add_row(escape(one["sender"]), *(str(one[name]) for name in ("rebuilt", "lost", "taken_again")))
        console.print(table)
    if found["not_back"]:
        console.print("Not back, as it stood in this database alone:", style="yellow")
    for told in found["not_back"]:
        console.print(f"  - {told}", markup=False, highlight=False, soft_wrap=True)


def _tell_differences(found: dict[str, Any], console: Console) -> None:
    differences = found.get("differences", [])
    if not differences:
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("", "event", "company", "order", "position", "where, or why"):
        table.add_column(column, overflow="fold")
    for one in differences[:20]:
        why = ", ".join(one.get("fields", ())) or one.get("why", "")
        table.add_row(
            one["what"], one["kind"], one["company"], escape(one["order_no"]), str(one["position"]), escape(why)
        )
    console.print(table)


def _tell_done(report: Report, console: Console) -> None:
    assert report.done is not None
    done = report.done
    where = f"in {report.service} again as announced"
    if done["exact"]:
        told, style = f"{counted(done['events'], 'event stands', 'events stand')} {where}: all.", "green"
    else:
        told, style = f"{done['again']} of {counted(done['events'], 'event')} {where}.", "yellow"
    console.print(told, style=style, highlight=False)
    if report.agreement == "agree":
        console.print("The books agree.", style="green")
    elif report.agreement:
        step = hints.command("repair preview")
        console.print(f"The books: {report.agreement}. Next: {step}", style="red", highlight=False, soft_wrap=True)
