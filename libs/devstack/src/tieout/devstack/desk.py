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
from tieout.devstack.terminal import Screen


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
    told = _answer(arguments)
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")
    else:
        render(told, Screen())
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


def render(told: Desk, console: Console) -> None:
    console.print("teams", style="bold")
    for one in told.teams:
        console.print(Text(f"  {one.service:<10} @{one.team}"))
    console.print("deadlines", style="bold")
    for deadline in told.deadlines:
        by = "of working hours" if deadline.clock == "working" else "by the wall clock"
        console.print(Text(f"  P{deadline.priority}  {_span(deadline.due_minutes)} {by}"))
    console.print("hours", style="bold")
    console.print(Text(f"  {told.hours.spans}, {told.hours.zone}, holidays: {told.hours.holidays}"))
    if told.year is not None:
        console.print(f"{told.year.year} ({told.year.source})", style="bold", highlight=False)
        console.print(Text(f"  free    {', '.join(day[5:] for day in told.year.free) or 'weekends only'}"))
        console.print(Text(f"  worked  {', '.join(day[5:] for day in told.year.worked) or 'weekdays only'}"))
    if told.note:
        console.print(Text(hints.fitted(told.note), style="yellow"))
    console.print(f"Who changed what: {hints.command('settings --service control')}", style="dim")


def _span(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest else "") if part)
