"""Follow one order through all services: what happened, when, how long it took, which document and voucher it made.

    tieout journey 1001                  the number of an order,
    tieout journey P-7                   of a payment or another document, which leads to its orders,
    tieout journey 记-2026-11-000012     or of a voucher; its zeros may be left out

Below the steps stands its money by currency, as finance's books have it: received = applied + held + refunded, and what
is open of what was billed. Times are of the zone of this terminal (TZ), with its offset in the heading. Where a voucher
leads to several orders or companies, these are listed to choose from.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from rich.console import Console
from rich.text import Text
from rich.tree import Tree
from tieout.contracts.control import Journey, JourneyChoice, Journeys, JourneyStep
from tieout.contracts.currency import spelled
from tieout.contracts.operation import MoneyStanding
from tieout.devstack import endpoints, hints, questions
from tieout.devstack.failures import CommandFailed
from tieout.devstack.moments import clock, moment
from tieout.devstack.terminal import Screen
from tieout.devstack.wording import counted

# As the gateway calls documents, where people say it otherwise.
_KINDS = {
    "credit": "credit note",
    "cancel": "cancellation",
    "receipt": "goods receipt",
    "adjustment": "stock count",
    "confirmation": "shipment confirmation",
    "delivery": "delivery confirmation",
    "refused": "refused document",
}
_OF_ORDERS = frozenset(("payment", "refund", "credit", "cancel", "confirmation", "delivery"))
_SERVICE_STYLES = {"gateway": "cyan", "order": "blue", "inventory": "yellow", "finance": "green", "control": "magenta"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "order_no", metavar="NUMBER", help="of the order, as its shop wrote it, or of a document or voucher"
    )
    parser.add_argument(
        "--company", default="", metavar="C", help="only this company's order, where several use the number"
    )
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")


def run(arguments: argparse.Namespace) -> int:
    if not arguments.order_no.strip():
        raise CommandFailed("name the order: its number, as its shop or store wrote it, or a document's or voucher's")
    path = f"/v1/journeys/{quote(arguments.order_no, safe='')}"
    answer = questions.get(arguments.dir, path, Journeys, {"company": arguments.company})
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
    else:
        if answer.choices:
            render_choices(arguments.order_no, answer.choices, Screen())
            return 0
        render(answer, Screen(), endpoints.of_stack(arguments.dir).jaeger)
    return 0


def render_choices(number: str, choices: Sequence[JourneyChoice], console: Console) -> None:
    """Which of them is meant only the reader knows: the same voucher number is given in every company."""
    of = counted(len({one.company for one in choices}), "company", "companies")
    told = f"{number} leads to {counted(len(choices), 'order or document', 'orders and documents')} of {of}. Choose:"
    console.print(Text(told, style="bold"))
    for one in choices:
        words = f"journey {shlex.quote(one.order_no)} --company {shlex.quote(one.company)}"
        console.print(Text(f"  {hints.command(words)}"), soft_wrap=True)


def render(answer: Journeys, console: Console, jaeger: str = "") -> None:
    """One tree per order; numbers are unique per company and satellite only, so there may be several.

    `jaeger`: where its traces are looked at, if anywhere.
    """
    for number, journey in enumerate(answer.journeys):
        if number:
            console.print()
        console.print(_tree(journey, jaeger))
        for told in _next_steps(journey):
            console.print(told, style="yellow", highlight=False)
    if len(answer.journeys) > 1:
        console.print(f"\n{len(answer.journeys)} orders have this number. Narrow it down with --company.", style="dim")
    if answer.unanswered:
        console.print(f"Not complete: no answer from {', '.join(answer.unanswered)}.", style="bold red")


def _next_steps(journey: Journey) -> list[str]:
    """What waits for a person, with the commands for it."""
    told = []
    for intake_id in dict.fromkeys(step.intake_id for step in journey.steps if step.intake_id):
        see = hints.command(f"quarantine show {intake_id}")
        mend = hints.command(f"quarantine correct {intake_id} --file FILE")
        told += [f"In quarantine, not booked: {intake_id}. See: {see}", f"Correct it: {mend}"]
    return told


def quantity(quantity_micro: int) -> str:
    """1_500_000 -> 1.5"""
    whole, part = divmod(abs(quantity_micro), 1_000_000)
    fraction = f".{part:06d}".rstrip("0").rstrip(".")
    return f"{'-' if quantity_micro < 0 else ''}{whole:,}{fraction}"


def duration(milliseconds: float) -> str:
    """As people say it: 12 ms, 3.4 s, 5 min 20 s, 2 h 5 min."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def _tree(journey: Journey, jaeger: str) -> Tree:
    title = Text.assemble(
        (heading(journey), "bold"),
        f"  company {journey.company}" if journey.company else "",
        f"  {moment(journey.began_at, millis=True)}",
        (f"  took {duration(journey.duration_ms)}", "bold"),
    )
    later = max((step.since_start_ms for step in journey.steps), default=0.0)
    if later > journey.duration_ms:
        title.append(f"  (what came after that, until {duration(later)}, changed nothing)", style="dim")
    tree = Tree(title, guide_style="dim")
    branches = [tree]
    for step in journey.steps:
        del branches[step.depth + 1 :]
        branches.append(branches[-1].add(_label(step, journey.began_at)))
    for money in journey.money:
        branch = tree.add(Text.assemble(("money ", "bold"), standing(money)))
        for paper in money.papers:
            whole = f" of {spelled(paper.whole_minor, money.currency)}" if paper.whole_minor else ""
            branch.add(Text(f"{paper.kind} {paper.number}  {spelled(paper.amount_minor, money.currency)}{whole}"))
    if journey.trace_id.strip("0"):  # A refused document has none.
        link = f"{jaeger}/trace/{journey.trace_id}" if jaeger else journey.trace_id
        tree.add(Text(f"trace {link}", style="dim"))
    return tree


def heading(journey: Journey) -> str:
    """What it is a journey of. Order 1001, or what there is where no order is known."""
    if not journey.papers:
        return f"Order {journey.order_no}"
    named = [f"{_KINDS.get(paper.kind, paper.kind)} {paper.number}" for paper in journey.papers]
    told = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
    kinds = {paper.kind for paper in journey.papers}
    if kinds <= _OF_ORDERS and journey.order_no not in {paper.number for paper in journey.papers}:
        return f"No order {journey.order_no} is known here; it is named by {told}"
    told = told[:1].upper() + told[1:]
    return f"{told}, without an order" if kinds <= _OF_ORDERS | {"voucher"} else told


def standing(money: MoneyStanding) -> str:
    """received 339.00 CNY = applied 300.00 + held 39.00 + refunded 0.00; open 0.00 of 300.00 billed"""

    def bare(amount: int) -> str:
        return spelled(amount, money.currency).removesuffix(f" {money.currency}")

    told = f"of customer {money.customer} without an order: " if money.customer else ""
    told += f"received {spelled(money.received_minor, money.currency)} = applied {bare(money.applied_minor)}"
    told += f" + held {bare(money.held_minor)} + refunded {bare(money.refunded_minor)}"
    told += f"; open {bare(money.open_minor)} of {bare(money.billed_minor)} billed"
    less = ((money.credited_minor, "credited"), (money.forgiven_minor, "closed without money"))
    return told + "".join(f", {bare(amount)} {how}" for amount, how in less if amount)


def _label(step: JourneyStep, began_at: str) -> Text:
    text = Text.assemble(
        (f"{clock(step.at, began_at)}  ", "dim"),
        (f"{step.service} ", _SERVICE_STYLES.get(step.service, "white")),
        (step.step.replace("_", " "), "bold"),
    )
    if step.document:
        text.append(f" {step.document}")
    if step.voucher_no:
        text.append(f"  voucher {step.voucher_no}", style="bold green")
    if step.quantity_micro:
        text.append(f"  {quantity(step.quantity_micro)} pcs")
    if step.amount_minor:
        text.append(f"  {spelled(step.amount_minor, step.currency)}")
    if step.cause_id and step.after_ms:
        text.append(f"  after {duration(step.after_ms)}", style="dim")
    if step.detail:
        text.append(f"  {step.detail}", style="italic")
    if step.attempts > 1:
        text.append(f"  {step.attempts} attempts", style="bold red")
    if step.repeats:
        text.append(f"  heard again {step.repeats}x", style="yellow")
    return text
