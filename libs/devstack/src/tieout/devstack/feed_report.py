"""The conservation law for the eye: one line per month, what went in, what became of it, and what is missing."""

from collections.abc import Callable, Iterable

from rich.console import Console
from rich.table import Table
from tieout.contracts.currency import spelled
from tieout.devstack.conservation import OUTCOMES, Balance, MonthBalance, Term
from tieout.devstack.formats import Measured
from tieout.devstack.journey import quantity

_VIEWS: tuple[tuple[str, Callable[[Measured, str], str]], ...] = (
    ("lines", lambda measured, _: f"{measured.lines:,}"),
    ("quantity", lambda measured, _: quantity(measured.quantity_micro)),
    ("amount", lambda measured, currency: spelled(measured.amount_minor, currency).removesuffix(f" {currency}")),
)
_NOTHING = Measured()


def render(
    law: Balance, terms: Iterable[Term], currency: str, console: Console, *, sent: str = "", in_vain: bool = False
) -> None:
    """Three tables, lines, quantity and amount; then reasons, then the verdict.

    `sent`: how many documents went in, and how fast; `in_vain`: nothing of it came into the books."""
    months = [month for month in law.months if _moved(month)]
    shown = [name for name in OUTCOMES if any(month.outcomes.get(name, _NOTHING) != _NOTHING for month in months)]
    for title, view in _VIEWS:
        unit = f", {currency}" if title == "amount" and currency else ""
        table = Table(title=title + unit, title_justify="left", title_style="bold", box=None, header_style="dim")
        table.add_column("month", no_wrap=True)
        table.add_column("went in", justify="right", no_wrap=True)
        for outcome in shown:
            table.add_column(outcome.replace("_", "-"), justify="right", no_wrap=True)
        table.add_column("missing", justify="right", no_wrap=True)
        for month in (*months, law.total):
            cells = [view(month.outcomes.get(outcome, _NOTHING), currency) for outcome in shown]
            style = "bold" if month is law.total else ""
            missing = view(month.missing, currency)
            sign = f"[bold red]{missing}[/]" if _broken(month, title) else "[green]0[/]"
            table.add_row(month.month, view(month.input, currency), *cells, sign, style=style)
        console.print(table)
    reasons = Table(title="reasons", title_justify="left", title_style="bold", box=None, header_style="dim")
    for title in ("outcome", "reason", "said by"):
        reasons.add_column(title)
    reasons.add_column("documents", justify="right")
    told: dict[tuple[str, str, str], int] = {}
    for term in terms:
        if term.reason:
            key = (term.outcome, term.reason, term.service)
            told[key] = told.get(key, 0) + term.documents
    for (outcome, reason, service), documents in sorted(told.items()):
        if documents:
            reasons.add_row(outcome, reason, service, f"{documents:,}")
    if reasons.row_count:
        console.print(reasons)
    rounding = law.total.input.rounding_micro
    if rounding:
        console.print(f"Rounding of the lines: {rounding / 1_000_000:.6f} minor units.", style="dim")
    if sent:
        console.print(sent, style="dim")
    verdict(law.holds, console, in_vain=in_vain)


def verdict(holds: bool, console: Console, *, in_vain: bool) -> None:
    """In one sentence: what is accounted for may still not be what was wanted."""
    if not holds:
        nothing = ", and nothing of it came into them" if in_vain else ""
        console.print(f"✗ The books do not account for everything that went in{nothing}.", style="bold red")
    elif in_vain:
        told = "✗ Nothing of it came into the books; what became of each document is accounted for."
        console.print(told, style="bold red")
    else:
        console.print("✓ Everything that went in is accounted for.", style="bold green")


def _moved(month: MonthBalance) -> bool:
    """Months of earlier feeds are in the books too; this feed has nothing in them."""
    return any(measured != _NOTHING for measured in (month.input, *month.outcomes.values()))


def _broken(month: MonthBalance, title: str) -> bool:
    missing = month.missing
    return bool({"lines": missing.lines, "quantity": missing.quantity_micro, "amount": missing.amount_minor}[title])
