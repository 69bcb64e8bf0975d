"""What one person asks for and others approve. Without an action it lists what waits.

    tieout approvals list [--company C] [--period P]
                                             counts that stand on 1901, and requests that wait for a verdict
    tieout approvals ask --company C --number N --cause … --reason WHY
                                             ask to take a count (of --source S) out of 1901
    tieout approvals ask --company C --period P --cause … --reason WHY
                                             the same for each count of a month that nobody has asked for
    tieout approvals approve ID [--note N]   as another person than the one who asked
    tieout approvals approve --company C --period P [--note N]
                                             all that was asked for of a month's counts
    tieout approvals reject ID [--note N]

A stock count that finds less or more than the books have stands on account 1901 until somebody approves it; its period
cannot be closed before. The name in the books is the one that belongs to the token: two people need two of them
(`tieout token create`), each gives his own with --url and --token-file.
"""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
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
from tieout.devstack import endpoints, hints, questions, remote, usage
from tieout.devstack.failures import CommandFailed
from tieout.devstack.journey import duration
from tieout.devstack.languages import in_chinese, listed, said, told, told_count
from tieout.devstack.terminal import Screen, tell

LISTED_MAX = 200
PERIOD = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
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
    listing.add_argument("--period", type=period, default="", metavar="P", help="counted in this month, 2026-10")
    asking.add_argument("--company", required=True, metavar="C", help="whose count")
    asking.add_argument("--source", default="", metavar="S", help="where the count came from (none: a revaluation)")
    which = asking.add_mutually_exclusive_group(required=True)
    which.add_argument("--number", default="", metavar="N", help="the count's number")
    all_of_it = "instead of a number: all counted in this month that nobody has asked for"
    which.add_argument("--period", type=period, default="", metavar="P", help=all_of_it)
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
    approve.add_argument("id", nargs="?", default="", metavar="REQUEST_ID", help="as the list has it")
    approve.add_argument("--company", default="", metavar="C", help="with --period, instead of an id: of its counts")
    all_of_it = "all that was asked for of the counts of this month"
    approve.add_argument("--period", type=period, default="", metavar="P", help=all_of_it)
    reject.add_argument("id", metavar="REQUEST_ID", help="as the list has it")
    for action in (approve, reject):
        action.add_argument("--note", default="", metavar="WHY", help="why; kept with the verdict")
    usage.add_json(parser)
    parser.set_defaults(action="list", company="", period="")


def period(text: str) -> str:
    if text and not PERIOD.fullmatch(text):  # argparse reads the default too.
        raise argparse.ArgumentTypeError(f"{text!r} is no period: give a month as year and month, 2026-10")
    return text


def _minor(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 10**15:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in minor units: 12.34 CNY is 1234")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "list":
        return _list(arguments)
    if arguments.period:
        return _of_period(arguments)
    if arguments.action == "ask":
        return _told(arguments, _ask(arguments, arguments.source, arguments.number))
    if not arguments.id:
        raise CommandFailed(told("name a request, or the counts of a month: --company C --period 2026-10"))
    return _told(arguments, _decide(arguments, arguments.id))


def _of_period(arguments: argparse.Namespace) -> int:
    """One request for each count: what was done stays done, and run again it goes on with the rest."""
    asks = arguments.action == "ask"
    if not arguments.company or (not asks and arguments.id):
        raise CommandFailed(told("--period stands for all counts of a month, with --company and without an id"))
    if asks and (arguments.source or arguments.input_tax):
        raise CommandFailed(
            told("--source and --input-tax belong to one count: name it with --number instead of --period")
        )
    chosen = [count for count in _standing(arguments) if (count.request_id is None) is asks]
    views: list[RequestView] = []
    try:
        for count in chosen:
            request = str(count.request_id)
            views.append(_ask(arguments, count.source, count.number) if asks else _decide(arguments, request))
    except CommandFailed as failure:
        stopped = told_count(
            "{done} of {count} count, then: {failure} Run again, it goes on with the rest",
            "{done} of {count} counts, then: {failure} Run again, it goes on with the rest",
            len(chosen),
            done=len(views),
            failure=failure,
        )
        raise CommandFailed(stopped) from None
    if arguments.json:
        _print_json(views)
    else:
        gateway = endpoints.of_stack(arguments.dir).gateway
        Screen().print(Text(outcome_of_period(views, arguments, gateway)), soft_wrap=True)
    return 0


def outcome_of_period(views: Sequence[RequestView], arguments: argparse.Namespace, gateway: str) -> str:
    """What became of a month's counts. `gateway`: where another person sends his verdict."""
    of = {"company": arguments.company, "period": arguments.period}
    if arguments.action == "ask":
        if not views:
            return told(
                "For every count of {company} in {period} that stands on 1901 somebody has asked already, or none "
                "stands.",
                **of,
            )
        words = f"approvals approve --company {arguments.company} --period {arguments.period}"
        step = f"{hints.program()} {words} --url {gateway} --token-file FILE"
        return told_count(
            "Asked for {count} count of {company} in {period}. Somebody else than {who} approves it: {step}",
            "Asked for {count} counts of {company} in {period}. Somebody else than {who} approves them: {step}",
            len(views),
            who=views[0].requested_by,
            step=step,
            **of,
        )
    if not views:
        return told("Nobody has asked for a count of {company} in {period}, or none stands on 1901.", **of)
    if waiting := sum(view.state == "waiting" for view in views):
        return told_count(
            "{count} count of {company} in {period} approved; {waiting} need one more approval.",
            "{count} counts of {company} in {period} approved; {waiting} need one more approval.",
            len(views),
            waiting=waiting,
            **of,
        )
    return told_count(
        "{count} count of {company} in {period} approved and done.",
        "{count} counts of {company} in {period} approved and done.",
        len(views),
        **of,
    )


def _standing(arguments: argparse.Namespace) -> list[StandingCount]:
    """All of them, page by page."""
    found: list[StandingCount] = []
    while True:
        chosen = {
            "company": arguments.company,
            "period": arguments.period,
            "skip": len(found),
            "limit": LISTED_MAX,
        }
        page = questions.get(arguments.dir, STANDING_COUNTS.path, StandingCounts, chosen).counts
        found += page
        if len(page) < LISTED_MAX:
            return found


def _list(arguments: argparse.Namespace) -> int:
    chosen = {"company": arguments.company, "limit": LISTED_MAX}
    counts = questions.get(arguments.dir, STANDING_COUNTS.path, StandingCounts, {**chosen, "period": arguments.period})
    requests = questions.get(arguments.dir, REQUESTS.path, Requests, {**chosen, "state": "waiting"})
    if arguments.json:
        _print_json(Waiting(counts, requests.requests, requests.found))
    else:
        gateway = endpoints.of_stack(arguments.dir).gateway
        narrower = _narrower(arguments.company, arguments.period)
        render(counts, requests, Screen(), datetime.now(UTC), gateway, narrower)
    return 0


def _narrower(company: str, period: str) -> str:
    """How to come at the counts that a list leaves out, by what was chosen already."""
    if not company:
        return told("choose with --company")
    if not period:
        return told("choose with --period")
    every = f"approvals ask --company {company} --period {period} --cause management --reason WHY"
    return told("for all that nobody has asked for: {command}", command=hints.command(every))


def _ask(arguments: argparse.Namespace, source: str, number: str) -> RequestView:
    body = {
        "source": source,
        "number": number,
        "cause": arguments.cause,
        "reason": arguments.reason,
        "abnormal": bool(arguments.input_tax),
        "input_tax_minor": arguments.input_tax,
    }
    path = REQUEST_COUNT_APPROVAL.path.replace("{company}", quote(arguments.company, safe=""))
    return questions.post(arguments.dir, path, RequestView, body)


def _decide(arguments: argparse.Namespace, request: str) -> RequestView:
    try:
        UUID(request)
    except ValueError:
        see = hints.command("approvals list")
        raise CommandFailed(told("{given} is no id of a request. See: {see}", given=repr(request), see=see)) from None
    path = DECIDE_REQUEST.path.replace("{request_id}", request)
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
    request = told(
        "{kind} {subject} of {company}", kind=_kind(view), subject=view.subject, company=view.company
    ) + _amount(view)
    if view.state == "rejected":
        return told("{request}: rejected. It may be asked for again.", request=request)
    if view.state == "done" and view.voucher_no:
        return told("{request}: approved and done, voucher {number}.", request=request, number=view.voucher_no)
    if view.state == "done":
        return told("{request}: approved and done.", request=request)
    return told_count(
        "{request}: {count} more approval needed, by somebody else than {who}: {step}",
        "{request}: {count} more approvals needed, by somebody else than {who}: {step}",
        view.approvals_needed - sum(verdict.approved for verdict in view.verdicts),
        request=request,
        who=view.requested_by,
        step=by_another(str(view.request_id), gateway),
    )


def by_another(request: str, gateway: str) -> str:
    """Whoever uses the stack's folder is always the same person, `admin`."""
    return f"{hints.program()} approvals approve {request} --url {gateway} --token-file FILE"


def render(
    counts: StandingCounts,
    requests: Requests,
    console: Console,
    now: datetime,
    gateway: str = "",
    narrower: str = "",
) -> None:
    """Counts without a request first: somebody has to ask. `gateway`: where another person sends his verdict;
    `narrower`: how to see the counts that are not listed."""
    unasked = [count for count in counts.counts if count.request_id is None]
    found = sum(one.counts for one in counts.sums)
    if not found and not requests.requests:
        console.print(told("Nothing waits for an approval."), style="green")
        return
    if found:
        standing = told_count(
            "{count} count stands on 1901: {sums}", "{count} counts stand on 1901: {sums}", found, sums=_sums(counts)
        )
        tell(console, Text(standing, style="bold"))
    for count in unasked:
        tell(console, Text(f"{count.company}  {_named(count)}  {_left(count)}"))
        why = told("its last request was rejected") if count.rejected else told("nobody has asked for its approval")
        age = duration((now - count.posted_at).total_seconds() * 1000)
        booked = told("counted {day}, booked {age} ago; {why}", day=count.business_date, age=age, why=why)
        tell(console, Text(booked, style="dim"), first=4)
    if unasked:
        step = told("Ask for one: {command}", command=_asking(unasked[0]))
        console.print(step, style="dim", highlight=False)
    if found > len(counts.counts):
        rest = told_count(
            "… and {count} more count; {narrower}.",
            "… and {count} more counts; {narrower}.",
            found - len(counts.counts),
            narrower=narrower or told("choose with --company"),
        )
        console.print(rest, style="dim", highlight=False, soft_wrap=True)
    asked = max(requests.found, len(requests.requests))  # A service of before does not tell how many there are.
    if asked:
        waiting = told_count("{count} request waits for a verdict", "{count} requests wait for a verdict", asked)
        console.print(Text(waiting, style="bold"))
    for view in requests.requests:
        tell(console, Text(f"{view.request_id}  {_kind(view)} {view.subject}{_amount(view)}"))
        given = sum(verdict.approved for verdict in view.verdicts)
        age = duration((now - view.requested_at).total_seconds() * 1000)
        request = told_count(
            "{company}, {who} asked {age} ago: {why} ({given} of {count} approval)",
            "{company}, {who} asked {age} ago: {why} ({given} of {count} approvals)",
            view.approvals_needed,
            company=view.company,
            who=view.requested_by,
            age=age,
            why=view.reason,
            given=given,
        )
        tell(console, Text(request, style="dim"), first=4)
    if more := asked - len(requests.requests):
        rest = told_count(
            "… and {count} more request, asked for earlier; choose with --company.",
            "… and {count} more requests, asked for earlier; choose with --company.",
            more,
        )
        console.print(rest, style="dim", highlight=False)
    if asked:
        step = told("Decide one: {command}", command=hints.command("approvals approve REQUEST_ID"))
        console.print(step, style="dim", highlight=False)
        if remote.chosen() is None and gateway:
            words = by_another("REQUEST_ID", gateway)
            step = told("As another person, with a token of his own: {command}", command=words)
            console.print(step, style="dim", highlight=False)


def _asking(count: StandingCount) -> str:
    words = f"approvals ask --company {count.company}"
    words += f" --source {shlex.quote(count.source)}" if count.source else ""
    return hints.command(f"{words} --number {shlex.quote(count.number)} --cause management --reason WHY")


def _named(count: StandingCount) -> str:
    if count.source:
        return told("count {number} of {source}", number=count.number, source=count.source)
    return told("revaluation {number}", number=count.number)


def _left(count: StandingCount) -> str:
    return _off(count.left_minor, count.currency)


def _off(left_minor: int, currency: str) -> str:
    amount = spelled(abs(left_minor), currency)
    return told("{amount} missing", amount=amount) if left_minor < 0 else told("{amount} found", amount=amount)


def _sums(counts: StandingCounts) -> str:
    return listed(
        _off(amount, one.currency) for one in counts.sums for amount in (-one.missing_minor, one.found_minor) if amount
    )


def _kind(view: RequestView) -> str:
    return said(view.kind) if in_chinese() else view.kind.replace("_", "-")


def _amount(view: RequestView) -> str:
    if not view.amount_minor:
        return ""
    return f"  {(_off if view.kind == 'count' else spelled)(view.amount_minor, view.currency)}"


def _print_json(answer: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
