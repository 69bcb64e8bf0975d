"""The rules of a sales order, as sentences."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tieout.contracts.event import order_id
from tieout.contracts.order import CancelLine, CreditLine, SubmitCredit
from tieout.order import domain
from tieout.order.domain import Conditional, Known, LineBalance, OrderBalance

ONE = 1_000_000
ORDER = order_id("C1", "shop", "1001")
OTHER = order_id("C1", "shop", "1002")


def order(*lines: LineBalance, id: UUID = ORDER, number: str = "1001") -> OrderBalance:
    return OrderBalance(id, 1, "C1", number, "CNY", ONE, dict(enumerate(lines, 1)))


def sold(quantity: int, net: int, tax: int = 0, shipped: int = 0, sku: str = "A", **sums: int) -> LineBalance:
    line = LineBalance(sku, quantity, net, tax, **sums)
    line.shipped_micro = shipped
    line.billed_net_minor = domain.portion(net, shipped, quantity)
    line.billed_tax_minor = domain.portion(tax, shipped, quantity)
    return line


def credit(*lines: CreditLine, number: str = "1001", currency: str = "CNY") -> SubmitCredit:
    return SubmitCredit(
        intake_id=UUID(int=1),
        company="C1",
        source="shop",
        number="R1",
        version="1",
        fingerprint="f",
        customer="K1",
        currency=currency,
        occurred_at=datetime(2026, 11, 1, tzinfo=UTC),
        zone="Asia/Shanghai",
        business_date=date(2026, 11, 1),
        lines=lines,
        order_number=number,
    )


def back(quantity: int, net: int, tax: int = 0, line: int = 1, restock: str = "yes", **more: object) -> CreditLine:
    given = {"line_no": 1, "sku": "A", **more}
    return CreditLine(
        quantity_micro=quantity, net_minor=net, tax_minor=tax, order_line_no=line, restock=restock, **given
    )  # type: ignore[arg-type]


def judge(document: SubmitCredit, *orders: OrderBalance) -> domain.CreditDecision:
    return domain.judge_credit(document, domain.linked_orders(document), {o.order_id: o for o in orders})


# ------------------------------------------------------------------------------------------------------- parts


def test_half_a_minor_unit_is_rounded_up():
    assert domain.portion(1, 1, 2) == 1
    assert domain.portion(100, 1, 3) == 33
    assert domain.portion(100, 2, 3) == 67


@given(
    amount=st.integers(0, 10**15),
    cuts=st.lists(st.integers(1, 10**12), min_size=1, max_size=8),
    shuffle=st.randoms(use_true_random=False),
)
def test_parts_of_a_line_add_up_to_the_line_in_any_order(amount, cuts, shuffle):
    whole = sum(cuts)
    ends = [sum(cuts[: i + 1]) for i in range(len(cuts))]
    parts = [domain.part(amount, end - cut, end, whole) for cut, end in zip(cuts, ends, strict=True)]
    shuffle.shuffle(parts)
    assert sum(parts) == amount
    assert all(part >= 0 for part in parts)


# --------------------------------------------------------------------------------------------------- documents


def test_the_same_content_again_is_no_conflict_whatever_its_version():
    assert domain.judge_repeat(Known("1", "abc"), "1", "abc") is None
    assert domain.judge_repeat(Known("1", "abc"), "2", "abc") is None


@pytest.mark.parametrize("version", ["1", "2"])
def test_other_content_under_the_same_number_is_a_conflict(version):
    conflict = domain.judge_repeat(Known("1", "abc"), version, "xyz")
    assert conflict is not None
    assert conflict.reason == "other_content"


def test_a_free_order_is_a_sample_and_a_free_line_beside_priced_ones_is_not():
    assert domain.cost_account_of(0) == "sample"
    assert domain.cost_account_of(1) == "cogs"


# ---------------------------------------------------------------------------------------------------- statuses


@st.composite
def lines(draw):
    """A line after any sequence of facts that inventory may announce."""
    quantity = draw(st.integers(1, 1000))
    pieces = sorted(draw(st.lists(st.integers(0, quantity), min_size=5, max_size=5)))
    refused, cancelled, shipped, reserved, back_ordered = (b - a for a, b in zip([0, *pieces[:4]], pieces, strict=True))
    line = sold(quantity, draw(st.integers(0, 10_000)), draw(st.integers(0, 2_000)), shipped)
    line.refused_micro, line.cancelled_micro = refused, cancelled
    line.reserved_micro, line.back_ordered_micro = reserved, back_ordered
    return line


@given(lines())
def test_ordered_is_always_stopped_shipped_reserved_back_ordered_and_unallocated(line):
    assert line.unallocated_micro >= 0
    assert line.ordered_micro - line.cancelled_micro - line.refused_micro == (
        line.shipped_micro + line.reserved_micro + line.back_ordered_micro + line.unallocated_micro
    )


@given(st.lists(lines(), min_size=1, max_size=4), st.integers(0, 50_000))
def test_an_order_is_complete_only_when_nothing_is_open_and_nothing_is_owed(balances, paid):
    it = order(*balances)
    it.received_minor = paid
    settled = it.billed_minor == paid
    allocated = all(x.unallocated_micro == x.reserved_micro == x.back_ordered_micro == 0 for x in balances)
    assert domain.is_complete(it) == (settled and allocated)
    if domain.is_complete(it):
        assert domain.fulfilment_of(it) in ("shipped", "closed_short")


def test_the_three_statuses_are_independent_of_each_other():
    it = order(sold(4 * ONE, 400, 52, shipped=2 * ONE))
    assert (domain.fulfilment_of(it), domain.billing_of(it), domain.payment_of(it)) == (
        "part_shipped",
        "part_billed",
        "unpaid",
    )
    it.received_minor = 226
    assert domain.payment_of(it) == "paid"
    it.lines[1].cancelled_micro = 2 * ONE
    assert (domain.fulfilment_of(it), domain.billing_of(it)) == ("closed_short", "billed")
    it.lines[1].credited_net_minor, it.lines[1].credited_tax_minor = 200, 26
    assert (domain.billing_of(it), domain.payment_of(it)) == ("credited", "overpaid")
    it.refunded_minor = it.came_minor = it.went_minor = 226
    assert domain.payment_of(it) == "refunded"


def test_a_back_order_is_told_before_a_reservation():
    it = order(sold(ONE, 1, reserved_micro=ONE), sold(ONE, 1, back_ordered_micro=ONE))
    assert domain.fulfilment_of(it) == "back_ordered"
    assert domain.fulfilment_of(order(sold(ONE, 1, reserved_micro=ONE))) == "reserved"
    assert domain.fulfilment_of(order(sold(ONE, 1))) == "open"


# ----------------------------------------------------------------------------------------------- cancellations


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ([CancelLine(9, ONE)], "unknown_line"),
        ([CancelLine(1, 3 * ONE)], "above_ordered"),
        ([CancelLine(1, ONE), CancelLine(1, ONE)], "repeated_line"),
    ],
)
def test_a_cancellation_that_its_order_cannot_bear_is_a_conflict(wish, reason):
    conflict = domain.judge_cancellation(wish, {1: 2 * ONE})
    assert conflict is not None
    assert conflict.reason == reason


def test_a_cancellation_of_everything_names_no_lines():
    assert domain.judge_cancellation([], {1: ONE}) is None


# ----------------------------------------------------------------------------------------------------- credits


def test_a_linked_credit_within_what_was_shipped_and_billed_is_accepted():
    decision = judge(credit(back(ONE, 100, 13)), order(sold(3 * ONE, 300, 39, shipped=3 * ONE)))
    (line,) = decision.returned
    assert (line.order_id, line.order_line_no, line.quantity_micro, line.restock) == (ORDER, 1, ONE, True)
    assert decision.conflict is None


def test_a_credit_whose_sale_is_unknown_waits_for_it():
    assert judge(credit(back(ONE, 100))).waits_for == ORDER


def test_a_credit_whose_sale_has_not_shipped_far_enough_waits():
    sale = order(sold(3 * ONE, 300, shipped=ONE))
    assert judge(credit(back(2 * ONE, 200)), sale).waits_for == ORDER
    assert sale.lines[1].credited_micro == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (back(4 * ONE, 300), "above_shipped"),
        (back(ONE, 301), "above_billed"),
        (back(ONE, 10, 1), "above_billed"),
        (back(ONE, 1, line=7), "unknown_line"),
        (back(ONE, 1, sku="B"), "other_sku"),
        (back(ONE, 1, line=0), "line_not_named"),
        (back(0, 301, line=0, restock="no"), "above_billed"),
    ],
)
def test_a_credit_that_can_never_fit_is_a_conflict_and_changes_nothing(line, reason):
    sale = order(sold(3 * ONE, 300, 0, shipped=ONE))
    decision = judge(credit(line), sale)
    assert decision.conflict is not None
    assert decision.conflict.reason == reason
    assert sale.credited_minor == 0


def test_a_credit_for_what_was_stopped_can_never_fit():
    sale = order(sold(3 * ONE, 300, shipped=ONE, cancelled_micro=2 * ONE))
    decision = judge(credit(back(2 * ONE, 200)), sale)
    assert decision.conflict is not None
    assert decision.conflict.reason == "above_shipped"


def test_a_credit_that_is_too_much_says_how_much_its_line_can_bear():
    sale = order(sold(3 * ONE, 300, 39, shipped=3 * ONE))
    told = judge(credit(back(4 * ONE, 100)), sale).conflict
    assert "can bear 3 more, not 4" in told.detail
    told = judge(credit(back(ONE, 301)), sale).conflict
    assert "3.00 CNY net and 0.39 CNY tax more, not 3.01 CNY and 0.00 CNY" in told.detail


def test_a_credit_in_another_currency_is_a_conflict():
    decision = judge(credit(back(ONE, 1), currency="EUR"), order(sold(ONE, 1, shipped=ONE)))
    assert decision.conflict is not None
    assert decision.conflict.reason == "other_currency"


def test_two_lines_of_one_credit_on_the_same_order_line_are_one_demand():
    sale = order(sold(3 * ONE, 300, shipped=3 * ONE))
    decision = judge(credit(back(2 * ONE, 200), back(2 * ONE, 100, line_no=2)), sale)
    assert decision.conflict is not None
    assert decision.conflict.reason == "above_shipped"


def test_the_second_credit_of_a_batch_sees_the_first():
    sale = order(sold(3 * ONE, 300, shipped=3 * ONE))
    assert judge(credit(back(2 * ONE, 200)), sale).returned
    assert judge(credit(back(2 * ONE, 100)), sale).conflict is not None


def test_one_credit_may_link_to_several_orders_or_to_none():
    first = order(sold(ONE, 100, shipped=ONE))
    second = order(sold(ONE, 100, shipped=ONE), id=OTHER, number="1002")
    lines = (back(ONE, 100), back(ONE, 100, line_no=2, order_number="1002"))
    assert [x.order_id for x in judge(credit(*lines), first, second).returned] == [ORDER, OTHER]
    unlinked = judge(credit(back(ONE, 100, line=0), number=""))
    assert [x.order_id for x in unlinked.returned] == [None]
    assert unlinked.returned[0].restock


def test_an_allowance_names_the_order_and_no_line():
    sale = order(sold(ONE, 100, shipped=ONE))
    decision = judge(credit(back(0, 20, line=0, restock="no", sku="ALLOWANCE")), sale)
    assert decision.returned[0].order_id == ORDER
    assert sale.loose_credit_minor == 20
    assert judge(credit(back(ONE, 100)), sale).conflict is not None, "100 + 20 is more than was billed"


def test_what_had_not_left_is_asked_to_be_stopped_and_what_had_is_returned():
    sale = order(sold(3 * ONE, 300, 30, shipped=ONE))
    decision = judge(credit(back(3 * ONE, 300, 30, restock="if_fulfilled")), sale)
    (line,) = decision.returned
    assert (line.quantity_micro, line.net_minor, line.tax_minor, line.restock) == (ONE, 100, 10, True)
    ((where, part),) = decision.conditional
    assert (where, part.credited_micro, part.asked_micro) == (ORDER, ONE, 2 * ONE)


def test_what_was_too_late_to_stop_comes_back_as_a_credit_once_its_shipment_is_noted():
    line = back(3 * ONE, 300, restock="if_fulfilled")
    waiting = Conditional(line, credited_micro=0, asked_micro=3 * ONE)
    assert domain.late_return(waiting, 3 * ONE, order(sold(3 * ONE, 300))) == "later"
    late = domain.late_return(waiting, 2 * ONE, order(sold(3 * ONE, 300, shipped=2 * ONE, cancelled_micro=ONE)))
    assert late is not None
    assert late != "later"
    assert (late.quantity_micro, late.net_minor, late.restock) == (2 * ONE, 200, True)


@given(
    quantity=st.integers(1, 50),
    net=st.integers(0, 10_000),
    shipped=st.integers(0, 50),
    stopped=st.integers(0, 50),
    wishes=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 10_000), st.sampled_from(["yes", "no", "if_fulfilled"])),
        max_size=6,
    ),
)
def test_credited_never_exceeds_billed_and_returned_never_exceeds_shipped(quantity, net, shipped, stopped, wishes):
    shipped = min(shipped, quantity)
    sale = order(sold(quantity, net, shipped=shipped, cancelled_micro=min(stopped, quantity - shipped)))
    line = sale.lines[1]
    for wanted, amount, restock in wishes:
        decision = judge(credit(back(wanted, amount, restock=restock)), sale)
        outcomes = (decision.conflict, decision.waits_for, decision.returned or decision.conditional or None)
        assert sum(outcome is not None for outcome in outcomes) == 1
        assert line.credited_micro <= line.shipped_micro
        assert line.credited_net_minor <= line.billed_net_minor
        if line.open_micro == 0:
            assert decision.waits_for is None, "nothing will come that it could wait for"


@given(
    asked=st.integers(1, 20),
    stopped=st.integers(0, 20),
    before=st.integers(0, 20),
    net=st.integers(0, 1000),
)
def test_stopped_and_returned_parts_add_up_whenever_the_credit_came(asked, stopped, before, net):
    """Shopify's legacy_restock for a whole line: the goods either never leave or come back, at the credit's worth."""
    stopped, before = min(stopped, asked), min(before, asked - min(stopped, asked))
    sale = order(sold(asked, net, shipped=before))
    decision = judge(credit(back(asked, net, restock="if_fulfilled")), sale)
    credited = sum(line.net_minor for line in decision.returned)
    for _, part in decision.conditional:
        line = sale.lines[1]
        line.cancelled_micro, line.shipped_micro = stopped, asked - stopped
        line.billed_net_minor = domain.portion(net, asked - stopped, asked)
        late = domain.late_return(part, asked - stopped - before, sale)
        assert late != "later"
        credited += late.net_minor if late else 0
    assert credited == domain.portion(net, asked - stopped, asked)
