"""Start the whole stack and keep it running: real Postgres, a real NATS hub, a leaf site, and every service.

Stays in the foreground and shows the services' logs, until Ctrl-C stops everything in order: `tieout up | tail` ends
when the stack does. With --detach it returns as soon as the stack is ready, and whatever reads its output ends with it;
`tieout down` stops the stack.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tieout.devstack import hints, jaeger, processes
from tieout.devstack.failures import CommandFailed
from tieout.devstack.logs import Follower
from tieout.devstack.stack_folder import StackFolder
from tieout.devstack.suite import Stack

REPLICAS_MAX = 8  # On one machine.
_PATIENCE_SECONDS = 30.0  # Databases are closed in order.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="P",
        help="port of the gateway (default: that of last time, else a free one)",
    )
    parser.add_argument("--fresh", action="store_true", help="forget everything this folder's stack has stored")
    parser.add_argument("-d", "--detach", action="store_true", help="return when ready; stop it with `tieout down`")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not show the services' logs")
    parser.add_argument(
        "--replicas",
        type=_replicas,
        default={},
        metavar="S=N,…",
        help="processes of a service that share its work, as in production: order=2,finance=3 (default one each)",
    )
    parser.add_argument("--log", choices=("text", "json"), default="text", help="form of the services' logs")

    collecting = parser.add_mutually_exclusive_group()
    collecting.add_argument(
        "--otlp", default="", metavar="URL", help="send traces and metrics to this collector: http://127.0.0.1:4317"
    )
    collecting.add_argument(
        "--jaeger",
        nargs="?",
        const="",
        metavar="PATH",
        help="start this Jaeger 2 with the stack and trace every order (default: the one on the PATH, if any)",
    )
    collecting.add_argument("--no-jaeger", action="store_true", help="start none, although there is one on the PATH")


def run(arguments: argparse.Namespace) -> int:
    stack = _stack(arguments)  # What is wrong with the arguments is told before anything is forgotten or written.
    for told in jaeger.unanswered(arguments.otlp, os.environ):
        print(f"tieout up: {told}", file=sys.stderr)
    if arguments.fresh:
        forget(arguments.dir)
    stack.refuse_taken_port()
    if arguments.detach:
        return _detached(arguments)
    return asyncio.run(_foreground(arguments, stack))


def _stack(arguments: argparse.Namespace) -> Stack:
    return Stack(
        arguments.dir,
        port=arguments.port,
        log=arguments.log,
        replicas=arguments.replicas,
        otlp=arguments.otlp,
        jaeger=_jaeger(arguments),
    )


def forget(folder: Path, asked: str = "--fresh") -> None:
    """Remove a stack's state. Refuses a folder that is in use, or that does not look like a stack's.

    `asked`: what the user has typed that wants it gone, and types again.
    """
    if not folder.exists():
        return
    if any(folder.iterdir()) and not (folder / "lock").exists():
        raise CommandFailed(
            f"{folder} holds other files than a stack's. {asked} would delete them; choose another --dir"
        )
    kept = StackFolder(folder)
    if not kept.hold():
        raise CommandFailed(
            f"a stack runs in {folder}, or starts or stops there. "
            f"Stop it with: {hints.command('down', folder)}, then use {asked} again"
        )
    try:
        kept.stop_left_over()
        shutil.rmtree(folder)  # With the lock: who waits for it finds that its file is gone.
    finally:
        kept.let_go()


def is_running(folder: Path) -> bool:
    """Also while it starts or stops: it is ready later, or writes its last."""
    if not (folder / "lock").exists():
        return False
    kept = StackFolder(folder)
    if not kept.hold():
        return True
    kept.let_go()
    return False


async def _foreground(arguments: argparse.Namespace, stack: Stack) -> int:
    began = time.monotonic()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for received in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(received, stopped.set)
    follower = (
        None if arguments.quiet else Follower(stack.logs, names=stack.process_names(), colour=sys.stdout.isatty())
    )
    showing = asyncio.create_task(follower.run()) if follower is not None else None
    starting = asyncio.create_task(stack.start())
    waiting = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
                await stack.stop()  # It was ready at this very moment.
            _say(_ended(arguments, "stopped before it was ready"))
            return 130
        where = starting.result()
        if stack.port_missed:
            print(_elsewhere(stack.port_missed), flush=True)
        if where.jaeger:
            print(f"jaeger {where.jaeger}", flush=True)
        print(f"ready {where.gateway}", flush=True)
        print(
            f"in {time.monotonic() - began:.1f} s; {arguments.dir}/endpoints.json lists all addresses", file=sys.stderr
        )
        await waiting
        _say("stopping ...")
        await stack.stop()
    finally:
        if showing is not None and follower is not None:
            showing.cancel()
            with contextlib.suppress(OSError):
                follower.show_new()
    _say(_ended(arguments, "stopped"))
    return 0


def _elsewhere(port: int) -> str:
    return (
        f"port {port} of last time is in use by another program: shops that send there reach that one. "
        f"This time it is another; name one yourself with --port"
    )


def _say(told: str) -> None:
    """Also where the terminal is gone: a closed window ends the stack in order like Ctrl-C does."""
    with contextlib.suppress(OSError):
        print(told, file=sys.stderr, flush=True)


def _ended(arguments: argparse.Namespace, how: str) -> str:
    """The last line: where what it has stored lies, and how to go on with it."""
    words = "up"
    if arguments.replicas:
        words += f" --replicas {','.join(f'{name}={count}' for name, count in arguments.replicas.items())}"
    return f"{how}; what it has stored stays in {arguments.dir}. Start it again with: {hints.command(words)}"


def _detached(arguments: argparse.Namespace) -> int:
    """The same command once more in the background; this one waits until it is ready or has failed."""
    folder: Path = arguments.dir
    log = folder / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    (folder / "lock").touch()  # Of a stack, as --fresh sees it, before anything else is in the folder.
    command = [sys.executable, "-m", "tieout.devstack", "up", "--quiet", "--log", arguments.log]
    command += ["--dir", str(folder), "--port", str(arguments.port)]
    if arguments.replicas:
        command += ["--replicas", ",".join(f"{name}={count}" for name, count in arguments.replicas.items())]
    command += ["--otlp", arguments.otlp] if arguments.otlp else []
    command += ["--jaeger", arguments.jaeger] if arguments.jaeger else []
    command += ["--jaeger"] if arguments.jaeger == "" else []
    command += ["--no-jaeger"] if arguments.no_jaeger else []
    offset = log.stat().st_size if log.exists() else 0
    given_up: list[int] = []
    ending = [one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    before = {one: signal.signal(one, lambda number, _: given_up.append(number)) for one in ending}
    try:
        with log.open("ab") as out:
            background = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        while True:
            told = log.read_bytes()[offset:].decode(errors="replace")
            lines = told.splitlines()
            if any(line.startswith("ready ") for line in lines):
                print("\n".join(line for line in lines if line.startswith(("port ", "jaeger ", "ready "))))
                return 0
            if background.poll() is not None:
                raise CommandFailed(told.strip().removeprefix("tieout up: ") or f"it ended at once. See {log}")
            if given_up:  # The one in the background would be ready later, and nobody would know.
                processes.stop(background, patience_seconds=_PATIENCE_SECONDS)
                _say(_ended(arguments, "stopped before it was ready"))
                return 130
            time.sleep(0.05)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _jaeger(arguments: argparse.Namespace) -> Path | None:
    """Which one to start. Whoever names a collector, here or in the environment, wants no other."""
    if arguments.jaeger is not None:
        return jaeger.find(arguments.jaeger)
    if arguments.otlp or arguments.no_jaeger or any(name.startswith("OTEL_EXPORTER_OTLP") for name in os.environ):
        return None
    return jaeger.on_the_path()


def _replicas(text: str) -> dict[str, int]:
    found = {}
    for part in text.split(","):
        name, _, count = part.strip().partition("=")
        if not (count.isascii() and count.isdigit()) or not 1 <= int(count) <= REPLICAS_MAX:
            raise argparse.ArgumentTypeError(
                f"{part!r} is no number of processes: give service=number from 1 to {REPLICAS_MAX}, as in order=2"
            )
        found[name] = int(count)
    return found


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1 to 65535, or 0 for a free one")
    return int(text)
