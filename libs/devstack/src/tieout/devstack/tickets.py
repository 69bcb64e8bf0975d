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
from tieout.devstack import hints, questions
from tieout.devstack.moments import moment
from tieout.devstack.terminal import Screen
from tieout.devstack.wording import counted

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
    every = [listing, show, letter]
    for name in ACTIONS:
        action = actions.add_parser(name, help=HELP[name])
        action.add_argument("number", type=_number, help="its number")
        needed = name not in ("ack", "assign")
        action.add_argument("--reason", default="", required=needed, metavar="WHY", help="stays in its history")
        every.append(action)
        if name == "mute":
            action.add_argument("--for", dest="span", required=True, type=_span, metavar="T", help="30m, 8h or 14d")
        elif name == "assign":
            action.add_argument("--to", required=True, metavar="WHOM", help="@finance is a team, all else a person")
        elif name == "priority":
            action.add_argument("--to", required=True, type=int, choices=(1, 2, 3, 4), help="1 is the most urgent")
    for action in every:
        action.add_argument("--json", action="store_true", help="the answer as one JSON document")
    parser.set_defaults(action="list", all=False, kind="", service="", owner="", order="", json=False)


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
    told = questions.get(arguments.dir, LIST_TICKETS.path, Tickets, chosen)
    return _print(arguments, told, lambda: render(told, Screen(), standing=not arguments.all))


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
    told = questions.post(arguments.dir, path, TicketChanged, body)

    def say() -> None:
        if told.repeated:
            sys.stdout.write("It was so already.\n")
        Screen().print(heading(told.ticket), soft_wrap=True)

    return _print(arguments, told, say)


def _print(arguments: argparse.Namespace, answer: Any, render: Any) -> int:
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
    else:
        render()
    return 0


def render(told: Tickets, console: Console, *, standing: bool = True) -> None:
    """`standing`: only those that are not resolved were asked for."""
    if not told.tickets:
        nothing = "No ticket stands." if standing else "There are no tickets."
        console.print(f"No such ticket, of {told.total:,} in all." if told.total else nothing, style="green")
        return
    console.print(_head(told, standing=standing), highlight=False)
    for ticket in told.tickets:
        console.print(heading(ticket), soft_wrap=True)
        console.print(Padding(Text(ticket.title_zh), (0, 0, 0, 4)))
        if ticket.detail:
            console.print(Padding(Text(ticket.detail), (0, 0, 0, 4)))
        console.print(Padding(Text(_whom(ticket), style="dim"), (0, 0, 0, 4)))
    if told.next_after:
        console.print("There are more. Narrow it down with --kind, --service, --owner or --order.", style="dim")
    console.print(f"Look at one with: {hints.command('tickets show NUMBER')}", style="dim", soft_wrap=True)


def _head(told: Tickets, *, standing: bool) -> str:
    """2 tickets of 7 in all stand, 1 overdue"""
    filtered = f" of {told.total:,} in all" if told.found < told.total else ""
    stand = (" stands" if told.found == 1 else " stand") if standing else ""
    late = f", {told.overdue:,} overdue" if told.overdue else ""
    return counted(told.found, "ticket") + filtered + stand + late


def heading(ticket: Ticket) -> Text:
    """12  P1  open  Billing shipments: …  (@finance)"""
    style = {"resolved": "green", "muted": "dim"}.get(ticket.state, "red" if ticket.priority == 1 else "yellow")
    told = Text(f"{ticket.number:>4}  P{ticket.priority}  ")
    told.append(ticket.state, style=style)
    if ticket.overdue:
        told.append(" overdue", style="bold red")
    told.append(f"  {ticket.title_en}", style="bold")
    return told.append(f"  {ticket.assignee or '@' + ticket.owner}", style="dim")


def _whom(ticket: Ticket) -> str:
    parts = [f"{counted(ticket.count, 'time')}, last {moment(ticket.last_at)}"]
    if ticket.orders:
        parts.append(counted(ticket.orders, "order"))
    parts += [money(one) for one in ticket.money]
    if ticket.state in ("open", "acknowledged"):
        years = ", ".join(map(str, ticket.unpublished))
        parts.append(f"due {moment(ticket.due_at)}" + (f" (holidays of {years} are not published)" if years else ""))
    if ticket.muted_until:
        parts.append(f"until {moment(ticket.muted_until)}")
    return " · ".join(parts)


def money(sum_: Money) -> str:
    return spelled(sum_.amount_minor, sum_.currency)


def render_story(story: TicketStory, console: Console) -> None:
    ticket = story.ticket
    console.print(heading(ticket), soft_wrap=True)
    for line in (ticket.title_zh, _whom(ticket), ticket.detail):
        if line:
            console.print(Padding(Text(line), (0, 0, 0, 4)))
    if ticket.runbook:
        console.print(Padding(Text(f"runbook: docs/runbooks/{ticket.runbook}.md", style="dim"), (0, 0, 0, 4)))
    console.print()
    for step in story.history:
        told = Text.assemble(f"{moment(step.at)}  ", (step.what, "bold"), f" by {step.actor}")
        console.print(told.append(f": {step.note}" if step.note else ""), soft_wrap=True)
    if story.orders:
        console.print()
    for name, papers in (("orders", False), ("other documents", True)):
        named = [f"{one.company} {one.order_no}{_of(one)}".strip() for one in story.orders if one.paper == papers]
        if named:
            console.print(Text(f"{name}: {', '.join(named)}"))
        if not papers and ticket.orders > len(named):
            console.print(f"… and {counted(ticket.orders - len(named), 'more order')}", style="dim", highlight=False)
    for letter in story.letters:
        console.print(Text(f"letter {letter.number}  {moment(letter.at)}  {letter.order_no}  {letter.detail}"))
    if story.letters:
        console.print(f"Look at one with: {hints.command('tickets letter NUMBER')}", style="dim", soft_wrap=True)


def _of(order: Any) -> str:
    return f" ({money(Money(order.currency, order.amount_minor))})" if order.currency else ""


def render_letter(letter: DeadLetterStory, console: Console) -> None:
    console.print(Text.assemble((f"letter {letter.number}", "bold"), f"  ticket {letter.ticket}  {moment(letter.at)}"))
    facts = {
        "reason": f"{letter.reason} {letter.field}".strip(),
        "detail": letter.detail,
        "flow": f"{letter.flow} (version {letter.version})",
        "order": f"{letter.company} {letter.order_no}".strip(),
        "from": f"{letter.stream} sequence {letter.sequence}, {letter.subject}",
        "attempts": f"{letter.attempts}: {', '.join(at[:23] for at in letter.tries)}",
        "trace": letter.trace_id,
        "cause": letter.cause,
        "body": f"sha256 {letter.fingerprint}",
    }
    for name, value in facts.items():
        if value:
            console.print(Text.assemble((f"  {name:<9}", "dim"), value), soft_wrap=True)
    for name, value in letter.headers.items():
        console.print(Text.assemble(("  header   ", "dim"), f"{name}: {value}"), soft_wrap=True)
    console.print()
    content = letter.body or letter.body_base64
    if not content:
        console.print(f"The body is too large for a letter; it stands in {letter.stream} {letter.sequence}.")
    with contextlib.suppress(msgspec.MsgspecError, RecursionError):  # It was given up for a reason.
        content = msgspec.json.format(content, indent=2)
    console.print(Text(content))
    if letter.body_cut:
        console.print(f"This is its beginning; all of it stands in {letter.stream} {letter.sequence}.", style="dim")
