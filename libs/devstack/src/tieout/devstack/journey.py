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
from tieout.devstack.languages import listed, marked, said, told, told_count
from tieout.devstack.moments import clock, moment
from tieout.devstack.terminal import Screen

# As the gateway calls documents, where people say it otherwise.
_KINDS = {
    "credit": marked("credit note"),
    "cancel": marked("cancellation"),
    "receipt": marked("goods receipt"),
    "adjustment": marked("stock count"),
    "confirmation": marked("shipment confirmation"),
    "delivery": marked("delivery confirmation"),
    "refused": marked("refused document"),
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
        raise CommandFailed(
            told("name the order: its number, as its shop or store wrote it, or a document's or voucher's")
        )
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
    several = told_count(
        "{number} leads to {count} order or document of {companies}. Choose:",
        "{number} leads to {count} orders and documents of {companies}. Choose:",
        len(choices),
        number=number,
        companies=told_count("{count} company", "{count} companies", len({one.company for one in choices})),
    )
    console.print(Text(several, style="bold"))
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
        (heading(journey), "bold"),
        f"  {told('company {company}', company=journey.company)}" if journey.company else "",
        f"  {moment(journey.began_at, millis=True)}",
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
        branches.append(branches[-1].add(_label(step, journey.began_at)))
    for money in journey.money:
        branch = tree.add(Text.assemble((f"{told('money')} ", "bold"), standing(money)))
        for paper in money.papers:
            amount = spelled(paper.amount_minor, money.currency)
            if paper.whole_minor:
                whole = spelled(paper.whole_minor, money.currency)
                amount = told("{amount} of {whole}", amount=amount, whole=whole)
            branch.add(Text(f"{said(paper.kind)} {paper.number}  {amount}"))
    if journey.trace_id.strip("0"):  # A refused document has none.
        link = f"{jaeger}/trace/{journey.trace_id}" if jaeger else journey.trace_id
        tree.add(Text(told("trace {link}", link=link), style="dim"))
    return tree


def heading(journey: Journey) -> str:
    """What it is a journey of. Order 1001, or what there is where no order is known."""
    if not journey.papers:
        return told("Order {number}", number=journey.order_no)
    papers = [f"{_kind(paper.kind)} {paper.number}" for paper in journey.papers]
    named = listed(papers[:3])
    if len(papers) > 3:
        named = told("{names} and {count} more", names=named, count=len(papers) - 3)
    kinds = {paper.kind for paper in journey.papers}
    if kinds <= _OF_ORDERS and journey.order_no not in {paper.number for paper in journey.papers}:
        return told(
            "No order {number} is known here; it is named by {documents}", number=journey.order_no, documents=named
        )
    named = named[:1].upper() + named[1:]
    return told("{documents}, without an order", documents=named) if kinds <= _OF_ORDERS | {"voucher"} else named


def _kind(kind: str) -> str:
    return told(_KINDS[kind]) if kind in _KINDS else said(kind)


def standing(money: MoneyStanding) -> str:
    """received 339.00 CNY = applied 300.00 + held 39.00 + refunded 0.00; open 0.00 of 300.00 billed"""

    def bare(amount: int) -> str:
        return spelled(amount, money.currency).removesuffix(f" {money.currency}")

    came = told(
        "received {received} = applied {applied} + held {held} + refunded {refunded}",
        received=spelled(money.received_minor, money.currency),
        applied=bare(money.applied_minor),
        held=bare(money.held_minor),
        refunded=bare(money.refunded_minor),
    )
    if money.customer:
        came = told("of customer {customer} without an order: {money}", customer=money.customer, money=came)
    due = [told("open {open} of {billed} billed", open=bare(money.open_minor), billed=bare(money.billed_minor))]
    if money.credited_minor:
        due.append(told("{amount} credited", amount=bare(money.credited_minor)))
    if money.forgiven_minor:
        due.append(told("{amount} closed without money", amount=bare(money.forgiven_minor)))
    return told("{received}; {due}", received=came, due=listed(due))


def _label(step: JourneyStep, began_at: str) -> Text:
    text = Text.assemble(
        (f"{clock(step.at, began_at)}  ", "dim"),
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
