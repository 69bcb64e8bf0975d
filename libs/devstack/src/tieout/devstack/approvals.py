"""What one person asks for and others approve. Without an action it lists what waits.

    tieout approvals list [--company C]      counts that stand on 1901, and requests that wait for a verdict
    tieout approvals ask --company C --source S --number N --cause management|disaster|person --reason WHY
                                             ask to take a count out of 1901
    tieout approvals approve ID [--note N]   as another person than the one who asked
    tieout approvals reject ID [--note N]

A stock count that finds less or more than the books have stands on account 1901 until somebody approves it; its period
cannot be closed before. The name in the books is the one that belongs to the token: two people need two of them
(`tieout token create`), each gives his own with --url and --token-file.
"""

import argparse
import shlex
import sys
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec
from rich.console import Console
from rich.text import Text
from tieout.contracts.currency import spelled
from tieout.contracts.finance import (
    DECIDE_REQUEST,
    REQUEST_COUNT_APPROVAL,
    REQUESTS,
    STANDING_COUNTS,
    Requests,
    RequestView,
    StandingCount,
    StandingCounts,
)
from tieout.devstack import endpoints, hints, questions, remote
from tieout.devstack.failures import CommandFailed
from tieout.devstack.journey import duration
from tieout.devstack.terminal import Screen, tell
from tieout.devstack.wording import counted

LISTED_MAX = 200
CAUSES = ("management", "disaster", "person")


class Waiting(msgspec.Struct, frozen=True):
    """What `--json` tells of a list."""

    counts: StandingCounts
    requests: tuple[RequestView, ...]
    requests_found: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="counts that stand on 1901, and requests that wait for a verdict")
    asking = actions.add_parser("ask", help="ask to take a count difference out of 1901")
    approve = actions.add_parser("approve", help="agree to what another person asked for")
    reject = actions.add_parser("reject", help="refuse it; it may be asked for again")
    listing.add_argument("--company", default="", metavar="C", help="of this company only")
    asking.add_argument("--company", required=True, metavar="C", help="whose count")
    asking.add_argument("--source", default="", metavar="S", help="where the count came from (none: a revaluation)")
    asking.add_argument("--number", required=True, metavar="N", help="the count's number")
    causes = "management (6602.08), disaster (6711), person (1221)"
    asking.add_argument("--cause", required=True, choices=CAUSES, help=f"who bears it: {causes}")
    asking.add_argument("--reason", required=True, metavar="WHY", help="kept in the books")
    asking.add_argument(
        "--input-tax",
        type=_minor,
        default=0,
        metavar="N",
        help="lost by bad management: this input tax of the goods, in minor units (分), is transferred out",
    )
    for action in (approve, reject):
        action.add_argument("id", metavar="REQUEST_ID", help="as the list has it")
        action.add_argument("--note", default="", help="why; kept with the verdict")
    for action in (listing, asking, approve, reject):
        action.add_argument("--json", action="store_true", help="the answer as one JSON document")
    parser.set_defaults(action="list", company="", json=False)


def _minor(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 10**15:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in minor units: 12.34 CNY is 1234")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "list":
        return _list(arguments)
    if arguments.action == "ask":
        return _told(arguments, _ask(arguments))
    return _told(arguments, _decide(arguments))


def _list(arguments: argparse.Namespace) -> int:
    chosen = {"company": arguments.company, "limit": LISTED_MAX}
    counts = questions.get(arguments.dir, STANDING_COUNTS.path, StandingCounts, chosen)
    requests = questions.get(arguments.dir, REQUESTS.path, Requests, {**chosen, "state": "waiting"})
    if arguments.json:
        _print_json(Waiting(counts, requests.requests, requests.found))
    else:
        render(counts, requests, Screen(), datetime.now(UTC), endpoints.of_stack(arguments.dir).gateway)
    return 0


def _ask(arguments: argparse.Namespace) -> RequestView:
    body = {
        "source": arguments.source,
        "number": arguments.number,
        "cause": arguments.cause,
        "reason": arguments.reason,
        "abnormal": bool(arguments.input_tax),
        "input_tax_minor": arguments.input_tax,
    }
    path = REQUEST_COUNT_APPROVAL.path.replace("{company}", quote(arguments.company, safe=""))
    return questions.post(arguments.dir, path, RequestView, body)


def _decide(arguments: argparse.Namespace) -> RequestView:
    try:
        UUID(arguments.id)
    except ValueError:
        told = f"{arguments.id!r} is no id of a request. See: {hints.command('approvals list')}"
        raise CommandFailed(told) from None
    path = DECIDE_REQUEST.path.replace("{request_id}", arguments.id)
    body = {"approve": arguments.action == "approve", "note": arguments.note}
    return questions.post(arguments.dir, path, RequestView, body)


def _told(arguments: argparse.Namespace, view: RequestView) -> int:
    if arguments.json:
        _print_json(view)
    else:
        Screen().print(Text(outcome(view, endpoints.of_stack(arguments.dir).gateway)), soft_wrap=True)
    return 0


def outcome(view: RequestView, gateway: str) -> str:
    """How a request stands after this, in a sentence or two. `gateway`: where another person sends his verdict."""
    told = f"{_kind(view)} {view.subject} of {view.company}{_amount(view)}"
    if view.state == "rejected":
        return f"{told}: rejected. It may be asked for again."
    if view.state == "done":
        return f"{told}: approved and done{f', voucher {view.voucher_no}' if view.voucher_no else ''}."
    left = view.approvals_needed - sum(verdict.approved for verdict in view.verdicts)
    step = _by_another(str(view.request_id), gateway)
    return f"{told}: {counted(left, 'more approval')} needed, by somebody else than {view.requested_by}: {step}"


def _by_another(request: str, gateway: str) -> str:
    """Whoever uses the stack's folder is always the same person, `admin`."""
    return f"{hints.program()} approvals approve {request} --url {gateway} --token-file FILE"


def render(counts: StandingCounts, requests: Requests, console: Console, now: datetime, gateway: str = "") -> None:
    """Counts without a request first: somebody has to ask. `gateway`: where another person sends his verdict."""
    unasked = [count for count in counts.counts if count.request_id is None]
    found = sum(one.counts for one in counts.sums)
    if not found and not requests.requests:
        console.print("Nothing waits for an approval.", style="green")
        return
    if found:
        standing = counted(found, "count stands", "counts stand")
        tell(console, Text(f"{standing} on 1901: {_sums(counts)}", style="bold"))
    for count in unasked:
        tell(console, Text(f"{count.company}  {_named(count)}  {_left(count)}"))
        why = "its last request was rejected" if count.rejected else "nobody has asked for its approval"
        age = duration((now - count.posted_at).total_seconds() * 1000)
        tell(console, Text(f"counted {count.business_date}, booked {age} ago; {why}", style="dim"), first=4)
    if unasked:
        console.print(f"Ask for one: {_asking(unasked[0])}", style="dim", highlight=False)
    if found > len(counts.counts):
        console.print(f"… and {counted(found - len(counts.counts), 'more count')}; choose with --company.", style="dim")
    asked = max(requests.found, len(requests.requests))  # A service of before does not tell how many there are.
    if asked:
        told = counted(asked, "request waits", "requests wait")
        console.print(Text(f"{told} for a verdict", style="bold"))
    for view in requests.requests:
        tell(console, Text(f"{view.request_id}  {_kind(view)} {view.subject}{_amount(view)}"))
        given = sum(verdict.approved for verdict in view.verdicts)
        age = duration((now - view.requested_at).total_seconds() * 1000)
        request = f"{view.company}, {view.requested_by} asked {age} ago: {view.reason}"
        needed = f" ({given} of {counted(view.approvals_needed, 'approval')})"
        tell(console, Text(request + needed, style="dim"), first=4)
    if more := asked - len(requests.requests):
        told = f"… and {counted(more, 'more request')}, asked for earlier; choose with --company."
        console.print(told, style="dim", highlight=False)
    if asked:
        console.print(f"Decide one: {hints.command('approvals approve REQUEST_ID')}", style="dim", highlight=False)
        if remote.chosen() is None and gateway:
            words = _by_another("REQUEST_ID", gateway)
            console.print(f"As another person, with a token of his own: {words}", style="dim", highlight=False)


def _asking(count: StandingCount) -> str:
    words = f"approvals ask --company {count.company}"
    words += f" --source {shlex.quote(count.source)}" if count.source else ""
    return hints.command(f"{words} --number {shlex.quote(count.number)} --cause management --reason WHY")


def _named(count: StandingCount) -> str:
    return f"count {count.number} of {count.source}" if count.source else f"revaluation {count.number}"


def _left(count: StandingCount) -> str:
    return f"{spelled(abs(count.left_minor), count.currency)} {'missing' if count.left_minor > 0 else 'found'}"


def _sums(counts: StandingCounts) -> str:
    return ", ".join(
        f"{spelled(amount, one.currency)} {how}"
        for one in counts.sums
        for amount, how in ((one.missing_minor, "missing"), (one.found_minor, "found"))
        if amount
    )


def _kind(view: RequestView) -> str:
    return view.kind.replace("_", "-")


def _amount(view: RequestView) -> str:
    return f"  {spelled(view.amount_minor, view.currency)}" if view.amount_minor else ""


def _print_json(answer: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
