"""Which months of a company are closed, what stands in the way of closing the next one, and closing it.

    tieout periods [list] [--company C]      months, open and closed; what stands in the way, with the next command
    tieout periods close C 2026-10 --why W   close a month, and all before it
    tieout periods reopen C 2026-10 --why W  ask for a closed month, and all after it, to be opened again

Nothing is posted into a closed month; what comes late goes into the first open one. Without an action it lists. `close`
looks first and stops where something is in the way; finance itself refuses a month that has not ended, or that has
counts on account 1901. Opening one again takes two people: one asks, another approves (`tieout approvals`).
"""

import argparse
import shlex
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tieout.contracts.control import Agreement
from tieout.contracts.currency import spelled
from tieout.contracts.finance import (
    CLOSE_PERIOD,
    PERIODS,
    REQUEST_REOPENING,
    Periods,
    PeriodStanding,
    PeriodView,
    RequestView,
)
from tieout.contracts.period import PERIOD_AGREEMENT, PeriodAgreement
from tieout.devstack import approvals, endpoints, hints, questions, usage
from tieout.devstack.failures import CommandFailed
from tieout.devstack.languages import listed, marked, of_both, speaking, told, told_count
from tieout.devstack.moments import day, moment
from tieout.devstack.terminal import Screen, fits, tell

PERIOD_SECONDS_MAX = 40.0  # All moves of a month are read.
_HEADINGS = (
    marked("company"),
    marked("month"),
    marked("state"),
    marked("vouchers"),
    marked("closed by"),
    marked("at"),
    marked("why"),
)


class Obstacle(msgspec.Struct, frozen=True):
    """Why a month should not be closed as things stand. `step`: the command that comes next; "" for waiting."""

    code: str  # open_counts, earlier_month, differences, in_flight, waiting_requests, not_ended, unknown
    why: str
    step: str = ""


class Month(msgspec.Struct, frozen=True):
    """What `--json` tells of a month. No obstacles: it is closed, or can be."""

    standing: PeriodStanding
    obstacles: tuple[Obstacle, ...]


class Answer(msgspec.Struct, frozen=True):
    """What `--json` tells of a list. `books`: what the agreement of all companies says beside it, if anything."""

    months: tuple[Month, ...]
    books: tuple[Obstacle, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="months, open and closed, and what stands in the way of closing")
    _add_choices(parser, None)
    _add_choices(listing, argparse.SUPPRESS)  # What stood before the action holds.
    close = actions.add_parser("close", help="close a month and all before it")
    reopen = actions.add_parser("reopen", help="ask for a closed month and all after it to be opened again")
    for action in (close, reopen):
        action.add_argument("company", metavar="COMPANY", help="whose month")
        action.add_argument("period", metavar="YYYY-MM", type=approvals.period, help="which, as 2026-10")
        action.add_argument("--why", required=True, metavar="WHY", help="kept in the books")
    anyway = "also where earlier months are still open, or the books do not agree yet"
    close.add_argument("--anyway", action="store_true", help=anyway)
    usage.add_json(parser)
    parser.set_defaults(action="list", company="", closed=12)


def _add_choices(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument("--company", default=default, metavar="C", help="of this company only")
    many = "how many of the latest closed months of each company to list (default 12)"
    parser.add_argument("--closed", type=_many, default=default, metavar="N", help=many)


def _many(text: str) -> int:
    if not text.isdigit() or int(text) > 240:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of months: give one from 0 to 240")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "list":
        return _list(arguments)
    if arguments.action == "close":
        return _close(arguments)
    body = {"reason": arguments.why}
    view = questions.post(arguments.dir, _path(REQUEST_REOPENING.path, arguments), RequestView, body)
    if arguments.json:
        _print_json(view)
    else:
        Screen().print(Text(approvals.outcome(view, endpoints.of_stack(arguments.dir).gateway)), soft_wrap=True)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    if arguments.json:
        with speaking("en"):  # What stands in the way is said here, and other programs read it.
            _print_json(_answer(arguments, arguments.company, arguments.closed))
    else:
        answer = _answer(arguments, arguments.company, arguments.closed)
        render(answer, Screen(), endpoints.of_stack(arguments.dir).gateway)
    return 0


def _answer(arguments: argparse.Namespace, company: str, closed: int) -> Answer:
    chosen = {"company": company, "closed": closed}
    found = questions.get(arguments.dir, PERIODS.path, Periods, chosen).periods
    beside = {
        (one.company, one.period): _beside(arguments, one) for one in next_ones(found).values() if one.ended
    }  # Of the month that comes next only: the later ones wait for it anyway.
    return Answer(judged(found, beside), _books(arguments) if beside else ())


def next_ones(found: Iterable[PeriodStanding]) -> dict[str, PeriodStanding]:
    """By company the oldest open month; `found` is in their order."""
    first: dict[str, PeriodStanding] = {}
    for one in found:
        if one.state == "open":
            first.setdefault(one.company, one)
    return first


def judged(
    found: tuple[PeriodStanding, ...], beside: Mapping[tuple[str, str], tuple[Obstacle, ...]]
) -> tuple[Month, ...]:
    """`beside`: what the agreement says of some of the months."""
    first = next_ones(found)
    return tuple(
        Month(
            one,
            (*_in_the_way(one, first[one.company]), *beside.get((one.company, one.period), ()))
            if one.state == "open"
            else (),
        )
        for one in found
    )


def _in_the_way(one: PeriodStanding, first: PeriodStanding) -> tuple[Obstacle, ...]:
    if not one.ended:
        return (Obstacle("not_ended", told("its last day is {day}", day=day(one.last_day, one.zone))),)
    found = []
    if one.counts:
        step = hints.command(f"approvals list --company {shlex.quote(one.company)}")
        found.append(Obstacle("open_counts", _open_counts(one), step))
    if one.waiting:
        why = told_count(
            "{count} request waits for a verdict; closed before, what they ask for is posted in a later month",
            "{count} requests wait for a verdict; closed before, what they ask for is posted in a later month",
            one.waiting,
        )
        step = hints.command(f"approvals list --company {shlex.quote(one.company)}")
        found.append(Obstacle("waiting_requests", why, step))
    if first.period != one.period:
        why = told("{period} is still open, and would be closed with it", period=first.period)
        found.append(Obstacle("earlier_month", why, _closing(first)))
    return tuple(found)


def _open_counts(one: PeriodStanding) -> str:
    sums = []
    if one.missing_minor:
        sums.append(told("{amount} missing", amount=spelled(one.missing_minor, one.currency)))
    if one.found_minor:
        sums.append(told("{amount} found", amount=spelled(one.found_minor, one.currency)))
    if one.counts_unasked:
        asked = told("nobody has asked for the approval of {count}", count=f"{one.counts_unasked:,}")
    else:
        asked = told("somebody has asked for each")
    return told_count(
        "{count} count stands on 1901 ({sums}): {asked}",
        "{count} counts stand on 1901 ({sums}): {asked}",
        one.counts,
        sums=listed(sums),
        asked=asked,
    )


def _beside(arguments: argparse.Namespace, one: PeriodStanding) -> tuple[Obstacle, ...]:
    """What happened in a month beside what is posted in it, as far as nothing explains the difference."""
    path = PERIOD_AGREEMENT.path.replace("{company}", quote(one.company, safe="")).replace("{period}", one.period)
    step = hints.command(f"agreement --period {one.period} --company {shlex.quote(one.company)}")
    try:
        answer = questions.get(arguments.dir, path, PeriodAgreement, {}, seconds_max=PERIOD_SECONDS_MAX)
    except CommandFailed as failure:
        why = told("nobody could say whether all that happened is posted: {why}", why=failure)
        return (Obstacle("unknown", why, step),)
    return differences(answer, step)


def differences(answer: PeriodAgreement, step: str) -> tuple[Obstacle, ...]:
    """Counts are told by finance itself, and what an earlier close deferred stands where it should."""
    found = []
    for cause, code in (("in_flight", "in_flight"), ("unknown", "differences")):
        amounts = [spelled(one.amount_minor, answer.currency) for one in answer.differences if one.cause == cause]
        if amounts:
            sums = told(" and ").join(amounts)
            if cause == "in_flight":
                found.append(Obstacle(code, told("{sums} is on its way to the ledger", sums=sums), step))
            else:
                found.append(Obstacle(code, told("{sums} happened and is not posted", sums=sums), step))
    return tuple(found)


def _books(arguments: argparse.Namespace) -> tuple[Obstacle, ...]:
    try:
        answer = questions.get(
            arguments.dir,
            "/v1/agreement",
            Agreement,
            {"wait_seconds": 2, "limit": 1, "violations": "false"},
            seconds_max=90,
        )
    except CommandFailed as failure:
        return (Obstacle("unknown", told("Nobody could say whether the books agree: {why}", why=failure)),)
    return of_books(answer)


def of_books(answer: Agreement) -> tuple[Obstacle, ...]:
    """Of all companies together, whose events are not told apart there."""
    found = []
    if answer.verdict == "differ":
        verdict = of_both(answer.sentence, answer.sentence_zh)
        found.append(Obstacle("differences", verdict, hints.command("agreement --explain")))
    parked = sum(measure.parked for measure in answer.measures)
    if parked:
        why = told_count(
            "{count} event waits for a partner; what comes after a close is posted later",
            "{count} events wait for a partner; what comes after a close is posted later",
            parked,
        )
        found.append(Obstacle("waiting_partner", why, hints.command("status")))
    flying = sum(measure.in_flight for measure in answer.measures)
    if flying:
        why = told_count(
            "{count} event is on its way; what comes after a close is posted later",
            "{count} events are on their way; what comes after a close is posted later",
            flying,
        )
        found.append(Obstacle("in_flight", why))
    return tuple(found)


def _close(arguments: argparse.Namespace) -> int:
    if not arguments.anyway:
        _refuse_in_the_way(arguments)
    body = {"reason": arguments.why}
    view = questions.post(arguments.dir, _path(CLOSE_PERIOD.path, arguments), PeriodView, body)
    if arguments.json:
        _print_json(view)
    else:
        console = Screen()
        done, *warnings = closed(view)
        console.print(Text(done), soft_wrap=True)
        for warning in warnings:
            console.print(Text(warning, style="yellow"), soft_wrap=True)
    return 0


def _refuse_in_the_way(arguments: argparse.Namespace) -> None:
    """Raises CommandFailed. What is closed already is left to finance, and so is a month that nobody knows."""
    answer = _answer(arguments, arguments.company, 0)
    month = next((one for one in answer.months if one.standing.period == arguments.period), None)
    if month is None:
        return
    found = [*month.obstacles, *(one for one in answer.books if one.code == "differences")]
    if not found:
        return
    why = told("; ").join(told("{why}. {step}", why=one.why, step=one.step) if one.step else one.why for one in found)
    words = told("{period} of {company} stays open: {why}", period=arguments.period, company=arguments.company, why=why)
    finances = {"open_counts", "not_ended"}
    if not finances & {one.code for one in found}:
        words += told(" With --anyway it is closed as it stands")
    raise CommandFailed(words)


def closed(view: PeriodView) -> list[str]:
    """What was done in a sentence, and what should have been done before: each in one of its own."""
    facts = {
        "period": view.period,
        "company": view.company,
        "by": view.closed_by,
        "at": moment(view.closed_at),
        "vouchers": told_count("{count} voucher", "{count} vouchers", view.vouchers),
        "first": view.first_open,
    }
    if view.repeated:
        done = told(
            "{period} of {company} was closed already, by {by} at {at}; {vouchers} in it. "
            "The first open month is {first}.",
            **facts,
        )
    else:
        done = told(
            "{period} of {company} is closed, by {by} at {at}; {vouchers} in it. The first open month is {first}.",
            **facts,
        )
    return [done, *_left_undone(view)]


def _left_undone(view: PeriodView) -> Iterable[str]:
    if view.not_revalued:
        yield told(
            "Open items in {currencies} were not valued at a closing rate of this month (T21): {request}",
            currencies=listed(view.not_revalued),
            request=f"POST /v1/companies/{view.company}/periods/{view.period}/revalue",
        )
    if view.free_goods_undeclared:
        yield told_count(
            "{count} order given away, whose deemed output tax nobody declared (T22): {request}",
            "{count} orders given away, whose deemed output tax nobody declared (T22): {request}",
            view.free_goods_undeclared,
            request="POST …/free-goods",
        )
    if view.allowance_short_minor:
        yield told(
            "More was written off than was provided for: 1231 is in debit (T15p): {request}",
            request="POST …/bad-debt-provisions",
        )


def _path(path: str, arguments: argparse.Namespace) -> str:
    return path.replace("{company}", quote(arguments.company, safe="")).replace("{period}", arguments.period)


def render(answer: Answer, console: Console, gateway: str) -> None:
    """The months, then what stands in the way of each that is open. `gateway`: where another person sends his
    verdict."""
    if not answer.months:
        console.print(told("There is no company yet."))
        return
    table = next((one for one in (_table(answer), _table(answer, why=False)) if fits(console, one)), None)
    if table is not None:
        console.print(table)
    else:
        for month in answer.months:
            tell(console, Text("  ".join(filter(None, _cells(month)))))
    for month in answer.months:
        for number, (words, step) in enumerate(_said(month, gateway)):
            named = f"{month.standing.company} {month.standing.period}{told(': ')}"
            line = Text("    ") if number else Text(named, style="bold")
            _say(console, line.append(words, style="not bold"), step)
    for obstacle in answer.books:
        _say(console, Text(told("All companies: {why}", why=obstacle.why)), obstacle.step)


def _said(month: Month, gateway: str) -> Iterable[tuple[str, str]]:
    """What there is to say of it, each with the next command."""
    one = month.standing
    if one.reopening_id is not None:
        asks = told("{who} asks for it to be opened again; somebody else approves:", who=one.reopening_asked_by)
        yield asks, approvals.by_another(str(one.reopening_id), gateway)
    elif one.state == "open" and not month.obstacles:
        yield told("can be closed:"), _closing(one)
    for obstacle in month.obstacles:
        yield obstacle.why, obstacle.step


def _say(console: Console, line: Text, step: str) -> None:
    """A command stands on a line of its own: whoever copies it gets it whole."""
    if not line.plain.endswith((".", ":", "。", "：")):
        line.append(told(": ").rstrip() if step else told("."))
    tell(console, line)
    if step:
        console.print(Text(f"      {step}", style="dim"), soft_wrap=True)


def _closing(one: PeriodStanding) -> str:
    return hints.command(f"periods close {shlex.quote(one.company)} {one.period} --why WHY")


def _table(answer: Answer, *, why: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in _HEADINGS if why else _HEADINGS[:-1]:
        # Where there is not room for all, who, when and why go on below themselves.
        wraps = heading in _HEADINGS[-3:]
        justify: Literal["right", "left"] = "right" if heading == "vouchers" else "left"
        table.add_column(told(heading), justify=justify, no_wrap=not wraps, min_width=10 if wraps else None)
    for month in answer.months:
        table.add_row(*(Text(cell) for cell in _cells(month)[: len(table.columns)]))
    return table


def _cells(month: Month) -> tuple[str, ...]:
    one = month.standing
    by, at, why = one.closed_by, moment(one.closed_at) if one.closed_at else "", one.reason
    if one.reopened_at is not None:
        at = moment(one.reopened_at)
        people = {"one": one.reopened_by, "other": one.reopening_approved_by}
        if one.reopening_reason:
            why = told("opened again by {one} and {other}: {why}", **people, why=one.reopening_reason)
        else:  # An older finance does not tell it.
            why = told("opened again by {one} and {other}", **people)
    return one.company, one.period, _state(month), f"{one.vouchers:,}", by, at, why


def _state(month: Month) -> str:
    if month.standing.state == "closed":
        return told("closed")
    if not month.standing.ended:
        return told("open, goes on")
    return told("open, not ready") if month.obstacles else told("open, ready")


def _print_json(answer: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
