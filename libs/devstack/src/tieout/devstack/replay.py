"""Run events again: choose, rehearse, run, and have the agreement proved. Without an action it lists replays.

    tieout replay new --ticket 7 --why "mended the tax code"     choose, freeze, and rehearse; nothing is booked
    tieout replay new --order 1001 --order 1002 --why …
    tieout replay new --satellite web --step finance --why …
    tieout replay new --stream INVENTORY --sequences 100-250 --why …
    tieout replay run ID --why WHY [--rate N]       run what was rehearsed, then prove it
    tieout replay show ID                           progress, what would happen, what did, who and why
    tieout replay items ID [--outcome failed]       the single events
    tieout replay item ID N                         one of them, with its body
    tieout replay edit ID N --file DATA.json --why WHY     correct its data; the original is kept beside it
    tieout replay rehearse ID                       the dry run once more
    tieout replay pause | resume | cancel ID --why WHY

A step is a flow (finance-bill-shipments), a service (finance), or an event (order.placed.v1). `new` chooses events for
every flow that hears them, and a ticket's dead letters for the flow in which they died. What is there already stays.

Exit code of `run`: 0 only if the books agree on every touched document.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tieout.contracts import replay as contract
from tieout.contracts.currency import spelled
from tieout.contracts.operation import Operation
from tieout.contracts.replay import Effect, ItemBody, Items, ItemView, OutcomeCount, Replays, ReplayView, Selection
from tieout.devstack import hints, questions, usage
from tieout.devstack.failures import CommandFailed
from tieout.devstack.journey import quantity
from tieout.devstack.moments import moment
from tieout.devstack.terminal import Screen
from tieout.devstack.wording import counted

POLL_SECONDS = 0.2
WORKING = ("rehearsing", "running", "proving")
PAGE = 200
SHOWN_REASONS = 10
_COLOURS = {"booked": "green", "already_there": "dim", "conflict": "yellow", "waits": "yellow", "failed": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="replays, the newest first")
    new = actions.add_parser("new", help="choose, freeze and rehearse; nothing is booked")
    new.add_argument("--ticket", type=int, default=0, metavar="N", help="the dead letters of a ticket")
    new.add_argument("--order", action="append", default=[], metavar="NO", help="an order number; may be repeated")
    new.add_argument("--company", default="", metavar="C")
    new.add_argument("--satellite", default="", metavar="S", help="what it sent, and all that this led to")
    new.add_argument("--since", default="", metavar="TIME", help="RFC 3339: 2026-11-23T00:00:00Z")
    new.add_argument("--until", default="", metavar="TIME")
    new.add_argument("--stream", default="", metavar="S", help="ORDER, INVENTORY …, with --sequences")
    new.add_argument("--sequences", default="", metavar="A-B")
    new.add_argument("--step", default="", metavar="S", help="a flow, a service, or an event (default: all)")
    run_ = actions.add_parser("run", help="run what was rehearsed, then prove it")
    run_.add_argument("--rate", type=int, default=0, metavar="N", help="at most so many events a second")
    show = actions.add_parser("show", help="progress, what would happen, what did, who and why")
    items = actions.add_parser("items", help="the single events")
    items.add_argument("--outcome", default="", choices=("", *_COLOURS), metavar="O", help=", ".join(_COLOURS))
    item = actions.add_parser("item", help="one event with its body")
    edit = actions.add_parser("edit", help="correct the data of one event; the original is kept")
    edit.add_argument("--file", required=True, metavar="F", help="the new data, JSON; `-` reads standard input")
    rehearse = actions.add_parser("rehearse", help="the dry run once more")
    steering = [actions.add_parser(name, help=told) for name, told in _STEERING]
    for action in (run_, show, items, item, edit, rehearse, *steering):
        action.add_argument("id", type=int, help="the replay's number")
    for action in (item, edit):
        action.add_argument("item", type=int, help="the item's number")
    for action in (new, run_, edit, *steering):
        action.add_argument("--why", required=True, metavar="WHY", help="the reason; it is kept with your name")
    usage.add_json(parser)
    parser.set_defaults(action="list")


_STEERING = (
    ("pause", "hold it; what was booked stays"),
    ("resume", "go on with it"),
    ("cancel", "end it; what was booked stays"),
)


def run(arguments: argparse.Namespace) -> int:
    return {
        "list": _list,
        "new": _new,
        "run": _run,
        "show": _show,
        "items": _items,
        "item": _item,
        "edit": _edit,
        "rehearse": _rehearse,
        "pause": _steer,
        "resume": _steer,
        "cancel": _steer,
    }[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    told = questions.get(arguments.dir, contract.LIST_REPLAYS.path, Replays, {})
    if arguments.json:
        return _print_json(told)
    screen = Screen()
    if not told.replays:
        screen.print(f"No replays. Begin with: {hints.command('replay new --help')}")
    for one in told.replays:
        items = counted(one.items, "item")
        screen.print(Text(f"{one.replay:>4}  {moment(one.frozen_at)}  {one.state:<10} {items}  {one.reason}"))
        if one.sentence:
            screen.print(Text(f"      {one.sentence}", style="dim"))
    return 0


def _new(arguments: argparse.Namespace) -> int:
    first, last = _sequences(arguments.sequences)
    selection = Selection(
        ticket=arguments.ticket,
        order_nos=tuple(arguments.order),
        company=arguments.company,
        satellite=arguments.satellite,
        since=arguments.since,
        until=arguments.until,
        stream=arguments.stream.upper(),
        first_sequence=first,
        last_sequence=last,
        step=arguments.step,
    )
    asked = {"selection": msgspec.to_builtins(selection), "reason": arguments.why}
    view = questions.post(arguments.dir, contract.FREEZE_REPLAY.path, ReplayView, asked)
    if not arguments.json:
        print(f"Replay {view.replay}: {counted(view.items, 'item')} of {counted(view.documents, 'document')} frozen.")
    return _rehearsed(arguments, view.replay)


def _sequences(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        raise CommandFailed(f"{text!r} is no range of sequences: give 100-250")
    return int(first), int(last or first)


def _rehearse(arguments: argparse.Namespace) -> int:
    return _rehearsed(arguments, arguments.id)


def _rehearsed(arguments: argparse.Namespace, replay: int) -> int:
    questions.post(arguments.dir, _path(contract.REHEARSE_REPLAY, replay), ReplayView, {})
    view = _followed(arguments, replay)
    if arguments.json:
        return _print_json(view)
    render(view, Screen())
    if view.state == "rehearsed":
        print(f"Run it with: {hints.command(f'replay run {replay} --why REASON')}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    asked = {"reason": arguments.why, "per_second": arguments.rate}
    questions.post(arguments.dir, _path(contract.RUN_REPLAY, arguments.id), ReplayView, asked)
    try:
        view = _followed(arguments, arguments.id)
    except KeyboardInterrupt:
        show = hints.command(f"replay show {arguments.id}")
        cancel = hints.command(f"replay cancel {arguments.id} --why REASON")
        told = f"replay {arguments.id} goes on in control: only this look at it has ended. How far it is: {show}"
        print(f"\ntieout replay: {told}\nEnd it, keeping what was booked: {cancel}", file=sys.stderr)
        return 130
    if arguments.json:
        _print_json(view)
    else:
        render(view, Screen())
    return 0 if view.state == "succeeded" else 1


def _followed(arguments: argparse.Namespace, replay: int) -> ReplayView:
    """Until it is through, with its progress where a person looks."""
    watched = sys.stderr.isatty() and not arguments.json
    while True:
        view = questions.get(arguments.dir, _path(contract.SHOW_REPLAY, replay), ReplayView, {})
        if watched:
            sys.stderr.write(f"\r{view.state}: {view.done:,} of {view.items:,} {view.sentence[:60]:<60}")
        if view.state not in WORKING:
            if watched:
                sys.stderr.write("\r" + " " * 100 + "\r")
            return view
        time.sleep(POLL_SECONDS)


def _show(arguments: argparse.Namespace) -> int:
    view = questions.get(arguments.dir, _path(contract.SHOW_REPLAY, arguments.id), ReplayView, {})
    if arguments.json:
        return _print_json(view)
    render(view, Screen())
    return 0


def render(view: ReplayView, console: Console) -> None:
    """What was chosen, what would happen, what did, and who did what."""
    console.print(Text(f"Replay {view.replay}: {view.state}", style="bold"))
    frozen = f"{counted(view.items, 'item')} of {counted(view.documents, 'document')}, frozen by {view.frozen_by}"
    console.print(Text(f"{frozen}: {view.reason}"))
    if view.state in WORKING:
        console.print(f"{view.done:,} of {view.items:,} done", highlight=False)
    ran = [one for one in view.outcomes if one.outcome]
    if ran:
        console.print(_counts("what happened", ran))
    elif view.rehearsed:
        console.print(_counts("what would happen", view.rehearsed))
    if view.effects and not ran:
        console.print(_effects(view.effects))
    if view.sentence:
        took = f" ({view.seconds} s)" if view.seconds and view.state in ("succeeded", "unproved") else ""
        style = {"succeeded": "green", "unproved": "red"}.get(view.state, "")
        console.print(Text(view.sentence + took, style=style))
    for entry in view.log:
        console.print(Text(f"{moment(entry.at)}  {entry.actor}  {entry.action}  {entry.note}".rstrip(), style="dim"))


def _counts(title: str, counts: Sequence[OutcomeCount]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("flow", "outcome", "reason"):
        table.add_column(heading)
    table.add_column("items", justify="right")
    for one in counts:
        outcome = Text(one.outcome.replace("_", " "), style=_COLOURS.get(one.outcome, ""))
        table.add_row(one.flow, outcome, one.reason, f"{one.items:,}")
    return table


def _effects(effects: Sequence[Effect]) -> Table:
    table = Table(title="its effect", title_justify="left")
    for heading in ("service", "figure"):
        table.add_column(heading)
    for heading in ("rows", "", ""):
        table.add_column(heading, justify="right")
    for one in effects:
        told = [_figure(name, value, one.currency) for name, value in zip(one.values, (one.a, one.b), strict=True)]
        table.add_row(one.service, one.figure.replace("_", " "), f"{one.rows:,}", *told)
    return table


def _figure(name: str, value: int, currency: str) -> str:
    if not name:
        return ""
    if name.endswith("_micro"):
        return f"{quantity(value)} pcs"
    return f"{name.removesuffix('_minor')} {spelled(value, currency)}"


def _items(arguments: argparse.Namespace) -> int:
    found: list[ItemView] = []
    after = 0
    while True:
        asked = {"outcome": arguments.outcome, "after": after, "limit": PAGE}
        page = questions.get(arguments.dir, _path(contract.LIST_ITEMS, arguments.id), Items, asked)
        found += page.items
        after = page.next_after
        if not after or len(found) >= 10 * PAGE:
            break
    if arguments.json:
        return _print_json(Items(tuple(found), after))
    screen = Screen()
    for one in found:
        outcome = one.outcome or one.rehearsed or "not tried"
        heading = f"{one.item:>6}  {one.order_no or one.chain_id}  {one.subject} → {one.flow}  "
        screen.print(Text(heading).append(outcome.replace("_", " "), style=_COLOURS.get(outcome, "")))
        if one.reason:
            screen.print(Text(f"        {one.reason} {one.field}: {one.detail}", style="dim"))
    if after:
        screen.print("There are more. Narrow it down with --outcome.", style="dim")
    return 0


def _item(arguments: argparse.Namespace) -> int:
    path = _path(contract.SHOW_ITEM, arguments.id, arguments.item)
    found = questions.get(arguments.dir, path, ItemBody, {})
    if arguments.json:
        return _print_json(found)
    print(msgspec.json.format(bytes(found.original), indent=2).decode())
    if found.edited is not None:
        print(f"\nedited by {found.item.edited_by}: {found.item.edited_why}")
        print(msgspec.json.format(bytes(found.edited), indent=2).decode())
    return 0


def _edit(arguments: argparse.Namespace) -> int:
    try:
        content = sys.stdin.read() if arguments.file == "-" else Path(arguments.file).read_text(encoding="utf-8")
        data = msgspec.json.decode(content.encode(), type=Raw)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise CommandFailed(f"{arguments.file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    asked = {"data": msgspec.json.decode(data), "reason": arguments.why}
    path = _path(contract.EDIT_ITEM, arguments.id, arguments.item)
    view = questions.put(arguments.dir, path, ItemView, asked)
    if arguments.json:
        return _print_json(view)
    print(f"Edited; the original is kept. Rehearse it again: {hints.command(f'replay rehearse {arguments.id}')}")
    return 0


def _steer(arguments: argparse.Namespace) -> int:
    asked = {
        "pause": contract.PAUSE_REPLAY,
        "resume": contract.RESUME_REPLAY,
        "cancel": contract.CANCEL_REPLAY,
    }[arguments.action]
    view = questions.post(arguments.dir, _path(asked, arguments.id), ReplayView, {"reason": arguments.why})
    if arguments.json:
        return _print_json(view)
    print(f"Replay {view.replay} is {view.state}: {view.done:,} of {counted(view.items, 'item')} done.")
    return 0


def _path(operation: Operation, replay: int, item: int = 0) -> str:
    return operation.path.replace("{replay}", str(replay)).replace("{item}", str(item))


def _print_json(answer: Any) -> int:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
    return 0
