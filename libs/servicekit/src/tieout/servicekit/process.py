"""A service as a process: `python -m tieout.inventory serve|migrate|recover|retain|scrub`."""

import argparse
import asyncio
import faulthandler
import importlib.metadata
import os
import signal
import sys
import typing
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import msgspec
import structlog
from tieout.servicekit import failpoints, once
from tieout.servicekit.app import Service
from tieout.servicekit.errors import Misconfigured, ServersAway, TieoutError
from tieout.servicekit.logs import set_up_logs
from tieout.servicekit.migrate import migrate
from tieout.servicekit.serving import serve
from tieout.servicekit.settings import Settings, secret

log = structlog.get_logger(__name__)


async def migrate_service(service: Service, phase: str = "all") -> list[str]:
    """Run the migrations of a service on its database, as its owner."""
    settings = service.settings
    if not settings.owner_url:
        raise Misconfigured("TIEOUT_OWNER_URL is missing. Set it to postgresql://<service>_owner@host:port/database.")
    password = secret(settings.owner_password_file, "TIEOUT_OWNER_PASSWORD_FILE")
    connection = await asyncpg.connect(
        settings.owner_url, password=password, server_settings={"application_name": "tieout-migrate"}
    )
    try:
        release = release_of(service)
        return await migrate(connection, service.name, service.migrations, typing.cast("Any", phase), release)
    finally:
        await connection.close()


def release_of(service: Service) -> str:
    """What a deployment exchanges: the service and the kit in its image."""
    return f"{service.version}+servicekit.{importlib.metadata.version('tieout-servicekit')}"


def main(name: str, build: Callable[[Any], Service]) -> None:
    """`serve` runs until it is told to stop; `migrate [--phase pre|post|upgrade]` brings the database up to date (see
    migrate.py); `recover [--yes]` one that was restored from a backup (recovery.py), and prints one JSON document;
    `retain` and `scrub` do once what the service does from time to time (once.py).

    Ends with 0, 1 where a scrub found something, 2 where a setting or the database's state is wrong, 3 where database
    or broker did not answer a command that runs once.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tieout.{name}", description=build.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the service until SIGTERM")
    commands.add_parser("retain", help="forget once what outbox, stream and tables may forget")
    commands.add_parser("scrub", help="look once through all books; ends with 1 where something was found")
    migrating = commands.add_parser("migrate", help="bring the database up to date")
    migrating.add_argument("--phase", choices=("pre", "post", "all", "upgrade"), default="all")
    recovering = commands.add_parser("recover", help="bring a database forward that was restored from a backup")
    recovering.add_argument("--yes", action="store_true", help="do it; without this it only looks")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _told_to_end)
    kind = typing.get_type_hints(build).get("settings", Settings)
    try:
        if os.environ.get("TIEOUT_SETTINGS") == "stdin" and not _told_by_launcher():
            return
        settings = kind.from_environment()
        set_up_logs(
            name, settings.log, settings.log_level, sys.stderr if arguments.command == "recover" else sys.stdout
        )
        failpoints.arm(settings.failpoints, name)
        service = build(settings)
        if arguments.command == "migrate":
            for applied in asyncio.run(migrate_service(service, arguments.phase)):
                log.info("applied", migration=applied)
        elif arguments.command == "recover":
            _recover(service, really=arguments.yes)
        elif arguments.command == "retain":
            asyncio.run(once.retain(service))
        elif arguments.command == "scrub":
            found = asyncio.run(once.scrub(service))
            if found.violations or found.unchecked:
                sys.exit(1)
        else:
            _run(serve(service, _end_at_last))
    except ServersAway as error:
        log.error(str(error))
        sys.exit(3)
    except TieoutError as error:
        log.error(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _told_to_end(number: int, frame: object) -> None:
    """Until `serve` hears signals itself. A container's first process ignores what it does not handle."""
    sys.exit(128 + number)


def _recover(service: Service, *, really: bool) -> None:
    from tieout.servicekit.recovery import recover

    found = asyncio.run(
        recover(service.name, service.flows, service.settings, really=really, rebuilding=service.rebuilding)
    )
    document = msgspec.to_builtins(found) | {"exact": found.exact, "lost": found.lost}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def _end_at_last(seconds: float) -> None:
    """A process that hangs at its end serves nobody and is not started again; this tells where it hangs, and ends it.

    It happens outside of our own code too: Python 3.11 swallows a cancellation that meets the result of a `wait_for`,
    and the interpreter waits for every thread.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)


def _told_by_launcher() -> bool:
    """TIEOUT_SETTINGS=stdin: who starts us learns the rest only while we import. False where he gave up."""
    told = sys.stdin.buffer.read()
    if told:
        os.environ.update(msgspec.json.decode(told, type=dict[str, str]))
    return bool(told)


def _run(work: Coroutine[Any, Any, None]) -> None:
    if sys.platform == "win32":
        asyncio.run(work)
        return
    import uvloop

    uvloop.run(work)
