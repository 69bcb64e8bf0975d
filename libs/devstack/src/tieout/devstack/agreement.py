"""Prove that orders, stock and books agree, from each service's own database.

Shown are both sides of every measure, the orders that differ with both values, and what is still on its way.

Exit code 0 only if they agree, 1 where they differ (or could not be asked), 2 while a part is still open.
"""

import argparse
import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from tieout.contracts.agreement import CurrencySum
from tieout.contracts.control import Agreement, BookSide, Difference, MeasureResult
from tieout.contracts.currency import spelled
from tieout.contracts.period import PERIOD_AGREEMENT, PeriodAgreement, PeriodFigure
from tieout.devstack import hints, questions
from tieout.devstack.failures import CommandFailed
from tieout.devstack.journey import quantity
from tieout.devstack.moments import moment
from tieout.devstack.terminal import Screen, fits, tell
from tieout.devstack.wording import counted

SHOWN_MAX = 200  # Characters of one value.
_SIGNS = {
    "agree": "[bold green]✓[/]",
    "open": "[bold yellow]…[/]",
    "differ": "[bold red]✗[/]",
    "unanswered": "[bold red]?[/]",
}
_CAUSES = {
    "in_flight": "on its way",
    "stalled": "[yellow]its consumer stands still[/]",
    "parked": "[yellow]waits for its partner[/]",
    "waiting_approval": "[yellow]waits for approval[/]",
    "goods_in_return": "[yellow]goods in return[/]",
    "period_deferred": "[yellow]in a later period[/]",
    "dead": "[red]dead letter[/]",
    "lost_by_broker": "[red]lost by the broker[/]",
    "missing_at_source": "[red]missing at its source[/]",
    "edited_by_hand": "[red]edited by hand[/]",
    "duplicate": "[red]booked twice[/]",
    "unknown": "[red]unknown[/]",
}
_REPAIRS = {
    "wait": "wait",
    "restart_flow": "ask the flow anew",
    "replay": "replay",
    "publish_again": "publish again",
    "resubmit": "resubmit from the source",
    "reverse_and_rebook": "reverse and rebook",
}
_LABELS = {
    "quantity_micro": "quantity",
    "amount_minor": "amount",
    "net_minor": "net",
    "tax_minor": "tax",
    "value_minor": "value",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    parser.add_argument(
        "--wait", type=_seconds, default=2.0, metavar="S", help="seconds to wait for services, up to 15 (default 2)"
    )
    parser.add_argument("--limit", type=_many, default=100, metavar="N", help="differences to list (default 100)")
    parser.add_argument("--explain", action="store_true", help="each cause with its evidence and what mends it")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="compare the books only; of balances and settings tell what the services' own scrubs found last, if any "
        "has looked since the start",
    )

    parser.add_argument(
        "--period",
        type=_period,
        metavar="P",
        help="a month as 2026-10: what happened in it beside what is posted in it",
    )
    parser.add_argument("--company", default="", metavar="C", help="with --period: whose")


def _period(text: str) -> str:
    if re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no period: give a month as year and month, 2026-10")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 15:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no wait: give seconds from 0 to 15")


def _many(text: str) -> int:
    with contextlib.suppress(ValueError):
        if 1 <= int(text) <= 1000:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of differences: give one from 1 to 1000")


def run(arguments: argparse.Namespace) -> int:
    if arguments.period:
        return _of_period(arguments)
    answer = questions.get(
        arguments.dir,
        "/v1/agreement",
        Agreement,
        {
            "wait_seconds": arguments.wait,
            "limit": arguments.limit,
            "violations": "false" if arguments.quick else "true",
        },
        seconds_max=arguments.wait + 90,
    )
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
    else:
        render(answer, Screen(), explain=arguments.explain, quick=arguments.quick)
    return exit_code(answer)


def render(answer: Agreement, console: Console, *, explain: bool = False, quick: bool = False) -> None:
    """Measures, then differences and broken balances if there are any, and the verdict last, where the eye ends."""
    console.print(_measures(answer))
    if answer.differences:
        console.print(_differences(answer, explain=explain))
    if explain and answer.causes:
        console.print(_causes(answer))
    if answer.violations:
        for told in _violations(answer):
            console.print(told, soft_wrap=True)
    for watermark in answer.watermarks:
        if watermark.unpublished:
            console.print(
                f"{watermark.producer} has {counted(watermark.unpublished, 'event')} that the broker has not taken for "
                f"{watermark.unpublished_seconds:,.0f} s. What is wrong: {hints.command('doctor')}",
                style="yellow",
            )
        elif watermark.oldest_writer:
            console.print(
                f"{watermark.producer} is held back by a long transaction: {watermark.oldest_writer}", style="yellow"
            )
    upto = ", ".join(f"{mark.producer} {mark.agreed:,}" for mark in answer.watermarks)
    rules = f"{answer.rules_checked} balance rules" if answer.rules_checked else "no balances checked"
    console.print(f"Compared up to position {upto or '0'}; {rules}; {answer.took_ms:,.0f} ms.", style="dim")
    for service, one in answer.rules_unchecked:
        console.print(
            f"Not checked: {service} {one.rule} ({one.why}).", style="yellow", soft_wrap=True, highlight=False
        )
    if answer.rules_under_way:
        since = f"stand as of {moment(answer.rules_at)}" if answer.rules_at else "are not known yet"
        console.print(
            f"The balances {since}: the books of {', '.join(answer.rules_under_way)} are large, and a new look at them "
            "goes on. Ask again in a while.",
            style="yellow",
            soft_wrap=True,
        )
    elif answer.rules_at and answer.rules_at[:19] < answer.at[:19]:
        console.print(f"The balances stand as of {moment(answer.rules_at)}.", style="dim")
    elif quick and not answer.rules_at:
        console.print(
            "Not every service has checked its balances since it started, so this is the books' agreement alone. "
            f"With the balances: {hints.command('agreement')}",
            style="yellow",
            soft_wrap=True,
            highlight=False,
        )
    if answer.verdict == "differ" and not explain:
        steps = f"{hints.command('agreement --explain')}; what would mend it: {hints.command('repair preview')}"
        console.print(f"Why: {steps}", highlight=False, soft_wrap=True)
    style = {"agree": "bold green", "open": "bold yellow", "differ": "bold red"}[answer.verdict]
    sign = {"agree": "✓", "open": "…", "differ": "✗"}[answer.verdict]
    console.print(f"{sign} {answer.sentence}", style=style, highlight=False)


def _of_period(arguments: argparse.Namespace) -> int:
    if not arguments.company:
        again = hints.command(f"agreement --period {arguments.period} --company C1")
        raise CommandFailed(f"--period needs a --company, for each has its own calendar and currency: {again}")
    company = quote(arguments.company, safe="")
    path = PERIOD_AGREEMENT.path.replace("{company}", company).replace("{period}", arguments.period)
    answer = questions.get(arguments.dir, path, PeriodAgreement, {}, seconds_max=40)
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
    else:
        render_period(answer, Screen())
    return {"agree": 0, "open": 2, "differ": 1}[answer.verdict]


def render_period(answer: PeriodAgreement, console: Console) -> None:
    table = _period_table(answer)
    if fits(console, table):
        console.print(table)
    else:
        for figure in answer.figures:
            console.print(figure.title, style="bold", highlight=False)
            for name, amount in _period_amounts(figure).items():
                console.print(f"  {name:<9}  {spelled(amount, answer.currency):>24}", highlight=False)
    for one in answer.differences:
        told = Text(f"{spelled(one.amount_minor, answer.currency)}  ").append_text(Text.from_markup(_CAUSES[one.cause]))
        tell(console, told.append(f": {one.why}"))
    style = {"agree": "bold green", "open": "bold yellow", "differ": "bold red"}[answer.verdict]
    console.print(answer.sentence, style=style, highlight=False)


def _period_table(answer: PeriodAgreement) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("", "happened", "posted", "explained", "left"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for figure in answer.figures:
        amounts = _period_amounts(figure).values()
        table.add_row(figure.title, *(spelled(amount, answer.currency) for amount in amounts))
    return table


def _period_amounts(figure: PeriodFigure) -> dict[str, int]:
    return {
        "happened": figure.happened_minor,
        "posted": figure.posted_minor,
        "explained": figure.explained_minor,
        "left": figure.unexplained_minor,
    }


def exit_code(answer: Agreement) -> int:
    """0 only if the books agree; 2 while a part is still open, 1 where they differ."""
    return {"agree": 0, "open": 2, "differ": 1}[answer.verdict]


def _measures(answer: Agreement) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("what must agree")
    for heading in ("rows", "", ""):  # Titles and remarks are folded where it gets narrow, figures never.
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for measure in answer.measures:
        currencies = _currencies(measure)
        table.add_row(
            _SIGNS[measure.state],
            f"[bold]{measure.title}[/]",
            "",
            *(f"[dim]{_LABELS.get(value, value)}[/]" for value in measure.values),
            _remark(measure),
        )
        for number, side in enumerate(measure.sides):
            first, last = measure.sides[0], number == len(measure.sides) - 1
            one = currencies[0] if len(currencies) == 1 and side.currencies else ""
            many = currencies if len(currencies) > 1 and side.currencies else []
            cells = (
                _cell(f"{side.rows:,}", side.rows == first.rows),
                _cell(_value(measure.values[0], side.a, one, many), side.a == first.a),
                _cell(_value(measure.values[1], side.b, one, many), side.b == first.b) if measure.values[1] else "",
            )
            table.add_row("", f"  {side.service}", *cells, "", end_section=last and not many)
            for currency in many:
                told = _of_currency(measure, side, currency)
                table.add_row("", "", *told, "", end_section=last and currency == many[-1])
    return table


def _currencies(measure: MeasureResult) -> list[str]:
    """Those to show on lines of their own: all that any book of the measure holds; "" is money without a currency."""
    told = {known for side in measure.sides for known in side.currencies}
    return sorted({known.currency for known in told if known.currency or _holds_money(measure, known)})


def _holds_money(measure: MeasureResult, known: CurrencySum) -> bool:
    values = zip(measure.values, (known.a, known.b), strict=True)
    return any(value for name, value in values if name.endswith("_minor"))


def _of_currency(measure: MeasureResult, side: BookSide, currency: str) -> tuple[str, ...]:
    """Rows and money of one currency, red where the first book says otherwise."""
    nothing = CurrencySum(currency, 0, 0, 0)
    own, first = (
        next((known for known in book.currencies if known.currency == currency), nothing)
        for book in (side, measure.sides[0] if measure.sides[0].currencies else side)
    )
    values = [
        _cell(_money(value, currency), value == other) if name.endswith("_minor") else ""
        for name, value, other in zip(measure.values, (own.a, own.b), (first.a, first.b), strict=True)
    ]
    return ("", *values)


def _remark(measure: MeasureResult) -> str:
    if measure.state == "unanswered":
        return f"[red]no answer from {measure.note}[/]"
    parts = []
    if events := measure.differing - measure.digests:
        parts.append(f"[red]{events:,} differ[/]")
    if measure.dead:
        parts.append(f"[red]{measure.dead:,} in dead letters[/]")
    if measure.parked:
        parts.append(f"[yellow]{measure.parked:,} waiting for a partner[/]")
    if measure.in_flight:
        parts.append(f"[yellow]{measure.in_flight:,} {measure.open_state or 'on the way'}[/]")
    if measure.note:
        parts.append(f"[dim]{escape(measure.note)}[/]")
    return ", ".join(parts)


def _causes(answer: Agreement) -> Table:
    """How many events of each measure have which cause, and the one step that mends it."""
    table = Table(title="Why", title_justify="left", title_style="bold", header_style="dim", box=None)
    for column in ("measure", "cause", "events", "where", "what mends it"):
        table.add_column(column, overflow="fold")
    names = {measure.number: measure.name for measure in answer.measures}
    for count in answer.causes:
        lag = f"{count.flow}, {counted(count.lag, 'message')} to go" if count.lag else count.flow
        still = f", has not moved for {count.stalled_seconds:.0f} s" if count.stalled_seconds else ""
        mends = _REPAIRS.get(count.repair, "")
        if count.repair not in ("", "wait"):
            mends += f": {hints.command(f'repair preview --cause {count.cause}')}"
        table.add_row(names.get(count.measure, ""), _CAUSES[count.cause], f"{count.events:,}", lag + still, mends)
    return table


def _differences(answer: Agreement, *, explain: bool = False) -> Table:
    table = Table(title="What does not agree", title_justify="left", title_style="bold", header_style="dim", box=None)
    for column in ("order", "measure", "line", "cause", "the books say"):
        table.add_column(column, overflow="fold")
    for difference in answer.differences:
        table.add_row(
            escape(f"{difference.company} {difference.order_no or difference.chain_id}".lstrip()),
            difference.name,
            str(difference.line_no),
            _CAUSES[difference.cause],
            _both(difference) + (f"\n[dim]{escape(difference.why)}[/]" if explain and difference.why else ""),
        )
    told = len({(difference.measure, difference.position) for difference in answer.differences})
    whole = sum(m.differing + m.dead + m.parked + m.in_flight for m in answer.measures)
    if whole > told:
        table.caption = f"{whole - told:,} more events are not listed; raise --limit."
    return table


def _both(difference: Difference) -> str:
    said = []
    for side in difference.sides:
        values = [
            f"{_LABELS.get(name, name)} {_value(name, value, difference.currency)}"
            for name, value in zip(difference.values, (side.a, side.b), strict=True)
            if name
        ]
        said.append(f"{side.service}: {', '.join(values) if side.present else 'nothing'}")
    return "\n".join(said)


def _violations(answer: Agreement) -> Iterator[Text]:
    """Service, rule and what is wrong; below it both values, of a whole row only the columns that differ."""
    yield Text("\nBalances that are not the sum of their facts, and rows touched by hand", style="bold")
    for service, found in answer.violations:
        yield Text.assemble((f"{service} {found.rule}", "red"), "  ", (found.key, "bold"))
        if found.detail:
            yield Text(f"    {found.detail}", style="dim")
        for told in _values(found.kept, found.facts):
            yield Text(f"    {told}")
    if answer.violations_found > len(answer.violations):
        yield Text(f"{answer.violations_found - len(answer.violations):,} more; raise --limit.", style="dim")


def _values(kept: str, facts: str) -> Iterator[str]:
    """Of two rows of a table the columns that differ; else the two values as they are."""
    try:
        now, was = (msgspec.json.decode(text, type=dict[str, Any]) for text in (kept, facts))
    except msgspec.MsgspecError:
        yield f"kept: {_readable(kept)}"
        yield f"its facts say: {_readable(facts)}"
        return
    for name in was | now:
        if was.get(name) != now.get(name):
            before, after = was.get(name, "(was not there)"), now.get(name, "(gone)")
            yield f"{name}: {_readable(before)} -> {_readable(after)}"


def _readable(value: Any) -> Any:
    """Bytes as Postgres writes them (\\x7b22) as the text that they are, where they are one; a long value cut."""
    text = value if isinstance(value, str) else str(value)
    if text.startswith("\\x"):
        with contextlib.suppress(ValueError):
            text = bytes.fromhex(text[2:]).decode("utf-8")
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]} … ({len(text):,} characters)"


def _value(name: str, value: int, currency: str = "", currencies: Sequence[str] = ()) -> str:
    """Quantities in units. Money in its currency where that is known, else as minor units; nothing where it is of
    several, for their sum means nothing."""
    if name.endswith("_micro"):
        return quantity(value)
    if currencies:
        return ""
    return _money(value, currency) if value or currency else "0"


def _money(value: int, currency: str) -> str:
    return spelled(value, currency) if currency else f"{value:,} minor units"


def _cell(text: str, same: bool) -> str:
    return text if same else f"[bold red]{text}[/]"
