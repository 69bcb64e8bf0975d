"""Who gets which stock: the sums that hold whatever happens."""

from hypothesis import given
from hypothesis import strategies as st
from tieout.inventory import domain
from tieout.inventory.domain import Line
from tieout.inventory.valuation import Stock

POLICY = st.sampled_from(["refuse", "back_order", "allow_negative"])


class Placed:
    """A new order's line, as small as `allocate` needs it."""

    def __init__(self, line_no: int, quantity_micro: int) -> None:
        self.line_no = line_no
        self.quantity_micro = quantity_micro


def shelf(policy: str = "refuse", auto: bool = False, on_hand: int = 0) -> Stock:
    stock = Stock(1, "C1", "MAIN", "A", policy, auto)
    if on_hand:
        stock.receive(on_hand, on_hand * 10)
    return stock


@given(
    policies=st.tuples(POLICY, POLICY),
    autos=st.tuples(st.booleans(), st.booleans()),
    on_hand=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    orders=st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=4), max_size=8),
)
def test_every_quantity_leaves_is_promised_waits_or_is_refused_and_never_more_than_there_is(
    policies: tuple[str, str],
    autos: tuple[bool, bool],
    on_hand: tuple[int, int],
    orders: list[list[tuple[int, int]]],
) -> None:
    shelves = [shelf(p, a, q) for p, a, q in zip(policies, autos, on_hand, strict=True)]
    for order in orders:
        lines = [Placed(n, quantity) for n, (_, quantity) in enumerate(order, 1)]
        beside = [shelves[where] if where < 2 else None for where, _ in order]  # 2: a service.
        before = [(s.on_hand, s.reserved, s.back_ordered, s.value) for s in shelves]
        decided = domain.allocate(lines, beside)  # type: ignore[arg-type]
        if decided.short:
            assert all(stock.policy == "refuse" for stock in decided.short)
            assert before == [(s.on_hand, s.reserved, s.back_ordered, s.value) for s in shelves]
            continue
        for line in lines:
            left = sum(p.end - p.start for p in decided.parts if p.line is line)
            held = sum(h.reserved + h.back_ordered for h in decided.holds if h.line is line)
            assert left + held == line.quantity_micro
        services = [line for line, stock in zip(lines, beside, strict=True) if stock is None]
        gone = [p.line for p in decided.parts]
        goods_left = any(p.stock is not None for p in decided.parts)
        if services and len(services) < len(lines):
            assert all((service in gone) == goods_left for service in services)
        for stock in shelves:
            assert stock.reserved >= 0
            if stock.policy != "allow_negative":
                assert stock.free >= 0
            if stock.back_ordered:
                assert stock.free <= 0 or stock.policy != "back_order"


@given(
    quantities=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    arriving=st.lists(st.integers(1, 15), max_size=4),
    cancels=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), max_size=4),
    confirms=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), max_size=6),
    data=st.data(),
)
def test_a_line_is_always_the_sum_of_what_became_of_it(
    quantities: list[int],
    arriving: list[int],
    cancels: list[tuple[int, int]],
    confirms: list[tuple[int, int]],
    data: st.DataObject,
) -> None:
    """Receipts, cancellations and confirmations in any order: ordered - stopped = shipped + reserved + back-ordered."""
    stock = shelf("back_order")
    lines = {n: Line(n, quantity, stock, back_ordered=quantity) for n, quantity in enumerate(quantities, 1)}
    stock.back_ordered = sum(quantities)
    steps = (
        [("arrive", 0, q) for q in arriving] + [("cancel", *c) for c in cancels] + [("confirm", *c) for c in confirms]
    )
    stopped = 0
    for what, index, quantity in data.draw(st.permutations(steps)):
        line_no = index % len(lines) + 1
        if what == "arrive":
            stock.receive(quantity, quantity)
            domain.serve(stock, lines.values())
        elif what == "cancel":
            stops = domain.cancel(lines, [(line_no, quantity)])
            stopped += sum(s.back_ordered + s.reserved for s in stops)
            domain.serve(stock, lines.values())
        else:
            answer = domain.confirm(lines, "MAIN", [(line_no, quantity)])
            if answer.leaving:
                stops = domain.take_stops_back(answer.back_again)
                stopped += sum(s.reserved for s in stops)
                domain.ship(answer.leaving, lines.values())
        for line in lines.values():
            assert line.quantity_micro - line.stopped == line.shipped + line.reserved + line.back_ordered
            assert min(line.shipped, line.reserved, line.back_ordered, line.stopped) >= 0
        assert stock.reserved == sum(line.reserved for line in lines.values())
        assert stock.back_ordered == sum(line.back_ordered for line in lines.values())
        assert stopped == sum(line.stopped for line in lines.values())


def test_a_refused_order_does_not_starve_the_one_behind_it() -> None:
    stock = shelf("refuse", True, 3)
    assert domain.allocate([Placed(1, 4)], [stock]).short  # type: ignore[list-item]
    assert not domain.allocate([Placed(1, 3)], [stock]).short  # type: ignore[list-item]


def test_a_cancellation_never_stops_more_than_is_there_and_never_twice() -> None:
    line = Line(1, 5, shelf(), back_ordered=1, reserved=2, shipped=2)
    assert line.stock is not None
    line.stock.reserved, line.stock.back_ordered = 2, 1
    (stop,) = domain.cancel({1: line}, [(1, 9)])
    assert (stop.back_ordered, stop.reserved, stop.too_late) == (1, 2, 2)
    (stop,) = domain.cancel({1: line}, None)
    assert (stop.back_ordered, stop.reserved, stop.too_late) == (0, 0, 2)
