"""Which difference is what: in flight, parked, dead, or unexplained."""

from array import array

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tieout.contracts.agreement import MEASURES, Book, CurrencySum, DigestEntry, HeldLine, Measure, Row, Touch
from tieout.contracts.control import BookSide, MeasureResult
from tieout.control.domain.agreement import (
    NEVER,
    BookRows,
    Context,
    Explanation,
    Floor,
    by_position,
    caught_up,
    cause_of,
    differing_leaves,
    differing_positions,
    line_differences,
    same_money,
    state_of,
    surplus,
    totals_equal,
    unequal_positions,
    verdict_of,
)
from tieout.control.domain.causes import Evidence, explain
from tieout.control.domain.repairs import held, plan
from tieout.control.domain.verdicts import sentence

PRODUCER = Book("inventory", "shipped_line")
FINANCE = Book("finance", "billed_quantity", ("finance-bill-shipments",))
ORDER = Book("order", "shipped_line", ("order-note-inventory",))
SHIPPED = Measure(4, "shipped", "shipped quantity", "发货数量", "inventory", ("quantity_micro", ""), (), "")


def rows(*given: tuple[int, int, int]) -> dict[int, dict[int, Row]]:
    return by_position(
        Row(position, line, f"chain-{position}", f"{1000 + position}", a, 0) for position, line, a in given
    )


def context(finance: int = NEVER, order: int = NEVER, **sequences: int) -> Context:
    return Context(
        floors={"finance-bill-shipments": Floor(finance), "order-note-inventory": Floor(order)},
        sequences={int(key.lstrip("p")): value for key, value in sequences.items()},
    )


def books(
    finance: dict[int, dict[int, Row]],
    produced: dict[int, dict[int, Row]],
    *,
    parked: frozenset[int] = frozenset(),
    dead: frozenset[int] = frozenset(),
) -> list[BookRows]:
    return [BookRows(PRODUCER, produced), BookRows(FINANCE, finance, parked, dead)]


def test_an_event_above_the_floor_that_a_book_does_not_have_is_in_flight() -> None:
    assert cause_of(7, books({}, rows((7, 1, 5))), context(finance=99, p7=100)) == "in_flight"


def test_an_event_that_the_consumer_has_confirmed_and_does_not_have_differs() -> None:
    assert cause_of(7, books({}, rows((7, 1, 5))), context(finance=100, p7=100)) == "differs"


def test_an_event_that_is_there_in_part_is_never_excused() -> None:
    both = books(rows((7, 1, 5)), rows((7, 1, 5), (7, 2, 6)))
    assert unequal_positions(both) == [7]
    assert cause_of(7, both, context(finance=0, p7=100)) == "differs"


def test_a_row_that_the_producer_does_not_have_differs_even_above_the_floor() -> None:
    assert cause_of(7, books(rows((7, 1, 5)), {}), context(finance=0, p7=100)) == "differs"


def test_a_position_that_was_never_announced_is_not_in_flight() -> None:
    assert cause_of(7, books({}, rows((7, 1, 5))), context(finance=0)) == "differs"


def test_a_parked_event_waits_for_its_partner() -> None:
    assert cause_of(7, books({}, rows((7, 1, 5)), parked=frozenset({7})), context(p7=1)) == "parked"


def test_a_dead_event_is_told_as_dead_also_while_another_book_has_it_in_flight() -> None:
    three = [*books({}, rows((7, 1, 5)), dead=frozenset({7})), BookRows(ORDER, {})]
    assert cause_of(7, three, context(order=3, p7=9)) == "dead"


def test_a_book_with_other_values_differs_while_a_third_one_is_in_flight() -> None:
    three = [*books(rows((7, 1, 6)), rows((7, 1, 5))), BookRows(ORDER, {})]
    assert cause_of(7, three, context(order=3, p7=9)) == "differs"


def test_only_the_consumer_that_hears_the_type_can_excuse_an_absent_event() -> None:
    book = Book("finance", "stock_value", ("finance-bill-shipments", "finance-post-stock"))
    sides = [BookRows(PRODUCER, rows((7, 1, 5))), BookRows(book, {})]
    subjects = {
        "finance-bill-shipments": ("inventory.shipped.v1",),
        "finance-post-stock": ("inventory.received.v1",),
    }
    floors = {"finance-bill-shipments": Floor(NEVER), "finance-post-stock": Floor(1)}
    shipped = Context(floors, {7: 9}, {7: "inventory.shipped.v1"}, subjects)
    received = Context(floors, {7: 9}, {7: "inventory.received.v1"}, subjects)
    assert cause_of(7, sides, shipped) == "differs"
    assert cause_of(7, sides, received) == "in_flight"


def test_the_differing_lines_are_named_with_the_values_of_each_book() -> None:
    both = books(rows((7, 1, 5), (7, 2, 9)), rows((7, 1, 5), (7, 2, 6), (7, 3, 1)))
    found = line_differences(SHIPPED, 7, Explanation("unknown", "replay", "", ""), both)
    assert [(d.line_no, d.order_no, [(s.present, s.a) for s in d.sides]) for d in found] == [
        (2, "1007", [(True, 6), (True, 9)]),
        (3, "1007", [(True, 1), (False, 0)]),
    ]


def test_a_row_that_no_event_has_is_named_with_its_book_and_reversed_there() -> None:
    """A service's own role wrote it, so no hand was seen; the source and another book know nothing of it."""
    rest, more = rows((7, 1, 5)), rows((7, 1, 5), (7, 99, 3))
    three = [BookRows(PRODUCER, rest), BookRows(FINANCE, rest), BookRows(ORDER, more)]
    told = explain(SHIPPED, 7, "differs", three, context(p7=9), Evidence())
    assert (told.cause, told.service, told.surplus) == ("edited_by_hand", "order", True)
    assert told.why == "no event has line 99 of order's shipped_line at position 7: written with the service's own role"
    measure = replace(SHIPPED, books=(PRODUCER, FINANCE, ORDER))
    (step,) = plan(line_differences(measure, 7, told, three), {"shipped": measure}, 200)
    assert (step.service, step.book, step.runs, step.positions) == ("order", "shipped_line", True, (7,))
    assert (step.surplus, step.title) == (True, "reverse in order's shipped_line what no event has")
    assert held(step, line_differences(measure, 7, told, three)) == (HeldLine(7, 99, True, 3, 0),)


def test_a_row_more_is_named_as_that_only_where_two_books_and_their_source_say_so() -> None:
    rest, more, other = rows((7, 1, 5)), rows((7, 1, 5), (7, 99, 3)), rows((7, 1, 6), (7, 99, 3))
    for produced, finance, order in (
        (more, rest, rest),  # The source may be right, and both others short of it.
        (rest, rest, other),  # Another value as well.
        (rest, more, more),
        (rows(), rows(), more),  # No such event at all: missing at its source.
    ):
        three = [BookRows(PRODUCER, produced), BookRows(FINANCE, finance), BookRows(ORDER, order)]
        assert surplus(7, three) is None
    assert surplus(7, [BookRows(PRODUCER, rest), BookRows(FINANCE, more)]) is None
    hand = Touch(7, 1, "UPDATE", "order_owner", "", counted=True)
    three = [BookRows(PRODUCER, rest), BookRows(FINANCE, rest), BookRows(ORDER, more)]
    seen = explain(SHIPPED, 7, "differs", three, context(p7=9), Evidence(touches={7: [("order", hand)]}))
    assert not seen.surplus  # A hand was seen: it is reversed.


def test_a_book_without_rows_equals_zeros_and_a_cancelled_out_leaf() -> None:
    assert totals_equal([None, DigestEntry(-1, 0, 0, 0, "0")])
    assert not totals_equal([None, DigestEntry(-1, 0, 0, 0, "12")])  # Hash left over: rows that cancel in the sums.
    assert differing_leaves([{0: DigestEntry(0, 0, 0, 0, "0")}, {}]) == []
    assert differing_leaves([{0: DigestEntry(0, 1, 5, 0, "7")}, {}]) == [0]


def test_a_floor_without_work_left_is_above_everything() -> None:
    assert Floor.of(3, waiting=0, unacked=0).sequence == NEVER
    assert Floor.of(3, waiting=1, unacked=0).sequence == 3
    assert caught_up(FINANCE, {"finance-bill-shipments": Floor(5)}, 5)
    assert not caught_up(FINANCE, {"finance-bill-shipments": Floor(4)}, 5)
    assert not caught_up(FINANCE, {}, 0)  # A consumer that does not exist has confirmed nothing.
    assert caught_up(PRODUCER, {}, 5)


def test_a_dead_message_makes_the_books_differ_and_a_parked_one_leaves_them_open() -> None:
    assert state_of(differing=0, dead=1, in_flight=0, parked=0) == "differ"
    assert state_of(differing=0, dead=0, in_flight=0, parked=1) == "open"
    assert state_of(differing=0, dead=0, in_flight=0, parked=0) == "agree"
    assert verdict_of(["agree", "open"], 0, ()) == "open"
    assert verdict_of(["agree", "open"], 1, ()) == "differ"
    assert verdict_of(["agree"], 0, ("finance",)) == "open"
    assert verdict_of(["agree"], 0, (), unpublished=8) == "open"


def test_the_verdict_is_told_in_english_and_in_chinese() -> None:
    assert sentence("agree", (), 0, ()) == ("Orders, stock and books agree.", "订单、库存与账簿一致。")
    assert sentence("agree", (), 0, (), unlooked=("finance", "order")) == (
        "Orders, stock and books agree; the balances of finance, order were not checked against their facts since the "
        "start.",
        "订单、库存与账簿一致；finance、order 的余额自启动以来尚未与明细核对。",
    )
    assert sentence("agree", (), 0, (), missing_streams=("ORDER",)) == (
        "Orders, stock and books agree; the hub has no stream ORDER.",
        "订单、库存与账簿一致；消息服务器上没有流 ORDER。",
    )
    assert sentence("differ", (), 3, (), by_hand=2) == (
        "The books differ. 1 kept balance is not the sum of its facts; 2 traces of changes by hand.",
        "账簿不一致。1 个余额与其明细合计不符；2 处手工改动的痕迹。",
    )
    assert sentence("differ", (), 1, (), by_hand=1)[0] == "The books differ. 1 trace of changes by hand."
    given_up, given_up_zh = sentence("open", (), 0, (), given_up=("finance a", "finance b", "order c", "order d"))
    assert given_up.endswith("not checked: finance a, finance b, order c and 1 more.")
    assert given_up_zh.endswith("未能核对：finance a、finance b、order c 等 4 项。")
    found = MeasureResult(
        4, "shipped", "shipped", "发货数量", "inventory", ("", ""), "differ", 7, 7, (), 2, 1, 3, differing=2, digests=1
    )
    noted = replace(found, note="a digest that is not its rows", note_zh="摘要与其明细不符")
    assert sentence("differ", (noted,), 1, ("finance",), 8, unchecked=("order",), unlooked=("order",), shown=9) == (
        "The books differ. shipped: 1 event with different values; shipped: a digest that is not its rows; shipped: 3 "
        "messages in the dead letters; 1 kept balance is not the sum of its facts; 2 events still on the way; 1 event "
        "waiting for a partner document; 8 events committed that the broker has not taken; no answer from finance; the "
        "balances of order are not checked against their facts yet. The balances of order were not checked against "
        "their facts since the start.",
        "账簿不一致。发货数量：1 个事件的数值不同；发货数量：摘要与其明细不符；发货数量：3 条消息在死信中；"
        "1 个余额与其明细合计不符；2 个事件在途；1 个事件等待前置单据；8 个事件已提交，但消息服务器尚未接收；"
        "finance 没有应答；order 的余额尚未与明细核对。order 的余额自启动以来尚未与明细核对。",
    )
    short, short_zh = sentence("open", (), 0, ("finance",), 8, unchecked=("order",), shown=1)
    assert short.endswith("the broker has not taken, and 2 more.")
    assert short_zh.endswith("消息服务器尚未接收，另有 2 项。")


def test_every_contracted_measure_can_be_caught_up() -> None:
    floors = {durable: Floor(NEVER) for m in MEASURES for b in m.books for durable in b.durables}
    assert all(caught_up(book, floors, 1) for measure in MEASURES for book in measure.books)


@given(
    st.dictionaries(st.integers(256, 767), st.integers(1, 3)), st.dictionaries(st.integers(256, 767), st.integers(1, 3))
)
def test_positions_differ_where_their_hashes_do(one: dict[int, int], other: dict[int, int]) -> None:
    sides = [array("q", [held.get(position, 0) for position in range(256, 768)]) for held in (one, other)]
    assert differing_positions((1, 2), sides) == [p for p in range(256, 768) if one.get(p) != other.get(p)]


EVENTS = st.dictionaries(st.integers(1, 20), st.integers(1, 9), min_size=1)


@given(EVENTS, st.integers(0, 25), st.sets(st.integers(1, 20)))
def test_a_book_that_follows_honestly_never_differs(produced: dict[int, int], floor: int, ahead: set[int]) -> None:
    """Sequence equals position here: what is at or below the floor is there, what is above it may be."""
    whole = rows(*((position, 1, value) for position, value in produced.items()))
    followed = {position: lines for position, lines in whole.items() if position <= floor or position in ahead}
    sides = books(followed, whole)
    known = Context({"finance-bill-shipments": Floor(floor)}, {position: position for position in produced})
    assert {cause_of(position, sides, known) for position in unequal_positions(sides)} <= {"in_flight"}


@given(EVENTS, st.data())
def test_every_edit_below_the_floor_is_found(produced: dict[int, int], data: st.DataObject) -> None:
    whole = rows(*((position, 1, value) for position, value in produced.items()))
    victim = data.draw(st.sampled_from(sorted(produced)))
    edited = dict(whole)
    match data.draw(st.sampled_from(["update", "delete", "insert"])):
        case "update":
            edited |= rows((victim, 1, produced[victim] + 1))
        case "delete":
            del edited[victim]
        case _:
            edited |= rows((victim, 1, produced[victim]), (victim, 2, 1))
    sides = books(edited, whole)
    known = Context({"finance-bill-shipments": Floor(100)}, {position: position for position in produced})
    assert [(p, cause_of(p, sides, known)) for p in unequal_positions(sides)] == [(victim, "differs")]


def test_equal_totals_of_unequal_money_do_not_agree() -> None:
    def side(*sums: tuple[str, int]) -> BookSide:
        told = tuple(CurrencySum(currency, 1, 0, minor) for currency, minor in sums)
        return BookSide("order", "book", 2, 0, sum(minor for _, minor in sums), told)

    assert same_money([side(("CNY", 10), ("EUR", 5)), side(("EUR", 5), ("CNY", 10), ("USD", 0))])
    assert not same_money([side(("CNY", 10), ("EUR", 5)), side(("CNY", 5), ("EUR", 10))])
    assert same_money([side(("CNY", 15)), BookSide("finance", "book", 2, 0, 15)])  # It cannot say.
    assert same_money([side(("CNY", 15)), side(("CNY", 10), ("", 5))])  # Nor whose these 5 are.
