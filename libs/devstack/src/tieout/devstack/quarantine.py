"""List, show, correct and resubmit documents that were refused. Without an action it lists.

    tieout quarantine list [CHOICE] [--all]
    tieout quarantine show ID                       the document as it came, and why it was refused
    tieout quarantine correct ID --file FIXED.json  another document in its place; `-` reads it from standard input
    tieout quarantine resubmit ID | CHOICE          map the same bytes again: one document, or all of a choice
    tieout quarantine dismiss ID --note WHY         it stays out of the books
    tieout quarantine dismiss CHOICE --note WHY [--yes]  all of a choice; their number is shown first

A CHOICE is --satellite S, --reason R, --field F, or several of them. F is what the list names: lines[0].sku, or
lines[].sku for that field of any line.

The original bytes stay whatever is decided. Correcting and resubmitting one document waits a moment for what becomes of
it; the exit code is 1 where it was quarantined again.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from tieout.contracts.gateway import (
    CORRECT,
    DISMISS,
    DISMISS_MANY,
    QUARANTINE,
    RESUBMIT,
    RESUBMIT_MANY,
    SHOW_DOCUMENT,
    CommandView,
    Decided,
    Dismissed,
    DocumentView,
    Quarantined,
    QuarantineGroup,
    QuarantinePage,
    Resubmitted,
)
from tieout.devstack import consent, hints, questions, usage
from tieout.devstack.failures import CommandFailed
from tieout.devstack.languages import listed, said, told, told_count
from tieout.devstack.moments import moment
from tieout.devstack.terminal import Screen

PAGE = 100
LISTED_MAX = 1000
RESUBMITTED_MAX = 10_000
DISMISSED_AT_ONCE = 10_000
GROUPS_MAX = 100  # The gateway tells no more.
FEW = 5  # Documents that anybody can still look at one by one.
OUTCOME_SECONDS_MAX = 3.0  # Mapping takes a few milliseconds; a longer queue is told, and not waited for.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="what waits for a decision, oldest first")
    listing.add_argument("--all", action="store_true", help="also what was decided already")
    show = actions.add_parser("show", help="one document as it came, and why it was refused")
    correct = actions.add_parser("correct", help="submit another document in its place")
    correct.add_argument("--file", required=True, metavar="FILE", help="the corrected document; - is standard input")
    resubmit = actions.add_parser("resubmit", help="map it again: the mapping was mended, or the SKU is known now")
    dismiss = actions.add_parser("dismiss", help="decide that it stays out of the books")
    for action in (show, correct):
        action.add_argument("id", help="the intake id")
    for action in (resubmit, dismiss):
        action.add_argument("id", nargs="?", default="", help="the intake id; none: all that the options choose")
    for action in (listing, resubmit, dismiss):
        action.add_argument("--satellite", default="", metavar="S", help="only of this satellite")
        action.add_argument("--reason", default="", metavar="R", help="only with this reason")
        action.add_argument("--field", default="", metavar="F", help="only for this field; lines[].sku: of any line")
    dismiss.add_argument("--yes", action="store_true", help="do not ask before all of a choice are dismissed")
    for action in (correct, resubmit):
        action.add_argument("--note", default="", metavar="WHY", help="why; kept with the decision")
    dismiss.add_argument("--note", required=True, metavar="WHY", help="why; kept with the decision")
    usage.add_json(parser)
    parser.set_defaults(action="list", all=False, satellite="", reason="", field="")


def run(arguments: argparse.Namespace) -> int:
    return {"list": _list, "show": _show, "correct": _correct, "resubmit": _resubmit, "dismiss": _dismiss}[
        arguments.action
    ](arguments)


def _chosen(arguments: argparse.Namespace) -> dict[str, str]:
    return {"satellite": arguments.satellite, "reason": arguments.reason, "field": arguments.field}


def _options(arguments: argparse.Namespace) -> str:
    """The same choice, as it is typed."""
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in _chosen(arguments).items() if value)


def _list(arguments: argparse.Namespace) -> int:
    chosen = {**_chosen(arguments), "all": str(arguments.all).lower()}
    page = first = questions.get(arguments.dir, QUARANTINE.path, QuarantinePage, {**chosen, "after": 0, "limit": PAGE})
    found = list(page.documents)
    while page.next and len(found) < LISTED_MAX:
        asked = {**chosen, "after": page.next, "limit": PAGE}
        page = questions.get(arguments.dir, QUARANTINE.path, QuarantinePage, asked)
        found += page.documents
    if arguments.json:
        _print_json(msgspec.structs.replace(first, documents=tuple(found), open=page.open, next=page.next))
    else:
        choice = any(_chosen(arguments).values())
        render(found, page.open, Screen(), more=bool(page.next), chosen=choice, groups=first.groups)
    return 0


def render(
    documents: list[Quarantined],
    waiting: int,
    console: Console,
    *,
    more: bool = False,
    chosen: bool = False,
    groups: Sequence[QuarantineGroup] = (),
) -> None:
    if not documents:
        nothing = told("Nothing of that choice is in quarantine.") if chosen else told("Nothing is in quarantine.")
        console.print(nothing, style="green")
        return
    console.print(told_count("{count} waits for a decision", "{count} wait for a decision", waiting), highlight=False)
    if waiting > FEW:
        render_groups(groups, console)
        console.print()
    for entry in documents:
        named = f"{said(entry.kind)} {entry.number}".strip() or told("unreadable")
        heading = f"{entry.intake_id}  {moment(entry.refused_at)}  {entry.satellite}  {named}"
        console.print(Text(heading), soft_wrap=True)
        reason = Text(_reason(entry.reason), style="dim" if entry.decision else "red")
        if entry.decision:
            reason.append(f" ({said(entry.decision)})")
        why = Text.assemble(reason, " ", (entry.field, "bold"), told(": ") if entry.field else "", said(entry.detail))
        console.print(Padding(why, (0, 0, 0, 4)))
    if more:
        console.print(told("There are more. Narrow it down with --satellite, --reason or --field."), style="dim")
    look = hints.command("quarantine show INTAKE_ID")
    console.print(told("Look at one with: {command}", command=look), style="dim")


def _reason(code: str) -> str:
    """In words, with the code that --reason is given."""
    return f"{words} ({code})" if (words := said(code)) != code else code


def render_groups(groups: Sequence[QuarantineGroup], console: Console) -> None:
    """How many for what: of a thousand documents hardly ever more than a few mistakes are the cause."""
    counts = [f"{group.documents:,}" for group in groups]
    wide = max((len(count) for count in counts), default=0)
    for count, group in zip(counts, groups, strict=True):
        reason = (_reason(group.reason), "red")
        line = Text.assemble(f"{count.rjust(wide)}  {group.satellite}  ", reason, " ", group.field)
        console.print(Padding(line, (0, 0, 0, 2), expand=False), highlight=False)
    if len(groups) == GROUPS_MAX:
        console.print(Padding(Text(told("… and smaller ones")), (0, 0, 0, 2)), style="dim")


def _show(arguments: argparse.Namespace) -> int:
    view = questions.get(arguments.dir, _path(SHOW_DOCUMENT.path, arguments.id), DocumentView, {})
    if arguments.json:
        _print_json(view)
    else:
        render_document(view, Screen())
    return 0


def render_document(view: DocumentView, console: Console) -> None:
    console.print(f"[bold]{view.intake_id}[/]  {said(view.state)}")
    where = f"{view.satellite}/{view.channel} {view.topic}".strip()
    came = told_count(
        "{where}, received {at}, {count} byte",
        "{where}, received {at}, {count} bytes",
        view.bytes,
        where=where,
        at=moment(view.received_at),
    )
    console.print(Text(came))
    if view.corrects is not None:
        console.print(told("takes the place of {intake_id}", intake_id=view.corrects))
    for refusal in view.refusals:
        place = f" {refusal.field}{told(': ')}{said(refusal.detail)}"
        fault = Text.assemble((_reason(refusal.reason), "bold red"), place)
        console.print(Text(f"{moment(refusal.at)}  ").append_text(fault))
        if refusal.decision:
            decision = said(refusal.decision)
            if refusal.corrected_by:
                decision = told("corrected by {intake_id}", intake_id=refusal.corrected_by)
            when = f"{moment(refusal.decided_at)}  " if refusal.decided_at else ""
            console.print(Text(f"{when}{decision} ({refusal.decided_by}) {refusal.note}".rstrip(), style="dim"))
    for command in view.commands:
        console.print(Text(told("became {document}", document=_document(command)), style="green"))
    console.print()
    if console.is_terminal:
        console.print(Text(_pretty(view.content)), soft_wrap=True)
    else:  # Into a file or a pipe, which nothing can steer: every byte as it is.
        console.file.write(f"{_pretty(view.content)}\n")


def _document(command: CommandView) -> str:
    kind, number, company = said(command.kind), command.number, command.company
    return told("{kind} {number} of {company}", kind=kind, number=number, company=company)


def _correct(arguments: argparse.Namespace) -> int:
    try:
        content = sys.stdin.read() if arguments.file == "-" else Path(arguments.file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise CommandFailed(told("{file} cannot be read: {why}", file=arguments.file, why=why)) from None
    body = {"content": content, "note": arguments.note}
    decided = questions.post(arguments.dir, _path(CORRECT.path, arguments.id), Decided, body)
    again = told("The correction was quarantined too")
    submitted = told("Submitted as {intake_id}.", intake_id=decided.intake_id)
    return _decided(arguments, decided, submitted, again=again)


def _make_sure_of_choice(arguments: argparse.Namespace) -> None:
    if not any(_chosen(arguments).values()):
        raise CommandFailed(told("name an intake id, or choose with --satellite, --reason or --field"))


def _one(arguments: argparse.Namespace) -> bool:
    """Whether one document is meant. Both an id and a choice is a slip: one of them would be left out silently."""
    if arguments.id and any(_chosen(arguments).values()):
        raise CommandFailed(told("name an intake id, or choose with --satellite, --reason and --field; not both"))
    return bool(arguments.id)


def _resubmit(arguments: argparse.Namespace) -> int:
    if _one(arguments):
        path = _path(RESUBMIT.path, arguments.id)
        decided = questions.post(arguments.dir, path, Decided, {"note": arguments.note})
        return _decided(arguments, decided, told("It is mapped again."), again=told("It was quarantined again"))
    _make_sure_of_choice(arguments)
    chosen = {**_chosen(arguments), "note": arguments.note}
    # Once: what is refused again would be found again.
    again = questions.post(arguments.dir, RESUBMIT_MANY.path, Resubmitted, {**chosen, "limit": RESUBMITTED_MAX})
    if arguments.json:
        _print_json(again)
    else:
        lines = [
            told_count("{count} document is mapped again.", "{count} documents are mapped again.", again.documents)
        ]
        if again.documents == RESUBMITTED_MAX:
            lines.append(told("There may be more; call it again."))
        if again.documents:
            listing = hints.command(f"quarantine list{_options(arguments)}")
            lines.append(told("What is refused again is listed by: {command}", command=listing))
        sys.stdout.write(" ".join(lines) + "\n")
    return 0


def _dismiss(arguments: argparse.Namespace) -> int:
    if not _one(arguments):
        return _dismiss_many(arguments)
    path = _path(DISMISS.path, arguments.id)
    decided = questions.post(arguments.dir, path, Decided, {"note": arguments.note})
    return _decided(arguments, decided, told("It stays out of the books."))


def _dismiss_many(arguments: argparse.Namespace) -> int:
    """Only what was shown: documents that are refused meanwhile stay open."""
    _make_sure_of_choice(arguments)
    chosen = _chosen(arguments)
    preview = questions.get(arguments.dir, QUARANTINE.path, QuarantinePage, {**chosen, "limit": 1})
    if not arguments.json:
        if not preview.open:
            sys.stdout.write(told("Nothing of that choice is in quarantine.") + "\n")
            return 0
        screen = Screen()
        would = told_count(
            "{count} document would stay out of the books:",
            "{count} documents would stay out of the books:",
            preview.open,
        )
        screen.print(would, highlight=False)
        render_groups(preview.groups, screen)
        see = hints.command(f"quarantine list{_options(arguments)}")
        screen.print(told("See: {command}", command=see), style="dim")
    dismissed = 0
    if preview.open:
        consent.make_sure(yes=arguments.yes)
        asked = {**chosen, "note": arguments.note, "upto": preview.newest, "limit": DISMISSED_AT_ONCE}
        while several := questions.post(arguments.dir, DISMISS_MANY.path, Dismissed, asked).documents:
            dismissed += several
    if arguments.json:
        _print_json(Dismissed(dismissed))
    else:
        lines = [
            told_count(
                "{count} document stays out of the books.", "{count} documents stay out of the books.", dismissed
            )
        ]
        if dismissed < preview.open:
            lines.append(told("The others were decided by somebody else meanwhile."))
        sys.stdout.write(" ".join(lines) + "\n")
    return 0


def _decided(arguments: argparse.Namespace, decided: Decided, sentence: str, *, again: str = "") -> int:
    """Tells what was decided; with `again` (how to say that it failed) also what became of it meanwhile."""
    view = _outcome(arguments, decided) if again else None
    if arguments.json:
        _print_json(decided)
    else:
        lines = [sentence]
        if decided.repeated:
            lines.append(told("That had been decided before."))
        if view is not None:
            lines.append(outcome(view, again))
        lines.append(told("See: {command}", command=hints.command(f"quarantine show {decided.intake_id}")))
        sys.stdout.write(" ".join(lines) + "\n")
    return 1 if view is not None and view.state == "quarantined" else 0


def _outcome(arguments: argparse.Namespace, decided: Decided) -> DocumentView:
    path = _path(SHOW_DOCUMENT.path, str(decided.intake_id))
    deadline = time.monotonic() + OUTCOME_SECONDS_MAX
    while True:
        view = questions.get(arguments.dir, path, DocumentView, {"content": "false"})
        if view.state != "pending" or time.monotonic() > deadline:
            return view
        time.sleep(0.1)


def outcome(view: DocumentView, again: str) -> str:
    """What became of a document, in a sentence."""
    if view.state == "quarantined" and view.refusals:
        last = view.refusals[-1]
        why = said(last.detail).rstrip(".")
        return told(
            "{again}: {reason}: {why}.", again=again, reason=f"{_reason(last.reason)} {last.field}".strip(), why=why
        )
    if view.commands:
        return told("It became {documents}.", documents=listed(map(_document, view.commands)))
    if view.state == "ignored":
        return told("It means nothing to the books: {why}.", why=said(view.ignored))
    if view.state == "waiting":
        return told("It waits for the order that it names, {order}.", order=view.waits_for)
    if view.state == "pending":
        return told("It has not been mapped yet.")
    return told("It is {state}.", state=said(view.state))


def _path(template: str, intake_id: str) -> str:
    try:
        UUID(intake_id)
    except ValueError:
        see = hints.command("quarantine list")
        why = told("{given} is no intake id. See: {command}", given=repr(intake_id), command=see)
        raise CommandFailed(why) from None
    return template.replace("{intake_id}", intake_id)


def _pretty(content: str) -> str:
    try:
        return msgspec.json.format(content, indent=2)
    except msgspec.MsgspecError:
        return content


def _print_json(answer: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
