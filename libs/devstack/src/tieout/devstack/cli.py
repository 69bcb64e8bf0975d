"""The `tieout` command: one table of subcommands, each in a module of its own, imported only when it is asked for.

Such a module has two functions:

    def add_arguments(parser: argparse.ArgumentParser) -> None
    def run(arguments: argparse.Namespace) -> int | None        # the exit code; None is 0

`arguments.dir` is the stack's folder (a resolved `Path`) for every subcommand that works on a stack. A mistake of the
user is `raise CommandFailed("what is wrong, and what to do next")`: told in one line, exit code 1.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from tieout.devstack import hints, interrupts, languages, remote, version
from tieout.devstack.failures import CommandFailed
from tieout.devstack.languages import helped, told
from tieout.devstack.processes import ServerFailed
from tieout.devstack.terminal import visible
from tieout.devstack.usage import FittedHelp, Parser, no_command
from tieout.devstack.wording import why_silent


class Command(Struct, frozen=True):
    name: str
    module: str
    summary: str
    on_a_stack: bool = True  # Takes --dir.
    spoken: bool = False  # For finance and warehouse staff, so it takes --language as well.
    remote: bool = False  # Only asks the gateway over HTTP, so it takes --url and --token-file as well.


ABOUT = "Orders, stock and books in agreement, and the proof of it."
COMMANDS = (
    Command("up", "tieout.devstack.up", "Start the whole stack: Postgres, NATS, a leaf site, and every service."),
    Command("down", "tieout.devstack.down", "Stop the stack of this folder."),
    Command("status", "tieout.devstack.status", "What runs, how far each service is, and what waits.", remote=True),
    Command(
        "doctor", "tieout.devstack.doctor", "Run all checks: what is wrong, why it matters, the next step.", remote=True
    ),
    Command("logs", "tieout.devstack.logs", "Show what a service or server has logged."),
    Command("demo", "tieout.devstack.demo", "Watch a trading day flow from two satellites to posted vouchers."),
    Command("feed", "tieout.devstack.feed", "Send files through intake and chain, and account for every document."),
    Command(
        "journey",
        "tieout.devstack.journey",
        "Follow one order through all services, by its, a document's or a voucher's number.",
        remote=True,
        spoken=True,
    ),
    Command(
        "agreement",
        "tieout.devstack.agreement",
        "Prove that orders, stock and books agree, or show where not.",
        remote=True,
        spoken=True,
    ),
    Command(
        "census",
        "tieout.devstack.census",
        "Compare a satellite's own list of orders with what has arrived.",
        remote=True,
    ),
    Command(
        "repair", "tieout.devstack.repair", "Mend differences between the books: preview, run, prove.", remote=True
    ),
    Command("give-up", "tieout.devstack.give_up", "Give up events that a stopped flow cannot read."),
    Command(
        "settings", "tieout.devstack.settings", "Who changed which setting, and what was changed by hand.", remote=True
    ),
    Command(
        "quarantine",
        "tieout.devstack.quarantine",
        "List, show, correct and resubmit documents that were refused.",
        remote=True,
        spoken=True,
    ),
    Command(
        "approvals",
        "tieout.devstack.approvals",
        "What waits for somebody's approval: list, ask for a count, approve, reject.",
        remote=True,
        spoken=True,
    ),
    Command(
        "periods",
        "tieout.devstack.periods",
        "Which months are closed, what stands in the way; close one, ask to reopen.",
        remote=True,
        spoken=True,
    ),
    Command(
        "tickets",
        "tieout.devstack.tickets",
        "What needs a person: list, show, take and resolve tickets.",
        remote=True,
        spoken=True,
    ),
    Command(
        "desk",
        "tieout.devstack.desk",
        "Who looks after what, how soon, and when people work.",
        remote=True,
        spoken=True,
    ),
    Command(
        "replay", "tieout.devstack.replay", "Run events again: rehearsed first, and proved afterwards.", remote=True
    ),
    Command("recover", "tieout.devstack.recover", "Bring a database forward that was restored from an older backup."),
    Command(
        "token", "tieout.devstack.tokens", "Make, list, rotate and revoke tokens of people and services.", remote=True
    ),
    Command("bench", "tieout.devstack.bench", "Measure throughput and latency on this machine."),
    Command("chaos", "tieout.devstack.chaos", "Break things on purpose, and prove that nothing is lost or doubled."),
    Command("test", "tieout.devstack.test", "Run the project's tests (arguments go to pytest).", on_a_stack=False),
)


def main(words: Sequence[str] | None = None) -> int:
    """Run one subcommand. Exit codes: 0 done, 1 failed or not in agreement, 2 wrong usage, 130 interrupted."""
    words = list(sys.argv[1:] if words is None else words)
    chosen = next((command for command in COMMANDS if words and words[0] == command.name), None)
    if chosen is None:
        if words and words[0] in ("--version", "-V"):
            print(f"tieout {version.told()}")
            return 0
        with languages.speaking(languages.meant_by(words)):
            parser = _overview()
            if not words:
                parser.print_help()
                return 2
            if words[0] in ("-h", "--help"):
                parser.parse_args(words)
            no_command(words[0], [command.name for command in COMMANDS])
    try:
        module = importlib.import_module(chosen.module)
        parser = parser_of(chosen)
        if chosen.name == "test":
            known, others = parser.parse_known_args(words[1:])
            interrupts.end_in_order()
            return int(module.run(known, others) or 0)
        with languages.speaking(languages.meant_by(words) if chosen.spoken else "en"):
            arguments = parser.parse_args(words[1:])
            gateway = _where(parser, arguments, remotely=chosen.remote) if chosen.on_a_stack else None
        interrupts.end_in_order()
        with languages.speaking(languages.chosen(arguments) if chosen.spoken else "en"), remote.speaking_to(gateway):
            return int(module.run(arguments) or 0)
    except (CommandFailed, ServerFailed) as failure:
        print(f"tieout {chosen.name}: {visible(str(failure))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `tieout logs order | head` has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None and not isinstance(error, TimeoutError | ConnectionError):
            raise
        if error.filename is None:
            doctor = hints.command("doctor")
            silent = f"a server of the stack does not answer ({why_silent(error)}). What is wrong: {doctor}"
            print(f"tieout {chosen.name}: {visible(silent)}", file=sys.stderr)
            return 1
        wrong = f"{error.filename}: {error.strerror}. Give another path, or mend what is there"
        print(f"tieout {chosen.name}: {visible(wrong)}", file=sys.stderr)
        return 1


def parser_of(command: Command) -> Parser:
    """All that one subcommand takes, and tells of itself."""
    module = importlib.import_module(command.module)
    parser = Parser(prog=f"tieout {command.name}", description=module.__doc__ or command.summary)
    parser.formatter_class = FittedHelp
    module.add_arguments(parser)
    if command.on_a_stack:
        _add_folder(parser, remotely=command.remote)
    if command.spoken:
        languages.add_argument(parser)
    return parser


def _overview() -> argparse.ArgumentParser:
    width = max(len(command.name) for command in COMMANDS)
    listed = "\n".join(f"  {command.name.ljust(width)}  {helped(command.summary)}" for command in COMMANDS)
    program = hints.program()
    first = told("A good first: {command}", command=f"{program} demo")
    more = told("All of one command: {command}", command=f"{program} COMMAND --help")
    return argparse.ArgumentParser(
        prog="tieout",
        usage="tieout COMMAND [--help] | tieout --version",
        description=ABOUT,
        epilog=f"{told('commands:')}\n{listed}\n\n{first}\n\n{more}",
        formatter_class=FittedHelp,
    )


def _where(parser: argparse.ArgumentParser, arguments: argparse.Namespace, *, remotely: bool) -> remote.Remote | None:
    """The gateway that is named instead of a folder. In any case `arguments.dir` is a path afterwards."""
    gateway = None
    if remotely:
        try:
            gateway = remote.of(arguments, frozenset(command.name for command in COMMANDS if command.remote))
        except ValueError as error:
            parser.error(str(error))
    arguments.dir = arguments.dir or Path(hints.DEFAULT_FOLDER).resolve()
    hints.about(arguments.dir)
    return gateway


def _add_folder(parser: argparse.ArgumentParser, *, remotely: bool) -> None:
    """Also to each action that the subcommand has, for people write it at the end; there it has no default, which would
    undo what stood before the action."""
    _add_folder_to(parser, None, remotely)
    for entry in parser._actions:
        if isinstance(entry, argparse._SubParsersAction):
            for action in entry.choices.values():
                _add_folder_to(action, argparse.SUPPRESS, remotely)


def _add_folder_to(parser: argparse.ArgumentParser, default: str | None, remotely: bool) -> None:
    help = f"folder of the stack's state (default: {hints.DEFAULT_FOLDER} in the present folder)"
    parser.add_argument(
        "--dir", type=lambda text: Path(text).expanduser().resolve(), default=default, metavar="D", help=help
    )
    if remotely:
        remote.add_arguments(parser, default=default)
