"""Follow one order through all services: what happened, when, how long it took, which document and voucher it made."""

import argparse
import sys
from datetime import datetime
from urllib.parse import quote

import msgspec
from rich.console import Console
from rich.text import Text
from rich.tree import Tree
from tieout.contracts.control import Journey, Journeys, JourneyStep
from tieout.contracts.currency import spelled
from tieout.devstack import endpoints, hints, questions
from tieout.devstack.failures import CommandFailed
from tieout.devstack.languages import listed, said, told
from tieout.devstack.terminal import Screen

_SERVICE_STYLES = {"gateway": "cyan", "order": "blue", "inventory": "yellow", "finance": "green", "control": "magenta"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("order_no", help="the order's number, as its shop or store wrote it")
    parser.add_argument("--company", default="", help="only this company's order, where several use the number")
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")


def run(arguments: argparse.Namespace) -> int:
    if not arguments.order_no.strip():
        raise CommandFailed(told("name the order: its number, as its shop or store wrote it"))
    path = f"/v1/journeys/{quote(arguments.order_no, safe='')}"
    answer = questions.get(arguments.dir, path, Journeys, {"company": arguments.company})
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
    else:
        render(answer, Screen(), endpoints.of_stack(arguments.dir).jaeger)
    return 0


def render(answer: Journeys, console: Console, jaeger: str = "") -> None:
    """One tree per order; numbers are unique per company and satellite only, so there may be several.

    `jaeger`: where its traces are looked at, if anywhere.
    """
    for number, journey in enumerate(answer.journeys):
        if number:
            console.print()
        console.print(_tree(journey, jaeger))
        for line in _next_steps(journey):
            console.print(line, style="yellow", highlight=False)
    if len(answer.journeys) > 1:
        several = told("{count} orders have this number. Narrow it down with --company.", count=len(answer.journeys))
        console.print(f"\n{several}", style="dim")
    if answer.unanswered:
        away = listed(map(said, answer.unanswered))
        console.print(told("Not complete: no answer from {services}.", services=away), style="bold red")


def _next_steps(journey: Journey) -> list[str]:
    """What waits for a person, with the commands for it."""
    lines = []
    for intake_id in dict.fromkeys(step.intake_id for step in journey.steps if step.intake_id):
        see = hints.command(f"quarantine show {intake_id}")
        mend = hints.command(f"quarantine correct {intake_id} --file FILE")
        lines.append(told("In quarantine, not booked: {intake_id}. See: {command}", intake_id=intake_id, command=see))
        lines.append(told("Correct it: {command}", command=mend))
    return lines


def quantity(quantity_micro: int) -> str:
    """1_500_000 -> 1.5"""
    whole, part = divmod(abs(quantity_micro), 1_000_000)
    fraction = f".{part:06d}".rstrip("0").rstrip(".")
    return f"{'-' if quantity_micro < 0 else ''}{whole:,}{fraction}"


def duration(milliseconds: float) -> str:
    """As people say it: 12 ms, 3.4 s, 5 min 20 s, 2 h 5 min."""
    if milliseconds < 1000:
        return told("{ms} ms", ms=f"{milliseconds:.0f}")
    seconds = milliseconds / 1000
    if seconds < 60:
        return told("{s} s", s=f"{seconds:.1f}")
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return told("{min} min {s} s", min=minutes, s=seconds)
    hours, minutes = divmod(minutes, 60)
    return told("{h} h {min} min", h=hours, min=minutes) if hours < 48 else told("{days} days", days=hours // 24)


def _tree(journey: Journey, jaeger: str) -> Tree:
    title = Text.assemble(
        (told("Order {number}", number=journey.order_no), "bold"),
        f"  {told('company {company}', company=journey.company)}" if journey.company else "",
        f"  {_clock(journey.began_at, with_date=True)}",
        (f"  {told('took {duration}', duration=duration(journey.duration_ms))}", "bold"),
    )
    later = max((step.since_start_ms for step in journey.steps), default=0.0)
    if later > journey.duration_ms:
        rest = told("(what came after that, until {duration}, changed nothing)", duration=duration(later))
        title.append(f"  {rest}", style="dim")
    tree = Tree(title, guide_style="dim")
    branches = [tree]
    for step in journey.steps:
        del branches[step.depth + 1 :]
        branches.append(branches[-1].add(_label(step)))
    if journey.trace_id.strip("0"):  # A refused document has none.
        link = f"{jaeger}/trace/{journey.trace_id}" if jaeger else journey.trace_id
        tree.add(Text(told("trace {link}", link=link), style="dim"))
    return tree


def _label(step: JourneyStep) -> Text:
    text = Text.assemble(
        (f"{_clock(step.at)}  ", "dim"),
        (f"{said(step.service)} ", _SERVICE_STYLES.get(step.service, "white")),
        (said(step.step.replace("_", " ")), "bold"),
    )
    if step.document:
        text.append(f" {step.document}")
    if step.voucher_no:
        text.append(f"  {told('voucher {number}', number=step.voucher_no)}", style="bold green")
    if step.quantity_micro:
        text.append(f"  {told('{quantity} pcs', quantity=quantity(step.quantity_micro))}")
    if step.amount_minor:
        text.append(f"  {spelled(step.amount_minor, step.currency)}")
    if step.cause_id and step.after_ms:
        text.append(f"  {told('after {duration}', duration=duration(step.after_ms))}", style="dim")
    if step.detail:
        text.append(f"  {said(step.detail)}", style="italic")
    if step.attempts > 1:
        text.append(f"  {told('{count} attempts', count=step.attempts)}", style="bold red")
    if step.repeats:
        text.append(f"  {told('heard again {count}x', count=step.repeats)}", style="yellow")
    return text


def _clock(at: str, *, with_date: bool = False) -> str:
    """Local time of the reader, to the millisecond; the answer itself keeps UTC."""
    local = datetime.fromisoformat(at).astimezone()
    clock = f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"
    return f"{local:%Y-%m-%d} {clock}" if with_date else clock
