"""Who gets which stock. Pure rules: no I/O, no clock, no logging.

Only sums of facts are true. Per order line always: ordered - stopped = shipped - recalled + reserved + back_ordered;
and shipped = passed + on its way + recalled, where control passes at issue nothing is ever on its way. Per stock:
promised is the sum of the promises of its order lines, and a promise never goes below zero.

The functions change the `Stock` and `Line` objects that they are given (the caller holds their locks) and return what
they did, for the caller to write down and announce.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from tieout.contracts.order import Account, CostAccount
from tieout.inventory.valuation import Stock, half_up
from tieout.inventory.wording import pieces


class Wanted(Protocol):
    """An order line as it was placed."""

    @property
    def line_no(self) -> int: ...
    @property
    def sku(self) -> str: ...
    @property
    def quantity_micro(self) -> int: ...
    @property
    def net_minor(self) -> int: ...
    @property
    def tax_minor(self) -> int: ...
    @property
    def warehouse(self) -> str: ...
    @property
    def kind(self) -> Literal["goods", "service"]: ...
    @property
    def account(self) -> Account: ...
    @property
    def cost_account(self) -> CostAccount: ...
    @property
    def residual_minor(self) -> int: ...


class Line:
    """One line of a placed order, with what has become of it so far. Quantities in millionths."""

    __slots__ = (
        "account",
        "at_delivery",
        "back_ordered",
        "cost_account",
        "delivered",
        "kind",
        "line_no",
        "net_minor",
        "on_way",
        "on_way_value",
        "quantity_micro",
        "recalled",
        "reserved",
        "reserved_stopped",
        "residual_minor",
        "service",
        "shipped",
        "since",
        "sku",
        "stock",
        "stock_id",
        "stopped",
        "tax_minor",
        "touched",
        "warehouse",
    )

    def __init__(
        self,
        line_no: int,
        quantity_micro: int,
        stock: Stock | None = None,
        reserved: int = 0,
        back_ordered: int = 0,
        shipped: int = 0,
        stopped: int = 0,
        reserved_stopped: int = 0,
    ) -> None:
        self.line_no = line_no
        self.quantity_micro = quantity_micro  # Ordered.
        self.service = stock is None
        self.stock = stock  # None: a service, or a stock that this batch has not locked and will not touch.
        self.reserved = reserved
        self.back_ordered = back_ordered
        self.shipped = shipped
        self.stopped = stopped  # Refused or cancelled.
        self.reserved_stopped = reserved_stopped  # Of it: out of reservations, so the goods may have left all the same.
        self.stock_id: int | None = stock.stock_id if stock else None
        self.sku = ""
        self.warehouse = "MAIN"
        self.kind: Literal["goods", "service"] = "goods" if stock else "service"
        self.account: Account = "goods"
        self.cost_account: CostAccount = "cogs"
        self.net_minor = 0
        self.tax_minor = 0
        self.residual_minor = 0
        self.since = 0  # Position of its first promise: who waits longest is served first.
        self.touched = False
        self.at_delivery = False  # Control passes then: what leaves is on its way first.
        self.on_way = 0
        self.on_way_value = 0  # What it cost when it left.
        self.delivered = 0
        self.recalled = 0  # Stopped on its way, and back in stock.

    @property
    def passed(self) -> int:
        """What is the customer's by now: only a return brings it back."""
        return self.shipped - self.recalled - self.on_way

    def take_off_the_way(self, quantity: int) -> int:
        """Delivered or stopped; returns its part of the cost. The last part takes what is left, so nothing stays."""
        all_of_it = quantity == self.on_way
        value = self.on_way_value if all_of_it else half_up(self.on_way_value * quantity, self.on_way)
        self.on_way -= quantity
        self.on_way_value -= value
        return value


class Part(NamedTuple):
    """The part of a line that leaves now."""

    line: "Line | Wanted"
    stock: Stock | None
    start: int  # Of the line's quantity: what had left before.
    end: int
    cost: int
    seq: int  # valuation_seq of the issue.
    from_reserved: bool


class Hold(NamedTuple):
    """A change of what is promised to a line."""

    line: "Line | Wanted"
    stock: Stock | None
    reserved: int
    back_ordered: int


class Stop(NamedTuple):
    line: Line
    back_ordered: int
    reserved: int
    too_late: int
    issued: int = 0  # On its way until now: back in stock,
    value: int = 0  # at this cost.


class Allocation(NamedTuple):
    parts: list[Part]
    holds: list[Hold]
    short: frozenset[Stock]  # Not empty: the order is refused as a whole and nothing was changed.


_NOTHING_SHORT: frozenset[Stock] = frozenset()


def allocate(lines: Sequence[Wanted], stocks: Sequence[Stock | None], hold_back: bool = False) -> Allocation:
    """Decide a new order. `stocks` stands beside `lines`, None for a service.

    One line that a `refuse` warehouse cannot serve refuses the whole order: it takes nothing, so it never starves a
    smaller order behind it. `back_order` promises what is there and notes the rest; `allow_negative` gives everything.
    Where fulfilment is `auto` goods leave at once, unless `hold_back`: a cancellation is already waiting for the order.
    Services go with the first goods; without goods they go at once.
    """
    short = _shortages(lines, stocks)
    if short:
        return Allocation([], [], short)
    parts: list[Part] = []
    holds: list[Hold] = []
    services: list[Wanted] = []
    for line, stock in zip(lines, stocks, strict=True):
        if stock is None:
            services.append(line)
            continue
        take = quantity = line.quantity_micro
        if stock.policy == "back_order":
            free = stock.on_hand - stock.reserved
            if free < quantity:
                take = max(free, 0)
        back_ordered = quantity - take
        reserved = 0
        if take:
            if stock.auto and not hold_back:
                cost = stock.issue(take)
                parts.append(Part(line, stock, 0, take, cost, stock.seq, False))
            else:
                reserved = take
        if reserved or back_ordered:
            stock.reserved += reserved
            stock.back_ordered += back_ordered
            stock.touched = True
            holds.append(Hold(line, stock, reserved, back_ordered))
    if services:
        if parts or (not holds and not hold_back):
            parts.extend(Part(line, None, 0, line.quantity_micro, 0, 0, False) for line in services)
        else:
            holds.extend(Hold(line, None, line.quantity_micro, 0) for line in services)
    return Allocation(parts, holds, _NOTHING_SHORT)


def _shortages(lines: Sequence[Wanted], stocks: Sequence[Stock | None]) -> frozenset[Stock]:
    """Which stocks of `refuse` warehouses cannot serve the order; one SKU on two lines is one demand."""
    wanted: dict[Stock, int] = {}
    for line, stock in zip(lines, stocks, strict=True):
        if stock is not None and stock.policy == "refuse":
            wanted[stock] = wanted.get(stock, 0) + line.quantity_micro
    for stock, quantity in wanted.items():
        if quantity > stock.on_hand - stock.reserved:
            return frozenset(s for s, q in wanted.items() if q > s.on_hand - s.reserved)
    return _NOTHING_SHORT


def serve(stock: Stock, waiting: Iterable[Line]) -> list[Hold]:
    """Give what is free to those who wait, first come, first served; in part where it does not suffice."""
    holds = []
    for line in waiting:
        take = min(stock.free, line.back_ordered)
        if take <= 0:
            if stock.free <= 0:
                break
            continue
        line.back_ordered -= take
        line.reserved += take
        line.touched = True
        stock.back_ordered -= take
        stock.reserved += take
        stock.touched = True
        holds.append(Hold(line, stock, take, -take))
    return holds


def call_back(stock: Stock, promised: Iterable[Line]) -> list[Hold]:
    """Less lies there than is promised: promises wait again, in the order given, until what lies there covers the rest.
    They keep their place in the queue, so what comes next is theirs before anybody else's."""
    holds = []
    for line in promised:
        missing = min(stock.uncovered, line.reserved)
        if missing <= 0:
            break
        line.reserved -= missing
        line.back_ordered += missing
        line.touched = True
        stock.reserved -= missing
        stock.back_ordered += missing
        stock.touched = True
        holds.append(Hold(line, stock, -missing, missing))
    return holds


def cancel(lines: Mapping[int, Line], wanted: Iterable[tuple[int, int]] | None) -> list[Stop]:
    """Stop what still can be: back-ordered quantity first, then reserved, then what is on its way (where control
    passes at delivery); the rest is too late and needs a return.

    `wanted` are (line_no, quantity); None means everything. Quantity that was stopped before is not stopped twice and
    not too late either.
    """
    if wanted is None:
        wanted = [(line.line_no, line.quantity_micro - line.stopped) for line in lines.values()]
    stops = []
    for line_no, quantity in wanted:
        line = lines[line_no]
        back_ordered = min(line.back_ordered, quantity)
        reserved = min(line.reserved, quantity - back_ordered)
        issued = min(line.on_way, quantity - back_ordered - reserved)
        too_late = min(quantity - back_ordered - reserved - issued, line.passed)
        if not (back_ordered or reserved or issued or too_late):
            continue
        value = 0
        if issued:
            value = line.take_off_the_way(issued)
            line.recalled += issued
            line.stopped += issued
        if back_ordered or reserved:
            line.back_ordered -= back_ordered
            line.reserved -= reserved
            line.stopped += back_ordered + reserved
            line.reserved_stopped += reserved
            line.touched = True
            if line.stock is not None:
                line.stock.back_ordered -= back_ordered
                line.stock.reserved -= reserved
                line.stock.touched = True
                line.stock.arrived = line.stock.arrived or reserved > 0
        stops.append(Stop(line, back_ordered, reserved, too_late, issued, value))
    return stops


def ship(lines: Iterable[tuple[Line, int]], all_lines: Iterable[Line]) -> list[Part]:
    """Reserved goods leave, and with them the services that waited for the first goods."""
    parts = [_leave(line, quantity) for line, quantity in lines]
    if parts:
        parts.extend(_leave(line, line.reserved) for line in all_lines if line.service and line.reserved)
    return parts


def due_at_once(lines: Collection[Line]) -> list[Part]:
    """What nobody has to confirm: reserved goods of `auto` warehouses, and services when no goods are awaited."""
    parts = ship(((line, line.reserved) for line in lines if line.stock and line.stock.auto and line.reserved), lines)
    if not parts and not any(line.reserved or line.back_ordered for line in lines if not line.service):
        parts = [_leave(line, line.reserved) for line in lines if line.service and line.reserved]
    return parts


def _leave(line: Line, quantity: int) -> Part:
    stock = line.stock
    cost = seq = 0
    if stock is not None:
        cost = stock.issue(quantity)
        seq = stock.seq
        stock.reserved -= quantity
    start = line.shipped
    line.shipped += quantity
    line.reserved -= quantity
    line.touched = True
    if line.at_delivery:
        line.on_way += quantity
        line.on_way_value += cost
    return Part(line, stock, start, line.shipped, cost, seq, True)


class Confirmed(NamedTuple):
    """The answer to a warehouse that says what has left. `refusal` and `wait` are reasons; either: nothing changed."""

    leaving: Sequence[tuple[Line, int]] = ()
    back_again: Sequence[tuple[Line, int]] = ()  # Cancelled, yet it left: the stop is taken back.
    wait: str = ""
    refusal: str = ""
    detail: str = ""


def confirm(lines: Mapping[int, Line], warehouse: str, said: Iterable[tuple[int, int]] | None) -> Confirmed:
    """Check a confirmation against what is reserved in that warehouse; `said` None means all that is reserved there.

    A quantity that is still back-ordered makes the confirmation wait. One that was cancelled out of a reservation has
    left all the same: what is true in the yard is booked, and the cancellation was too late for it.
    """
    here = {line.line_no: line for line in lines.values() if not line.service and line.warehouse == warehouse}
    leaving: list[tuple[Line, int]] = []
    back_again: list[tuple[Line, int]] = []
    if said is None:
        leaving = [(line, line.reserved) for line in here.values() if line.reserved]
        if leaving:
            return Confirmed(leaving)
        if any(line.back_ordered for line in here.values()):
            return Confirmed(wait="not_reserved_yet")
        return Confirmed(refusal="nothing_reserved", detail=f"Nothing is reserved for it in warehouse {warehouse}.")
    totals: dict[int, int] = {}
    for line_no, quantity in said:
        totals[line_no] = totals.get(line_no, 0) + quantity
    for line_no, quantity in totals.items():
        line = here.get(line_no)
        if line is None:
            return Confirmed(refusal="unknown_line", detail=f"Line {line_no} has no goods in warehouse {warehouse}.")
        missing = quantity - line.reserved
        if missing > 0:
            if missing <= line.back_ordered:
                return Confirmed(wait="not_reserved_yet")
            if line.back_ordered or missing > line.reserved_stopped:
                return Confirmed(
                    refusal="above_reserved",
                    detail=f"Line {line_no}: {pieces(quantity)} left, {pieces(line.reserved)} is reserved.",
                )
            back_again.append((line, missing))
        leaving.append((line, quantity))
    return Confirmed(leaving, back_again)


def take_stops_back(back_again: Iterable[tuple[Line, int]]) -> list[Stop]:
    """Cancelled goods left all the same: they are reserved again (and leave in the same breath), too late to stop."""
    stops = []
    for line, quantity in back_again:
        line.stopped -= quantity
        line.reserved_stopped -= quantity
        line.reserved += quantity
        line.touched = True
        if line.stock is not None:
            line.stock.reserved += quantity
            line.stock.touched = True
        stops.append(Stop(line, 0, -quantity, quantity))
    return stops
