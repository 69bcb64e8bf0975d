"""Who changed which setting: accounts and their roles, articles, warehouses, satellites, companies. The newest first.

A change that did not come from the service itself is marked; `tieout agreement` names those that still stand. Of
secrets only a fingerprint is kept, which says whether they changed.
"""

import argparse
import sys

import msgspec
from rich.console import Console
from rich.text import Text
from tieout.contracts.agreement import SettingsChange
from tieout.contracts.control import LIST_SETTINGS, Settings
from tieout.devstack import questions
from tieout.devstack.moments import moment
from tieout.devstack.terminal import Screen, tell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--service", default="", metavar="S", help="of this service only")
    parser.add_argument("--table", default="", metavar="T", help="of this table only: article, account_role …")
    parser.add_argument("--by-hand", action="store_true", help="only what did not come from the service itself")
    parser.add_argument("--before", default="", metavar="TIME", help="older ones, as 2026-11-23T08:00:00Z")
    parser.add_argument("--limit", type=_many, default=50, metavar="N", help="how many (default 50)")
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")


def _many(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 500:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of changes: give one from 1 to 500")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    asked = {
        "service": arguments.service,
        "table": arguments.table,
        "by_hand": "true" if arguments.by_hand else "",
        "before": arguments.before,
        "limit": arguments.limit,
    }
    told = questions.get(arguments.dir, LIST_SETTINGS.path, Settings, asked)
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")
    else:
        render(told, Screen())
    return 1 if told.unanswered else 0


def render(told: Settings, console: Console) -> None:
    for change in told.changes:
        tell(console, _heading(change))
        tell(console, Text(_difference(change)), indent=4, first=4)
    if not told.changes:
        console.print("No such change.", style="dim")
    if told.unanswered:
        console.print(f"no answer from {', '.join(told.unanswered)}", style="red")


def _heading(change: SettingsChange) -> Text:
    key = ", ".join(str(value) for value in msgspec.json.decode(change.key).values())
    heading = Text(f"{moment(change.at)}  {change.service} {change.table} {key}  ")
    heading.append(f"{change.op} by {change.actor or change.who}", style="red" if change.source == "hand" else "dim")
    return heading.append(" by hand" if change.source == "hand" else "", style="red")


def _difference(change: SettingsChange) -> str:
    """name: old -> new, for each column that changed; the whole row where it came or went."""
    before = msgspec.json.decode(change.before) if change.before else {}
    after = msgspec.json.decode(change.after) if change.after else {}
    names = [name for name in before | after if before.get(name) != after.get(name)]
    if not before:
        return ", ".join(f"{name}: {after[name]}" for name in names)
    return ", ".join(f"{name}: {before.get(name)} -> {after.get(name, '(gone)')}" for name in names)
