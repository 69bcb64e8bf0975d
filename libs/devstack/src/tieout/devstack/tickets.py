"""What needs a person: one ticket per cause, the most urgent first. Without an action it lists.

    tieout tickets list [--all] [--kind K] [--service S] [--owner O]
    tieout tickets show NUMBER                  its history, its orders, its dead letters
    tieout tickets letter NUMBER                one dead letter: the original message, its headers, every attempt
    tieout tickets ack NUMBER                   you have it
    tieout tickets wait NUMBER --reason WHY     somebody else has to act; its clock stands meanwhile
    tieout tickets resolve NUMBER --reason WHY  it is mended; it opens again by itself if its cause returns
    tieout tickets reopen NUMBER --reason WHY
    tieout tickets mute NUMBER --for 8h --reason WHY     nobody is told until then
    tieout tickets comment NUMBER --reason TEXT
    tieout tickets assign NUMBER --to WHOM      @finance is a team, everything else a person
    tieout tickets priority NUMBER --to 1 --reason WHY   1 at once, 2 today, 3 this week, 4 when there is time

NUMBER is the one that the list begins each ticket with.
"""

import argparse
import contextlib
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from rich.cells import set_cell_size
from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from tieout.contracts.currency import spelled
from tieout.contracts.ticket import (
    CHANGE_TICKET,
    LIST_TICKETS,
    SHOW_DEAD_LETTER,
    SHOW_TICKET,
    DeadLetterStory,
    Money,
    Ticket,
    TicketChanged,
    Tickets,
    TicketStory,
)
from tieout.devstack import hints, questions, usage
from tieout.devstack.languages import in_chinese, listed, marked, said, told, told_count
from tieout.devstack.moments import moment
from tieout.devstack.terminal import Screen

LISTED_MAX = 200
ACTIONS = {
    "ack": "acknowledge",
    "wait": "wait",
    "resolve": "resolve",
    "reopen": "reopen",
    "mute": "mute",
    "comment": "comment",
    "assign": "assign",
    "priority": "prioritise",
}
HELP = {
    "ack": "you have it",
    "wait": "somebody else has to act; its clock stands meanwhile",
    "resolve": "it is mended",
    "reopen": "it is not mended",
    "mute": "nobody is told until then",
    "comment": "write something into its history",
    "assign": "give it to a team or a person",
    "priority": "make it more or less urgent; its deadline moves",
}
_SPAN = re.compile(r"^(\d{1,4})([mhd])$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="what stands, the most urgent first")
    listing.add_argument("--all", action="store_true", help="also what is resolved")
    listing.add_argument("--kind", default="", metavar="K", help="dead_letter, flow_stopped, disagreement, conflict …")
    listing.add_argument("--service", default="", metavar="S", help="only of this service")
    listing.add_argument("--owner", default="", metavar="O", help="only of this team or person")
    listing.add_argument(
        "--order", default="", metavar="NO", help="only those that hurt this order, or whose documents have or name it"
    )
    show = actions.add_parser("show", help="its history, its orders, its dead letters")
    letter = actions.add_parser("letter", help="one dead letter: the original message, its headers, every attempt")
    for action in (show, letter):
        action.add_argument("number", type=_number, help="its number")
    for name in ACTIONS:
        action = actions.add_parser(name, help=HELP[name])
        action.add_argument("number", type=_number, help="its number")
        needed = name not in ("ack", "assign")
        action.add_argument("--reason", default="", required=needed, metavar="WHY", help="stays in its history")
        if name == "mute":
            action.add_argument("--for", dest="span", required=True, type=_span, metavar="T", help="30m, 8h or 14d")
        elif name == "assign":
            action.add_argument("--to", required=True, metavar="WHOM", help="@finance is a team, all else a person")
        elif name == "priority":
            action.add_argument("--to", required=True, type=int, choices=(1, 2, 3, 4), help="1 is the most urgent")
    usage.add_json(parser)
    parser.set_defaults(action="list", all=False, kind="", service="", owner="", order="")


def _number(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a ticket; `tieout tickets` lists them")
    return int(text)


def _span(text: str) -> timedelta:
    found = _SPAN.match(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time: write 30m, 8h or 14d")
    return int(found[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[found[2]]


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "list":
        return _list(arguments)
    if arguments.action == "show":
        story = _get(arguments, SHOW_TICKET.path, TicketStory)
        return _print(arguments, story, lambda: render_story(story, Screen()))
    if arguments.action == "letter":
        letter = _get(arguments, SHOW_DEAD_LETTER.path, DeadLetterStory)
        return _print(arguments, letter, lambda: render_letter(letter, Screen()))
    return _change(arguments)


def _get(arguments: argparse.Namespace, template: str, answer: type[Any]) -> Any:
    return questions.get(arguments.dir, template.replace("{number}", str(arguments.number)), answer, {})


def _list(arguments: argparse.Namespace) -> int:
    chosen = {
        "state": "all" if arguments.all else "standing",
        "kind": arguments.kind,
        "service": arguments.service,
        "owner": arguments.owner,
        "order_no": arguments.order,
        "limit": LISTED_MAX,
    }
    found = questions.get(arguments.dir, LIST_TICKETS.path, Tickets, chosen)
    return _print(arguments, found, lambda: render(found, Screen(), standing=not arguments.all))


def _change(arguments: argparse.Namespace) -> int:
    action = ACTIONS[arguments.action]
    body: dict[str, Any] = {"reason": arguments.reason}
    if action == "mute":
        body["until"] = (datetime.now(UTC) + arguments.span).isoformat().replace("+00:00", "Z")
    elif action == "assign":
        body["to"] = arguments.to
    elif action == "prioritise":
        body["priority"] = arguments.to
    path = CHANGE_TICKET.path.replace("{number}", str(arguments.number)).replace("{action}", action)
    changed = questions.post(arguments.dir, path, TicketChanged, body)

    def say() -> None:
        if changed.repeated:
            sys.stdout.write(told("It was so already.") + "\n")
        Screen().print(heading(changed.ticket), soft_wrap=True)

    return _print(arguments, changed, say)


def _print(arguments: argparse.Namespace, answer: Any, render: Any) -> int:
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
    else:
        render()
    return 0


def render(found: Tickets, console: Console, *, standing: bool = True) -> None:
    """`standing`: only those that are not resolved were asked for."""
    if not found.tickets:
        nothing = told("No ticket stands.") if standing else told("There are no tickets.")
        none = told("No such ticket, of {total} in all.", total=f"{found.total:,}")
        console.print(none if found.total else nothing, style="green")
        return
    console.print(_head(found, standing=standing), highlight=False)
    for ticket in found.tickets:
        console.print(heading(ticket), soft_wrap=True)
        for below in filter(None, (_title_below(ticket), said(ticket.detail))):
            console.print(Padding(Text(below), (0, 0, 0, 4)))
        console.print(Padding(Text(_whom(ticket), style="dim"), (0, 0, 0, 4)))
    if found.next_after:
        console.print(told("There are more. Narrow it down with --kind, --service, --owner or --order."), style="dim")
    look = hints.command("tickets show NUMBER")
    console.print(told("Look at one with: {command}", command=look), style="dim", soft_wrap=True)


def _head(found: Tickets, *, standing: bool) -> str:
    """2 tickets of 7 in all stand, 1 overdue"""
    total = f"{found.total:,}"
    if standing and found.found < found.total:
        told_so = told_count(
            "{count} ticket of {total} in all stands",
            "{count} tickets of {total} in all stand",
            found.found,
            total=total,
        )
    elif standing:
        told_so = told_count("{count} ticket stands", "{count} tickets stand", found.found)
    elif found.found < found.total:
        told_so = told_count(
            "{count} ticket of {total} in all", "{count} tickets of {total} in all", found.found, total=total
        )
    else:
        told_so = told_count("{count} ticket", "{count} tickets", found.found)
    return told_so + (told(", {count} overdue", count=f"{found.overdue:,}") if found.overdue else "")


def _title_below(ticket: Ticket) -> str:
    """An English list shows the Chinese title too, for both read it."""
    return "" if in_chinese() else ticket.title_zh


def heading(ticket: Ticket) -> Text:
    """12  P1  open  Billing shipments: …  (@finance)"""
    style = {"resolved": "green", "muted": "dim"}.get(ticket.state, "red" if ticket.priority == 1 else "yellow")
    line = Text(f"{ticket.number:>4}  P{ticket.priority}  ")
    line.append(said(ticket.state), style=style)
    if ticket.overdue:
        line.append(f" {told('overdue')}", style="bold red")
    line.append(f"  {ticket.title_zh if in_chinese() else ticket.title_en}", style="bold")
    return line.append(f"  {ticket.assignee or '@' + ticket.owner}", style="dim")


def _whom(ticket: Ticket) -> str:
    last = moment(ticket.last_at)
    parts = [told_count("{count} time, last {at}", "{count} times, last {at}", ticket.count, at=last)]
    if ticket.orders:
        parts.append(told_count("{count} order", "{count} orders", ticket.orders))
    parts += [money(one) for one in ticket.money]
    if ticket.state in ("open", "acknowledged"):
        years = listed(map(str, ticket.unpublished))
        due = told("due {at}", at=moment(ticket.due_at))
        parts.append(due + (told(" (holidays of {years} are not published)", years=years) if years else ""))
    if ticket.muted_until:
        parts.append(told("until {at}", at=moment(ticket.muted_until)))
    return " · ".join(parts)


def money(sum_: Money) -> str:
    return spelled(sum_.amount_minor, sum_.currency)


def render_story(story: TicketStory, console: Console) -> None:
    ticket = story.ticket
    console.print(heading(ticket), soft_wrap=True)
    for below in (_title_below(ticket), _whom(ticket), said(ticket.detail)):
        if below:
            console.print(Padding(Text(below), (0, 0, 0, 4)))
    if ticket.runbook:
        runbook = told("runbook: {file}", file=f"docs/runbooks/{ticket.runbook}.md")
        console.print(Padding(Text(runbook, style="dim"), (0, 0, 0, 4)))
    console.print()
    for step in story.history:
        line = Text.assemble(f"{moment(step.at)}  ", (said(step.what), "bold"), told(" by {actor}", actor=step.actor))
        console.print(line.append(f"{told(': ')}{said(step.note)}" if step.note else ""), soft_wrap=True)
    if story.orders:
        console.print()
    for name, papers in ((told("orders"), False), (told("other documents"), True)):
        named = [f"{one.company} {one.order_no}{_of(one)}".strip() for one in story.orders if one.paper == papers]
        if named:
            console.print(Text(f"{name}{told(': ')}{listed(named)}"))
        if not papers and (left := ticket.orders - len(named)) > 0:
            more = told_count("… and {count} more order", "… and {count} more orders", left)
            console.print(more, style="dim", highlight=False)
    for letter in story.letters:
        number = told("letter {number}", number=letter.number)
        console.print(Text(f"{number}  {moment(letter.at)}  {letter.order_no}  {said(letter.detail)}"))
    if story.letters:
        look = hints.command("tickets letter NUMBER")
        console.print(told("Look at one with: {command}", command=look), style="dim", soft_wrap=True)


def _of(order: Any) -> str:
    return f" ({money(Money(order.currency, order.amount_minor))})" if order.currency else ""


def render_letter(letter: DeadLetterStory, console: Console) -> None:
    which = told("letter {number}", number=letter.number), told("ticket {number}", number=letter.ticket)
    console.print(Text.assemble((which[0], "bold"), f"  {which[1]}  {moment(letter.at)}"))
    sequence, stream = letter.sequence, letter.stream
    facts = {
        marked("reason"): f"{said(letter.reason)} {letter.field}".strip(),
        marked("detail"): said(letter.detail),
        marked("flow"): told("{flow} (version {version})", flow=letter.flow, version=letter.version),
        marked("order"): f"{letter.company} {letter.order_no}".strip(),
        marked("from"): told("{stream} sequence {sequence}, ", stream=stream, sequence=sequence) + letter.subject,
        marked("attempts"): f"{letter.attempts}: {', '.join(at[:23] for at in letter.tries)}",
        marked("trace"): letter.trace_id,
        marked("cause"): letter.cause,
        marked("body"): f"sha256 {letter.fingerprint}",
    }
    for name, value in facts.items():
        if value:
            console.print(Text.assemble((f"  {set_cell_size(told(name), 9)}", "dim"), value), soft_wrap=True)
    for name, value in letter.headers.items():
        heading = set_cell_size(told("header"), 9)
        console.print(Text.assemble((f"  {heading}", "dim"), f"{name}: {value}"), soft_wrap=True)
    console.print()
    content = letter.body or letter.body_base64
    if not content:
        console.print(told("The body is too large for a letter; it stands in {where}.", where=f"{stream} {sequence}"))
    with contextlib.suppress(msgspec.MsgspecError, RecursionError):  # It was given up for a reason.
        content = msgspec.json.format(content, indent=2)
    console.print(Text(content))
    if letter.body_cut:
        whole = told("This is its beginning; all of it stands in {where}.", where=f"{stream} {sequence}")
        console.print(whole, style="dim")
