"""What the demo has to say at the end, as data first and then for the eye."""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tieout.contracts.control import Agreement, Journeys, StepLatency
from tieout.contracts.currency import spelled
from tieout.devstack import agreement as agreement_view
from tieout.devstack import journey as journey_view
from tieout.devstack.journey import quantity
from tieout.devstack.outcomes import Key
from tieout.devstack.wording import counted

# The steps worth showing, in the words of those who wait for them.
_STEPS = {
    ("order.submit.v1", "order.placed.v1"): "handed over -> placed",
    ("order.placed.v1", "inventory.shipped.v1"): "placed -> shipped",
    ("inventory.shipped.v1", "finance.receivable_opened.v1"): "shipped -> billed",
    ("order.submit.v1", "finance.receivable_opened.v1"): "handed over -> billed, the whole way",
    ("finance.pay.v1", "finance.settled.v1"): "payment handed over -> settled",
    ("order.credit.v1", "order.returned.v1"): "credit handed over -> accepted",
    ("order.cancel_requested.v1", "inventory.cancel_decided.v1"): "cancellation asked -> decided",
}


class Line(Struct, frozen=True):
    """Documents of one satellite, kind and outcome: as the day planned them, and as the books tell."""

    satellite: str
    kind: str
    outcome: str
    planned: int
    told: int


class Side(Struct, frozen=True):
    """One amount of one company as up to three books hold it; None where a book does not hold it."""

    company: str
    what: str
    unit: str  # A currency, or "" for a quantity in millionths.
    order: int | None
    inventory: int | None
    finance: int | None

    @property
    def agrees(self) -> bool:
        return len({side for side in (self.order, self.inventory, self.finance) if side is not None}) <= 1


class Goods(Struct, frozen=True):
    """Where the ordered quantity is, in millionths: the first three as the agreement has them, what is still open as
    the stock has it."""

    ordered: int
    stopped: int  # Refused or cancelled.
    shipped: int
    reserved: int
    back_ordered: int

    @property
    def missing(self) -> int:
        """Ordered, and in none of the others: 0 where the line ties out."""
        return self.ordered - self.stopped - self.shipped - self.reserved - self.back_ordered


class Timing(Struct, frozen=True):
    start: float  # Seconds until the stack was ready.
    feed: float  # From the first to the last document.
    settle: float  # From the last document until everything was accounted for.
    whole: float


class Leaf(Struct, frozen=True):
    seconds_cut: float
    sold_while_cut: int
    seconds_to_catch_up: float | None  # None: it did not.


class DemoReport(Struct, frozen=True):
    seed: int
    orders: int
    documents: int
    accounted: bool
    lines: tuple[Line, ...]
    sides: tuple[Side, ...]
    goods: Goods
    agreement: Agreement
    timing: Timing
    documents_per_second: float
    orders_placed: int
    latencies: tuple[StepLatency, ...]
    leaf: Leaf
    surprises: tuple[str, ...]
    parked: int
    dead_letters: int
    journeys: Journeys

    @property
    def good(self) -> bool:
        return (
            self.accounted
            and self.agreement.verdict == "agree"
            and not self.surprises
            and not self.dead_letters
            and not self.parked
            and all(side.agrees for side in self.sides)
            and not self.goods.missing
        )


def compare(planned: Counter[Key], told: Counter[Key]) -> tuple[Line, ...]:
    """Every key that either side names; equal counts mean that every document is accounted for."""
    return tuple(Line(*key, planned[key], told[key]) for key in sorted({*planned, *told}))


def render(report: DemoReport, console: Console) -> None:
    console.print()
    console.rule("[bold]What became of the documents")
    console.print(_documents(report.lines))
    if told := outcomes_of(report.lines, report.documents):
        console.print(told, style="dim", highlight=False)
    for surprise in report.surprises[:10]:
        console.print(f"unexpected: {surprise}", style="red", highlight=False, markup=False)
    console.rule("[bold]Three books side by side")
    console.print(_sides(report.sides))
    console.print(whereabouts(report.goods))
    console.rule("[bold]The agreement, proved from each service's own database")
    agreement_view.render(report.agreement, console)
    console.rule("[bold]How long it took")
    console.print(_latencies(report.latencies))
    console.print(_timing(report))
    console.rule("[bold]One order as an example")
    journey_view.render(report.journeys, console)
    console.rule()
    console.print(_verdict(report))


def _documents(lines: Sequence[Line]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in ("", "satellite", "document", "outcome"):
        table.add_column(title)
    table.add_column("planned", justify="right")
    table.add_column("in the books", justify="right")
    for line in lines:
        same = line.planned == line.told
        told = Text(f"{line.told:,}", style="" if same else "bold red")
        table.add_row(_sign(same), line.satellite, line.kind, line.outcome, f"{line.planned:,}", told)
    return table


def outcomes_of(lines: Sequence[Line], documents: int) -> str:
    """Why the table adds up to more than the documents that are accounted for; "" where it does not."""
    outcomes = sum(line.told for line in lines)
    if outcomes <= documents:
        return ""
    return (
        f"{counted(outcomes, 'outcome')} of {counted(documents, 'document')}: a refund webhook that paid money back "
        "became two, a credit and a refund."
    )


def goods_of(agreement: Agreement, reserved: int, back_ordered: int) -> Goods:
    first = {measure.name: measure.sides[0].a for measure in agreement.measures if measure.sides}
    ordered, stopped, shipped = (first.get(name, 0) for name in ("ordered", "stopped", "shipped"))
    return Goods(ordered, stopped, shipped, reserved, back_ordered)


def whereabouts(goods: Goods) -> Text:
    """The ordered quantity as the sum of what became of it."""
    still_open = goods.reserved + goods.back_ordered
    told = (
        f"ordered {quantity(goods.ordered)} = shipped {quantity(goods.shipped)} + refused or cancelled "
        f"{quantity(goods.stopped)} + still open {quantity(still_open)}"
    )
    if still_open:
        told += f" ({quantity(goods.reserved)} reserved, {quantity(goods.back_ordered)} back-ordered)"
    sign = Text.from_markup(f"{_sign(not goods.missing)}  ")
    if goods.missing:
        told += f"; {quantity(goods.missing)} in none of them"
    return sign.append(told)


def _sides(sides: Sequence[Side]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in ("", "company"):
        table.add_column(title, no_wrap=True)
    table.add_column("what")  # The only column that may wrap: a cut off amount proves nothing.
    for title in ("orders", "stock", "books"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("currency", no_wrap=True)
    for side in sides:
        values = [_value(value, side.unit) for value in (side.order, side.inventory, side.finance)]
        table.add_row(_sign(side.agrees), side.company, side.what, *values, side.unit)
    return table


def _latencies(latencies: Sequence[StepLatency]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("step")
    for title in ("times", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(title, justify="right")
    measured = {(step.before, step.after): step for step in latencies}
    for pair, name in _STEPS.items():
        if pair in measured:
            step = measured[pair]
            milliseconds = [f"{value:,.0f}" for value in (step.p50_ms, step.p95_ms, step.p99_ms)]
            table.add_row(name, f"{step.count:,}", *milliseconds)
    return table


def _timing(report: DemoReport) -> Text:
    leaf = report.leaf
    caught_up = (
        "and did not catch up"
        if leaf.seconds_to_catch_up is None
        else f"and the hub had them all {leaf.seconds_to_catch_up:.1f} s after the line was mended"
    )
    return Text(
        f"{counted(report.documents, 'document')} in {report.timing.feed:.1f} s "
        f"({report.documents_per_second:,.0f} a second), "
        f"all of them in the books {report.timing.settle:.1f} s after the last. The store was cut off for "
        f"{leaf.seconds_cut:.1f} s, sold {counted(leaf.sold_while_cut, 'document')} meanwhile, {caught_up}."
    )


def _verdict(report: DemoReport) -> Text:
    if report.good:
        text = f"✓ The books agree, and each of {counted(report.documents, 'document')} is accounted for."
        return Text(text, style="bold green")
    reasons = []
    if report.agreement.verdict != "agree":
        reasons.append("the books do not agree")
    if not report.accounted:
        reasons.append("not every document is accounted for")
    if report.parked:
        reasons.append(counted(report.parked, "message waits for its partner", "messages wait for their partner"))
    if report.dead_letters:
        reasons.append(f"{report.dead_letters} dead letters")
    if not all(side.agrees for side in report.sides):
        reasons.append("a balance differs between two books")
    if report.goods.missing:
        reasons.append("the ordered quantity is not the sum of what became of it")
    if report.surprises:
        reasons.append(f"{len(report.surprises)} unexpected answers")
    return Text("✗ " + ", ".join(reasons) + ".", style="bold red")


def _sign(good: bool) -> str:
    return "[bold green]✓[/]" if good else "[bold red]✗[/]"


def _value(value: int | None, unit: str) -> str:
    if value is None:
        return "[dim]-[/]"
    return spelled(value, unit).removesuffix(f" {unit}") if unit else quantity(value)
