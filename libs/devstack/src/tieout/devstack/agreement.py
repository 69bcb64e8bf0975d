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
from rich.cells import set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from tieout.contracts.agreement import CurrencySum
from tieout.contracts.control import Agreement, BookSide, Cause, Difference, MeasureResult, Watermark
from tieout.contracts.currency import spelled
from tieout.contracts.period import PERIOD_AGREEMENT, PeriodAgreement, PeriodFigure
from tieout.devstack import hints, questions
from tieout.devstack.failures import CommandFailed
from tieout.devstack.journey import quantity
from tieout.devstack.languages import listed, marked, of_both, said, told, told_count
from tieout.devstack.moments import moment
from tieout.devstack.terminal import Screen, fits, tell

SHOWN_MAX = 200  # Characters of one value.
_SIGNS = {
    "agree": "[bold green]✓[/]",
    "open": "[bold yellow]…[/]",
    "differ": "[bold red]✗[/]",
    "unanswered": "[bold red]?[/]",
}
_CAUSES = {
    "in_flight": ("", marked("on its way")),
    "stalled": ("yellow", marked("its consumer stands still")),
    "parked": ("yellow", marked("waits for its partner")),
    "waiting_approval": ("yellow", marked("waits for approval")),
    "goods_in_return": ("yellow", marked("goods in return")),
    "period_deferred": ("yellow", marked("in a later period")),
    "dead": ("red", marked("dead letter")),
    "lost_by_broker": ("red", marked("lost by the broker")),
    "missing_at_source": ("red", marked("missing at its source")),
    "edited_by_hand": ("red", marked("edited by hand")),
    "duplicate": ("red", marked("booked twice")),
    "unknown": ("red", marked("unknown")),
}
_REPAIRS = {
    "wait": marked("wait"),
    "restart_flow": marked("ask the flow anew"),
    "replay": marked("replay"),
    "publish_again": marked("publish again"),
    "resubmit": marked("resubmit from the source"),
    "reverse_and_rebook": marked("reverse and rebook"),
}
_LABELS = {
    "quantity_micro": marked("quantity"),
    "amount_minor": marked("amount"),
    "net_minor": marked("net"),
    "tax_minor": marked("tax"),
    "value_minor": marked("value"),
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
    if arguments.company:
        raise CommandFailed(told("--company goes with --period: the proof of the books is of all companies"))
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
        for line in _violations(answer):
            console.print(line, soft_wrap=True)
    for watermark in answer.watermarks:
        if held := _held_back(watermark):
            console.print(held, style="yellow")
    for missing in _missing(answer):
        console.print(missing, style="yellow", soft_wrap=True, highlight=False)
    if answer.sites:
        names = listed(site.site for site in answer.sites)
        lost = told("What was lost at {sites}, and what to do: {command}", sites=names, command=hints.command("doctor"))
        console.print(lost, style="yellow", soft_wrap=True, highlight=False)
    _tell_how_far(answer, console, quick=quick)
    if answer.verdict == "differ" and not explain:
        why, mends = hints.command("agreement --explain"), hints.command("repair preview")
        steps = told("Why: {why}; what would mend it: {mends}", why=why, mends=mends)
        console.print(steps, highlight=False, soft_wrap=True)
    style = {"agree": "bold green", "open": "bold yellow", "differ": "bold red"}[answer.verdict]
    sign = {"agree": "✓", "open": "…", "differ": "✗"}[answer.verdict]
    console.print(f"{sign} {of_both(answer.sentence, answer.sentence_zh)}", style=style, highlight=False)


def _held_back(watermark: Watermark) -> str:
    producer = said(watermark.producer)
    if watermark.unpublished:
        return told_count(
            "{producer} has {count} event that the broker has not taken for {seconds} s. What is wrong: {command}",
            "{producer} has {count} events that the broker has not taken for {seconds} s. What is wrong: {command}",
            watermark.unpublished,
            producer=producer,
            seconds=f"{watermark.unpublished_seconds:,.0f}",
            command=hints.command("doctor"),
        )
    if watermark.oldest_writer:
        writer = watermark.oldest_writer
        return told("{producer} is held back by a long transaction: {writer}", producer=producer, writer=writer)
    return ""


def _missing(answer: Agreement) -> Iterator[str]:
    doctor = hints.command("doctor")
    for gone in answer.missing_streams:
        yield told(
            "The hub has had no stream {stream} since {moment}: nothing is announced on it. Its service makes it anew "
            "within 20 s and publishes again what it held; nothing is lost. Where it stays away: {command}",
            stream=gone.stream,
            moment=moment(gone.since),
            command=doctor,
        )
    for one in answer.silent:
        service = said(one.service)
        if one.since:
            line = told("{service} last answered at {moment}.", service=service, moment=moment(one.since))
        else:
            line = told("{service} has not answered since control started.", service=service)
        yield f"{line} {told('What is wrong: {command}', command=doctor)}"


def _tell_how_far(answer: Agreement, console: Console, *, quick: bool) -> None:
    upto = listed(f"{said(mark.producer)} {mark.agreed:,}" for mark in answer.watermarks) or "0"
    checked = answer.rules_checked
    rules = told("{count} balance rules", count=checked) if checked else told("no balances checked")
    ms = f"{answer.took_ms:,.0f}"
    console.print(told("Compared up to position {upto}; {rules}; {ms} ms.", upto=upto, rules=rules, ms=ms), style="dim")
    for service, one in answer.rules_unchecked:
        line = told("Not checked: {service} {rule} ({why}).", service=said(service), rule=one.rule, why=said(one.why))
        console.print(line, style="yellow", soft_wrap=True, highlight=False)
    if answer.rules_under_way:
        services = listed(map(said, answer.rules_under_way))
        if answer.rules_at:
            line = told(
                "The balances stand as of {moment}: the books of {services} are large, and a new look at them goes on. "
                "Ask again in a while.",
                moment=moment(answer.rules_at),
                services=services,
            )
        else:
            line = told(
                "The balances are not known yet: the books of {services} are large, and a new look at them goes on. "
                "Ask again in a while.",
                services=services,
            )
        console.print(line, style="yellow", soft_wrap=True)
    elif answer.rules_at and answer.rules_at[:19] < answer.at[:19]:
        console.print(told("The balances stand as of {moment}.", moment=moment(answer.rules_at)), style="dim")
    elif quick and not answer.rules_at:
        line = told(
            "Not every service has checked its balances since it started, so this is the books' agreement alone. "
            "With the balances: {command}",
            command=hints.command("agreement"),
        )
        console.print(line, style="yellow", soft_wrap=True, highlight=False)


def _of_period(arguments: argparse.Namespace) -> int:
    if not arguments.company:
        again = hints.command(f"agreement --period {arguments.period} --company C1")
        why = told("--period needs a --company, for each has its own calendar and currency: {command}", command=again)
        raise CommandFailed(why)
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
            console.print(of_both(figure.title, figure.title_zh), style="bold", highlight=False)
            for name, amount in _period_amounts(figure).items():
                heading = set_cell_size(told(name), 9)
                console.print(f"  {heading}  {spelled(amount, answer.currency):>24}", highlight=False)
    for one in answer.differences:
        line = Text(f"{spelled(one.amount_minor, answer.currency)}  ").append_text(Text.from_markup(_cause(one.cause)))
        tell(console, line.append(told(": ")).append(of_both(one.why, one.why_zh)))
    style = {"agree": "bold green", "open": "bold yellow", "differ": "bold red"}[answer.verdict]
    console.print(of_both(answer.sentence, answer.sentence_zh), style=style, highlight=False)


def _period_table(answer: PeriodAgreement) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for column in (marked("happened"), marked("posted"), marked("explained"), marked("left")):
        table.add_column(told(column), justify="right", no_wrap=True)
    for figure in answer.figures:
        amounts = _period_amounts(figure).values()
        table.add_row(of_both(figure.title, figure.title_zh), *(spelled(amount, answer.currency) for amount in amounts))
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
    table.add_column(told("what must agree"), overflow="fold")
    for heading in (told("rows"), "", ""):  # Titles and remarks are folded where it gets narrow, figures never.
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for measure in answer.measures:
        currencies = _currencies(measure)
        table.add_row(
            _SIGNS[measure.state],
            f"[bold]{of_both(measure.title, measure.title_zh)}[/]",
            "",
            *(f"[dim]{_label(value)}[/]" for value in measure.values),
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
            table.add_row("", f"  {said(side.service)}", *cells, "", end_section=last and not many)
            for currency in many:
                amounts = _of_currency(measure, side, currency)
                table.add_row("", "", *amounts, "", end_section=last and currency == many[-1])
    return table


def _currencies(measure: MeasureResult) -> list[str]:
    """Those to show on lines of their own: all that any book of the measure holds; "" is money without a currency."""
    sums = {known for side in measure.sides for known in side.currencies}
    return sorted({known.currency for known in sums if known.currency or _holds_money(measure, known)})


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
        return f"[red]{told('no answer from {service}', service=said(measure.note))}[/]"
    parts = []
    if events := measure.differing - measure.digests:
        parts.append(f"[red]{told('{count} differ', count=f'{events:,}')}[/]")
    if measure.dead:
        parts.append(f"[red]{told('{count} in dead letters', count=f'{measure.dead:,}')}[/]")
    if measure.parked:
        parts.append(f"[yellow]{told('{count} waiting for a partner', count=f'{measure.parked:,}')}[/]")
    if measure.in_flight:
        state = said(measure.open_state) or told("on the way")
        parts.append(f"[yellow]{told('{count} {state}', count=f'{measure.in_flight:,}', state=state)}[/]")
    if measure.note:
        parts.append(f"[dim]{escape(of_both(measure.note, measure.note_zh))}[/]")
    return listed(parts)


def _label(value: str) -> str:
    return told(_LABELS[value]) if value in _LABELS else value


def _cause(cause: Cause) -> str:
    style, words = _CAUSES[cause]
    return f"[{style}]{told(words)}[/]" if style else told(words)


def _causes(answer: Agreement) -> Table:
    """How many events of each measure have which cause, and the one step that mends it."""
    table = Table(title=told("Why"), title_justify="left", title_style="bold", header_style="dim", box=None)
    for column in (told("measure"), told("cause"), told("events"), told("where"), told("what mends it")):
        table.add_column(column, overflow="fold")
    names = {measure.number: measure.name for measure in answer.measures}
    for count in answer.causes:
        where = [count.flow] if count.flow else []
        if count.lag:
            where.append(told_count("{count} message to go", "{count} messages to go", count.lag))
        if count.stalled_seconds:
            where.append(told("has not moved for {seconds} s", seconds=f"{count.stalled_seconds:.0f}"))
        mends = told(_REPAIRS[count.repair]) if count.repair in _REPAIRS else ""
        if count.repair not in ("", "wait"):
            mends += told(": ") + hints.command(f"repair preview --cause {count.cause}")
        name = said(names.get(count.measure, ""))
        table.add_row(name, _cause(count.cause), f"{count.events:,}", listed(where), mends)
    return table


def _differences(answer: Agreement, *, explain: bool = False) -> Table:
    title = told("What does not agree")
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None)
    for column in (told("order"), told("measure"), told("line"), told("cause"), told("the books say")):
        table.add_column(column, overflow="fold")
    for difference in answer.differences:
        why = of_both(difference.why, difference.why_zh)
        table.add_row(
            escape(f"{difference.company} {difference.order_no or difference.chain_id}".lstrip()),
            said(difference.name),
            str(difference.line_no),
            _cause(difference.cause),
            _both(difference) + (f"\n[dim]{escape(why)}[/]" if explain and why else ""),
        )
    shown = len({(difference.measure, difference.position) for difference in answer.differences})
    whole = sum(m.differing + m.dead + m.parked + m.in_flight for m in answer.measures)
    if whole > shown:
        left = f"{whole - shown:,}"
        table.caption = told("{count} more events are not listed; raise --limit.", count=left)
    return table


def _both(difference: Difference) -> str:
    lines = []
    for side in difference.sides:
        values = [
            f"{_label(name)} {_value(name, value, difference.currency)}"
            for name, value in zip(difference.values, (side.a, side.b), strict=True)
            if name
        ]
        lines.append(f"{said(side.service)}{told(': ')}{listed(values) if side.present else told('nothing')}")
    return "\n".join(lines)


def _violations(answer: Agreement) -> Iterator[Text]:
    """Service, rule and what is wrong; below it both values, of a whole row only the columns that differ."""
    title = told("Balances that are not the sum of their facts, and rows touched by hand")
    yield Text(f"\n{title}", style="bold")
    for service, found in answer.violations:
        yield Text.assemble((f"{said(service)} {found.rule}", "red"), "  ", (found.key, "bold"))
        if found.detail:
            yield Text(f"    {found.detail}", style="dim")
        for line in _values(found.kept, found.facts):
            yield Text(f"    {line}")
    if (left := answer.violations_found - len(answer.violations)) > 0:
        yield Text(told("{count} more; raise --limit.", count=f"{left:,}"), style="dim")


def _values(kept: str, facts: str) -> Iterator[str]:
    """Of two rows of a table the columns that differ; else the two values as they are."""
    try:
        now, was = (msgspec.json.decode(text, type=dict[str, Any]) for text in (kept, facts))
    except msgspec.MsgspecError:
        yield told("kept: {value}", value=_readable(kept))
        yield told("its facts say: {value}", value=_readable(facts))
        return
    for name in was | now:
        if was.get(name) != now.get(name):
            before, after = was.get(name, told("(was not there)")), now.get(name, told("(gone)"))
            yield f"{name}: {_readable(before)} -> {_readable(after)}"


def _readable(value: Any) -> Any:
    """Bytes as Postgres writes them (\\x7b22) as the text that they are, where they are one; a long value cut."""
    text = value if isinstance(value, str) else str(value)
    if text.startswith("\\x"):
        with contextlib.suppress(ValueError):
            text = bytes.fromhex(text[2:]).decode("utf-8")
    if len(text) <= SHOWN_MAX:
        return text
    return told("{beginning} … ({count} characters)", beginning=text[:SHOWN_MAX], count=f"{len(text):,}")


def _value(name: str, value: int, currency: str = "", currencies: Sequence[str] = ()) -> str:
    """Quantities in units. Money in its currency where that is known, else as minor units; nothing where it is of
    several, for their sum means nothing."""
    if name.endswith("_micro"):
        return quantity(value)
    if currencies:
        return ""
    return _money(value, currency) if value or currency else "0"


def _money(value: int, currency: str) -> str:
    return spelled(value, currency) if currency else told("{value} minor units", value=f"{value:,}")


def _cell(text: str, same: bool) -> str:
    return text if same else f"[bold red]{text}[/]"
