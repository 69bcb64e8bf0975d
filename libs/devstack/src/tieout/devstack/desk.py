"""How the desk works: teams, deadlines of tickets, working hours, holidays. Without an action it shows all of it.

    tieout desk [show] [--year Y]
    tieout desk team SERVICE --to TEAM
    tieout desk deadline PRIORITY --minutes M [--clock working|wall]
    tieout desk hours "09:00-12:00 13:00-18:00" [--zone Z] [--holidays H]
    tieout desk year 2027 --free 2027-01-01,2027-02-08..2027-02-12

All that an action takes: `tieout desk ACTION --help`.
"""

import argparse
import sys
from datetime import date, timedelta
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text
from tieout.contracts.desk import PUT_DEADLINE, PUT_HOURS, PUT_TEAM, PUT_YEAR, SHOW_DESK, Desk
from tieout.contracts.streams import CORE_SERVICES
from tieout.devstack import hints, questions, usage
from tieout.devstack.languages import marked, said, told
from tieout.devstack.terminal import Screen

# Who says which days are free.
_SOURCES = {"published": marked("published"), "company": marked("the company's own")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    show = actions.add_parser("show", help="teams, deadlines, hours, and the holidays of a year")
    show.add_argument("--year", type=int, default=0, metavar="Y", help="whose holidays (default: this year)")
    team = actions.add_parser("team", help="give a service to a team")
    team.add_argument("service", choices=CORE_SERVICES)
    team.add_argument("--to", required=True, metavar="TEAM", help="who looks after it from now on")
    deadline = actions.add_parser("deadline", help="how long a ticket of a priority may stand")
    deadline.add_argument("priority", type=int, choices=(1, 2, 3, 4), help="1 is the most urgent")
    deadline.add_argument("--minutes", type=int, required=True, metavar="M", help="so long")
    deadline.add_argument("--clock", choices=("working", "wall"), default="working", help="which minutes count")
    hours = actions.add_parser("hours", help="when people work on a working day")
    hours.add_argument("spans", help='"09:00-12:00 13:00-18:00"')
    hours.add_argument("--zone", default="Asia/Shanghai", help="where (default Asia/Shanghai)")
    hours.add_argument("--holidays", choices=("CN", "none"), default="CN", help="whose public holidays hold")
    year = actions.add_parser("year", help="the company's own holidays and worked weekends of a year")
    year.add_argument("year", type=int)
    year.add_argument("--free", type=_days, default=[], metavar="DAYS", help="2027-01-01,2027-02-08..2027-02-12")
    year.add_argument("--worked", type=_days, default=[], metavar="DAYS", help="weekend days that are worked (调休)")
    usage.add_json(parser)
    parser.set_defaults(action="show", year=0)


def _days(text: str) -> list[str]:
    """2027-01-01,2027-02-08..2027-02-12; of a range of holidays the weekdays only."""
    found: list[str] = []
    for part in filter(None, text.split(",")):
        first, dots, last = part.partition("..")
        try:
            day, end = date.fromisoformat(first), date.fromisoformat(last or first)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{part!r} is no day: write 2027-01-01 or 2027-02-08..2027-02-12"
            ) from None
        if day > end or (end - day).days > 366:
            raise argparse.ArgumentTypeError(f"{part!r} ends before it begins, or is longer than a year")
        while day <= end:
            if not dots or day.weekday() < 5:
                found.append(str(day))
            day += timedelta(days=1)
    return found


def run(arguments: argparse.Namespace) -> int:
    desk = _answer(arguments)
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(desk), indent=2).decode() + "\n")
    else:
        render(desk, Screen())
    return 0


def _answer(arguments: argparse.Namespace) -> Desk:
    if arguments.action == "show":
        return questions.get(arguments.dir, SHOW_DESK.path, Desk, {"year": arguments.year or ""})
    body: dict[str, Any]
    if arguments.action == "team":
        path, body = PUT_TEAM.path.replace("{service}", arguments.service), {"team": arguments.to.removeprefix("@")}
    elif arguments.action == "deadline":
        path = PUT_DEADLINE.path.replace("{priority}", str(arguments.priority))
        body = {"due_minutes": arguments.minutes, "clock": arguments.clock}
    elif arguments.action == "hours":
        path = PUT_HOURS.path
        body = {"zone": arguments.zone, "spans": arguments.spans, "holidays": arguments.holidays}
    else:
        path = PUT_YEAR.path.replace("{year}", str(arguments.year))
        body = {"free": arguments.free, "worked": arguments.worked}
    return questions.put(arguments.dir, path, Desk, body)


def render(desk: Desk, console: Console) -> None:
    console.print(told("teams"), style="bold")
    for one in desk.teams:
        console.print(Text(f"  {one.service:<10} @{one.team}"))
    console.print(told("deadlines"), style="bold")
    for deadline in desk.deadlines:
        span = _span(deadline.due_minutes)
        working = deadline.clock == "working"
        due = told("{span} of working hours", span=span) if working else told("{span} by the wall clock", span=span)
        console.print(Text(f"  P{deadline.priority}  {due}"))
    console.print(told("hours"), style="bold")
    hours, holidays = f"{desk.hours.spans}, {desk.hours.zone}", desk.hours.holidays
    console.print(Text("  " + told("{hours}, holidays: {holidays}", hours=hours, holidays=holidays)))
    if desk.year is not None:
        source = told(_SOURCES.get(desk.year.source, desk.year.source))
        console.print(f"{desk.year.year} ({source})", style="bold", highlight=False)
        free, worked = (", ".join(day[5:] for day in days) for days in (desk.year.free, desk.year.worked))
        console.print(Text("  " + told("free    {days}", days=free or told("weekends only"))))
        console.print(Text("  " + told("worked  {days}", days=worked or told("weekdays only"))))
    if desk.note:
        console.print(Text(said(hints.fitted(desk.note)), style="yellow"))
    changes = hints.command("settings --service control")
    console.print(told("Who changed what: {command}", command=changes), style="dim")


def _span(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    whole, part = told("{h} h", h=hours) if hours else "", told("{min} min", min=rest) if rest else ""
    return " ".join(filter(None, (whole, part)))
