"""Payments, refunds, deposits: where the money stands, whatever came first."""

import itertools
from datetime import date
from uuid import UUID

import pytest
from tieout.contracts import finance
from tieout.contracts.operation import TrailRequest
from tieout.finance import claims
from tieout.finance.reads import trail
from tieout.servicekit import Refused
from tieout.servicekit.rehearsal import announced

BILLED = {"6001.01": -300, "2221.01.01": -39, "6401": 300, "1405": -300}


async def settled(desk) -> list[tuple[str, str, int]]:
    found = await desk.announced(finance.OrdersSettled)
    return [
        (event.cause, item.order_no, item.amount_minor) for event in found for item in event.items if item.amount_minor
    ]


async def test_a_payment_of_a_billed_order_settles_its_receivable(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(339, ("1001", 339), fee_minor=9))
    assert (await desk.vouchers())[-1] == ("T09", [("D", "1002", 330), ("D", "6603.02", 9), ("C", "1122", 339)])
    assert await settled(desk) == [("payment", "1001", 339)]
    assert await desk.balances() == {**BILLED, "1002": 330, "6603.02": 9}
    assert await desk.violations() == []


async def test_a_platform_has_its_own_account_and_its_fee_is_a_commission(desk):
    await desk.open(roles={"wallet:stripe": "1002"})
    await desk.give(
        desk.pay(100, number="P1", method="paypal", fee_minor=3), desk.pay(50, number="P2", method="stripe")
    )
    assert await desk.balances() == {"1012.01": 97, "6601.06": 3, "1002": 50, "2203": -150}


async def test_money_before_shipment_is_a_deposit_that_the_shipment_uses_up(desk):
    await desk.give(desk.placed(), desk.pay(339, ("1001", 339)))
    assert await desk.vouchers() == [("T11", [("D", "1002", 339), ("C", "2204", 300), ("C", "2221.06", 39)])]
    assert await settled(desk) == []
    await desk.give(desk.shipped(desk.part(0, 1)))
    assert (await desk.vouchers())[-1] == ("T11b", [("D", "2204", 100), ("D", "2221.06", 13), ("C", "1122", 113)])
    await desk.give(desk.shipped(desk.part(1, 3)))
    assert await settled(desk) == [("prepayment", "1001", 113), ("prepayment", "1001", 226)]
    assert await desk.balances() == {**BILLED, "1002": 339}
    assert await desk.violations() == []


async def test_what_an_order_cannot_cost_is_unapplied_cash(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(400, ("1001", 400)))
    assert (await desk.vouchers())[-1] == ("T10", [("D", "1002", 400), ("C", "1122", 339), ("C", "2203", 61)])
    assert await desk.violations() == []


async def test_money_for_an_order_that_nobody_knows_waits_in_2203(desk):
    await desk.give(desk.pay(339, ("1001", 339)))
    assert await desk.balances() == {"1002": 339, "2203": -339}
    await desk.give(desk.placed())
    assert await desk.balances() == {"1002": 339, "2204": -300, "2221.06": -39}
    assert [template for template, _ in await desk.vouchers()] == ["T10", "T11"]
    await desk.give(desk.shipped())
    assert await desk.balances() == {**BILLED, "1002": 339}
    assert await settled(desk) == [("prepayment", "1001", 339)]
    assert await desk.violations() == []


async def test_one_payment_for_several_orders_takes_the_first_named_first_where_no_amount_is_named(desk):
    await desk.give(
        desk.placed("1", due_days=60), desk.placed("2", due_days=10), desk.shipped(number="1"), desk.shipped(number="2")
    )
    await desk.give(desk.pay(400, "1", "2"))
    assert await settled(desk) == [("payment", "1", 339), ("payment", "2", 61)]
    assert await desk.violations() == []


async def test_a_payment_without_an_order_stays_with_its_customer_until_it_is_refunded(desk):
    await desk.give(desk.pay(100), desk.refund(40))
    assert await desk.balances() == {"1002": 60, "2203": -60}
    assert await settled(desk) == []
    assert await desk.violations() == []


async def test_a_refund_takes_unapplied_money_first_and_then_opens_the_receivable_again(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(400, ("1001", 400)), desk.refund(100, "1001", fee_minor=2))
    assert (await desk.vouchers())[-1] == (
        "T08",
        [("D", "6603.02", 2), ("D", "1122", 39), ("D", "2203", 61), ("C", "1002", 102)],
    )
    assert await settled(desk) == [("payment", "1001", 339), ("refund", "1001", -39)]
    assert await desk.violations() == []


async def test_the_same_document_again_is_a_duplicate_and_other_content_a_conflict(desk):
    first = desk.message(desk.pay(100, ("1001", 100)))
    await desk.give(first, first)
    await desk.give(first, desk.pay(100, ("1001", 100)), desk.pay(120, ("1001", 120), fingerprint="b" * 64))
    told = await desk.announced(finance.DocumentSettled)
    assert [(one.kind, one.outcome, one.reason, one.orders) for one in told] == [
        ("payment", "duplicate", "", ()),
        ("payment", "conflict", "other_content", ("1001",)),
    ]
    assert await desk.balances() == {"1002": 100, "2203": -100}
    assert await desk.rows("SELECT outcome FROM money_submission ORDER BY submitted_at, outcome") == [
        ("accepted",),
        ("conflict",),
        ("duplicate",),
    ]


async def test_the_books_show_what_was_handed_over_whatever_became_of_it(desk):
    first = desk.message(desk.pay(100, ("1001", 100)))
    await desk.give(first, desk.pay(100, ("1001", 100)), desk.pay(120, ("1001", 120), fingerprint="b" * 64))
    await desk.give(first, desk.refund(150, "1001"), desk.pay(100, number="P2", fee_minor=101))
    assert await desk.rows("SELECT position, amount_minor, outcome FROM money_submission ORDER BY position") == [
        (1, 100, "accepted"),
        (2, 100, "duplicate"),
        (3, 120, "conflict"),
        (4, 150, "accepted"),
        (5, 100, "conflict"),
    ]
    shown = "SELECT sum(n)::int, sum(a)::int, sum(b)::int FROM digest_delta WHERE book = 'money_submission'"
    assert await desk.rows(shown) == [(5, 570, 0)]


async def test_two_documents_of_one_number_in_one_batch_are_told_apart(desk):
    await desk.give(desk.refund(10, "1001"), desk.refund(11, "1001", fingerprint="b" * 64))
    assert await desk.balances() == {"1002": -10, "1122": 10}
    told = await desk.announced(finance.DocumentSettled)
    assert [(one.outcome, one.orders) for one in told] == [("conflict", ("1001",))] * 2
    assert await desk.violations() == []


async def test_allocations_or_a_fee_above_the_payment_are_a_conflict(desk):
    await desk.give(desk.pay(100, ("1", 70), ("2", 70)), desk.pay(100, number="P2", fee_minor=101))
    told, fee = await desk.announced(finance.DocumentSettled)
    assert (fee.reason, fee.detail) == (
        "impossible_amounts",
        "The fee of 101 exceeds the payment of 100. Correct one of them.",
    )
    assert (told.reason, told.detail) == (
        "impossible_amounts",
        "Allocations of 140 exceed the payment of 100. Correct one of them.",
    )
    assert await desk.vouchers() == []


async def test_money_in_another_currency_than_the_order_stays_unapplied(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(100, ("1001", 100), currency="USD", rate_micro=7_100_000))
    assert (await desk.balances())["1122"] == 339
    assert await desk.balances(currency="USD") == {"1002": 100, "2203": -100}
    assert await desk.violations() == []


async def test_a_payment_at_another_rate_than_its_order_leaves_a_realised_difference(desk):
    await desk.open("C2", "CNY")
    dollars = {"company": "C2", "currency": "USD", "cost_currency": "CNY", "rate_micro": 7_000_000}
    await desk.give(desk.shipped(desk.part(net=1000, tax=0, cost_minor=0), **dollars))
    await desk.give(desk.pay(1000, ("1001", 1000), company="C2", currency="USD", rate_micro=7_200_000))
    rows = await desk.rows(
        "SELECT role, side::text, amount_minor, functional_minor FROM voucher_line"
        " WHERE position = (SELECT max(position) FROM voucher) ORDER BY line_no"
    )
    assert rows == [("bank", "D", 1000, 7200), ("receivable", "C", 1000, 7000), ("fx_realised", "C", 0, 200)]
    assert await desk.violations() == []


async def test_three_words_number_receipts_payments_and_transfers_apart(desk):
    await desk.open(voucher_words="three")
    await desk.give(desk.shipped(), desk.pay(339, ("1001", 339)), desk.refund(1, "1001"))
    page = await desk.ask(finance.VOUCHERS)
    assert [voucher.voucher_no for voucher in reversed(page.vouchers)] == [
        "转-2026-11-000001",
        "收-2026-11-000001",
        "付-2026-11-000001",
    ]
    assert await desk.violations() == []


async def test_what_was_paid_for_a_refused_order_is_due_back(desk):
    await desk.give(desk.placed(), desk.pay(339, ("1001", 339)), desk.refused(3))
    assert (await desk.vouchers())[-1] == ("T03b", [("D", "2204", 300), ("D", "2221.06", 39), ("C", "2241.01", 339)])
    await desk.give(desk.refund(339, "1001"))
    assert (await desk.vouchers())[-1] == ("T08", [("D", "2241.01", 339), ("C", "1002", 339)])
    assert await desk.balances() == {}
    assert await desk.violations() == []


async def test_a_part_that_is_cancelled_is_worth_what_the_shipped_part_leaves(desk):
    stop = desk.message(desk.stopped(2))
    await desk.give(desk.placed(net=100, tax=10), desk.pay(110, ("1001", 110)), stop, stop)
    assert await desk.balances() == {"1002": 110, "2204": -33, "2221.06": -3, "2241.01": -74}
    await desk.give(stop, desk.shipped(desk.part(0, 1, net=100, tax=10)))
    assert (await desk.balances())["2241.01"] == -74
    assert "1122" not in await desk.balances()
    assert await desk.violations() == []


async def test_a_stop_that_overtakes_its_order_waits_for_it(desk):
    await desk.give(desk.stopped(1), desk.pay(339, ("1001", 339)))
    assert await desk.parked() == [("finance-release-deposits", str(desk.id()))]
    await desk.give(desk.placed())
    await desk.rows("UPDATE parked SET due_at = now()")
    await desk.give()
    assert await desk.balances() == {"1002": 339, "2204": -200, "2221.06": -26, "2241.01": -113}
    assert await desk.violations() == []


@pytest.mark.parametrize("order", [("pay", "stop"), ("stop", "pay")])
@pytest.mark.parametrize("named", [True, False])
async def test_money_for_what_was_cancelled_is_owed_back_whatever_came_first(desk, order, named):
    told = {"pay": desk.pay(339, ("1001", 339) if named else "1001"), "stop": desk.stopped(2)}
    await desk.give(desk.placed())
    for step in order:
        await desk.give(told[step])
    assert await desk.balances() == {"1002": 339, "2204": -100, "2221.06": -13, "2241.01": -226}
    await desk.give(desk.refund(226, "1001"))
    assert (await desk.vouchers())[-1] == ("T08", [("D", "2241.01", 226), ("C", "1002", 226)])
    await desk.give(desk.shipped(desk.part(0, 1)))
    assert await desk.balances() == {"1002": 113, "6001.01": -100, "2221.01.01": -13, "6401": 100, "1405": -100}
    assert await desk.violations() == []


async def give_in_every_order(desk, told):
    """What is told of each order, another permutation for each. All orders' first facts, then all their second ones:
    five rounds cost seconds where six hundred batches cost minutes on a slow machine."""
    turns = [*itertools.permutations(range(5))]
    facts = [told(n) for n in range(len(turns))]
    for place in range(5):
        await desk.give(*(facts[n][turn[place]] for n, turn in enumerate(turns)))
    return turns


async def test_an_open_payment_ends_the_same_whatever_of_its_order_came_before_it(desk):
    """Placed, shipped in part, stopped in part, credited in part, and paid without an amount, in every order."""

    def told(n):
        number = str(n)
        return [
            desk.placed(number, customer=f"K{n}"),
            desk.shipped(desk.part(0, 2), number=number),
            desk.stopped(1, number),
            desk.credited((50, 6), number=number, credit_no=f"R{n}", restock=False),
            desk.pay(400, number, number=f"P{n}", customer=f"K{n}"),
        ]

    await give_in_every_order(desk, told)
    await desk.rows("UPDATE parked SET due_at = now()")
    await desk.give()
    assert await desk.parked() == []
    found = await desk.rows(
        "SELECT o.order_no, o.settled, o.deposit_net, o.deposit_tax, o.refundable, o.unapplied, coalesce("
        "(SELECT c.unapplied FROM open_item c WHERE NOT c.of_order AND c.customer = 'K' || o.order_no), 0)"
        " FROM open_item o WHERE o.of_order"
    )
    assert (len(found), {row[1:] for row in found}) == (120, {(170, 0, 0, 113, 56, 61)})
    assert await desk.violations() == []


async def test_a_discount_that_a_payment_takes_closes_its_part_of_the_receivable(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(332, ("1001", 332, 7), fee_minor=2))
    assert (await desk.vouchers())[1:] == [
        ("T09", [("D", "1002", 330), ("D", "6603.02", 2), ("C", "1122", 332)]),
        ("T14b", [("D", "6001.08", 7), ("C", "1122", 7)]),
    ]
    assert sorted(await settled(desk)) == [("payment", "1001", 332), ("write_off", "1001", 7)]
    assert await desk.rows("SELECT kind, amount_minor, number FROM forgiveness") == [("discount", 7, "P1")]
    assert (await desk.ask(finance.RECEIVABLES, company="C1")).totals == {"CNY": 0}
    await desk.give(desk.pay(332, ("1001", 332, 7), fee_minor=2))
    assert len(await desk.vouchers()) == 3
    assert await desk.violations() == []


async def test_one_payment_takes_discounts_on_several_orders_and_the_rest_is_found_by_itself(desk):
    await desk.open("C2", "EUR", tax_point="payment", voucher_words="three")
    dollars = {"company": "C2", "currency": "USD", "rate_micro": 920_001}
    goods = {**dollars, "cost_currency": "EUR"}
    for number in ("1", "2"):
        await desk.give(desk.placed(number, **dollars), desk.shipped(desk.part(cost_minor=0), number=number, **goods))
    await desk.give(desk.pay(665, ("1", None, 7), ("2", None, 6), **{**dollars, "rate_micro": 930_000}))
    assert await desk.balances("C2", "USD") == {"1002": 665, "6001.08": 13, "6001.01": -600, "2221.01.01": -78}
    assert await desk.rows("SELECT settled, forgiven FROM open_item WHERE of_order ORDER BY order_no") == [
        (339, 7),
        (339, 6),
    ]
    words = await desk.rows("SELECT template, word FROM voucher WHERE template <> 'T01' ORDER BY 1")
    assert words == [("T01t", "转"), ("T09", "收"), ("T14b", "转"), ("T14b", "转")]
    assert await desk.violations() == []


@pytest.mark.parametrize("turn", list(itertools.permutations(range(3))))
async def test_a_payment_with_a_discount_waits_until_its_sale_is_billed(desk, turn):
    told = [desk.placed(), desk.shipped(), desk.pay(332, ("1001", 332, 7))]
    for step in turn:
        await desk.give(told[step])
    assert await desk.parked() == []
    assert await desk.balances() == {**BILLED, "1002": 332, "6001.08": 7}
    assert await desk.violations() == []


async def test_a_discount_above_what_is_or_will_be_open_is_a_conflict(desk):
    await desk.give(desk.placed(), desk.pay(332, ("1001", 332, 7)))
    assert await desk.parked() == [("finance-book-cash", str(desk.id()))]
    await desk.give(desk.stopped(3))
    assert await desk.parked() == []
    (told,) = await desk.announced(finance.DocumentSettled)
    assert (told.reason, told.detail) == (
        "discount_above_open",
        "Of order 1001 0.00 CNY is open, less than the discount. "
        "Send the payment without it, under a number of its own.",
    )
    assert await desk.vouchers() == []
    assert await desk.violations() == []


async def apply(desk, amount, number="A1", **more):
    asked = {"company": "C1", "number": number, "customer": "K1", "order_source": "shop", "order_no": "1001", **more}
    asked |= {"currency": more.get("currency", "CNY"), "amount_minor": amount, "business_date": date(2026, 11, 30)}
    return await desk.ask_as("Li", finance.APPLY_MONEY, **asked)


async def test_an_order_takes_no_more_of_a_customers_free_money_than_it_can_use(desk):
    await desk.give(desk.placed(), desk.shipped(desk.part(0, 1)), desk.pay(4_000))
    with pytest.raises(Refused, match="takes") as caught:
        await apply(desk, 2_000)
    assert caught.value.problem.field == "amount_minor"
    everything = int(caught.value.problem.detail.split(" takes ")[1].split()[0].replace(",", "").replace(".", ""))
    assert (await apply(desk, everything)).unapplied_minor == 4_000 - everything
    with pytest.raises(Refused, match="takes 0"):
        await apply(desk, 1, "A2")


async def test_money_that_named_no_order_is_applied_to_one_later(desk):
    await desk.give(desk.placed(), desk.shipped(desk.part(0, 1)), desk.pay(400))
    applied = await apply(desk, 300)
    assert (applied.open_minor, applied.unapplied_minor, applied.repeated) == (0, 100, False)
    assert (await desk.vouchers())[-1] == (
        "T10a",
        [("D", "2203", 300), ("C", "1122", 113), ("C", "2204", 165), ("C", "2221.06", 22)],
    )
    assert (await apply(desk, 300)).repeated
    for amount, number, field in ((301, "A1", "number"), (101, "A2", "amount_minor")):
        with pytest.raises(Refused) as caught:
            await apply(desk, amount, number)
        assert caught.value.problem.field == field
    with pytest.raises(Refused, match="no order 9"):
        await apply(desk, 1, "A3", order_no="9")
    assert await settled(desk) == [("prepayment", "1001", 113)]
    await desk.give(desk.shipped(desk.part(1, 3)), desk.refund(100))
    assert await desk.balances() == {**BILLED, "1002": 300, "1122": 39}
    assert await desk.violations() == []


async def test_money_at_another_rate_than_its_order_is_applied_with_the_difference_realised(desk):
    await desk.open("C2", "CNY", tax_point="payment")
    dollars = {"company": "C2", "currency": "USD", "rate_micro": 7_000_000}
    await desk.give(desk.shipped(desk.part(cost_minor=0), **dollars))
    await desk.give(desk.pay(339, **{**dollars, "rate_micro": 7_200_000}))
    await apply(desk, 339, company="C2", currency="USD")
    lines = await desk.rows(
        "SELECT role, functional_minor FROM voucher_line JOIN voucher USING (position) WHERE template = 'T10a'"
    )
    assert sorted(lines) == [("fx_realised", 68), ("receivable", 2373), ("unapplied", 2441)]
    assert [template for template, _ in await desk.vouchers(company="C2")] == ["T01", "T10", "T10a", "T01t"]
    assert await desk.violations() == []


@pytest.mark.parametrize("first", ["money", "goods"])
async def test_no_money_is_used_before_the_day_it_came(desk, first):
    """Shipment, stop and credit are told late, with dates of the month before: their period shows no money yet."""
    december = {"business_date": date(2026, 12, 2)}
    pay = desk.pay(339, ("1001", 339), **december)
    told = [desk.placed(), desk.shipped(desk.part(0, 1)), desk.stopped(2), desk.credited((50, 6), restock=False)]
    await desk.give(*([pay, *told] if first == "money" else [*told, pay]))
    await desk.rows("UPDATE parked SET due_at = now()")
    await desk.give()
    november = await desk.rows(
        "SELECT l.account, sum(CASE l.side WHEN 'D' THEN l.amount_minor ELSE -l.amount_minor END)::bigint"
        " FROM voucher v JOIN voucher_line l USING (position) WHERE v.period = '2026-11' GROUP BY 1"
    )
    money = {account: amount for account, amount in november if account in ("1002", "1122", "2203", "2204", "2241.01")}
    assert money == {"1122": 57}
    page = await desk.ask(finance.RECEIVABLES, company="C1", as_of=date(2026, 11, 30))
    assert page.totals == {"CNY": 57}
    assert await desk.balances() == {
        "1002": 339,
        "2241.01": -226,
        "2203": -56,
        "6001.01": -50,
        "2221.01.01": -7,
        "6401": 100,
        "1405": -100,
    }
    assert await desk.violations() == []


async def test_a_deposit_is_owed_back_from_the_day_of_the_cancellation(desk):
    stop = desk.stopped(3)
    later = type(stop)(stop.cancel_id, stop.order_id, stop.company, stop.order_no, stop.lines, date(2026, 12, 3))
    await desk.give(desk.placed(), desk.pay(339, ("1001", 339)), later)
    assert await desk.rows("SELECT template, posting_date FROM voucher ORDER BY position") == [
        ("T11", date(2026, 11, 30)),
        ("T03b", date(2026, 12, 3)),
    ]
    assert await desk.violations() == []


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
async def test_a_refund_above_what_came_is_booked_as_a_claim_and_told_whatever_came_first(desk, order):
    messages = [desk.message(fact) for fact in (desk.placed(), desk.pay(100, ("1001", 100)), desk.refund(150, "1001"))]
    for number in order:
        await desk.give(messages[number], messages[number])
    assert await desk.balances() == {"1002": -50, "1122": 50}
    (told,) = await desk.announced(finance.DocumentSettled)
    assert (told.outcome, told.reason, told.booked) == ("conflict", "above_received", True)
    assert await desk.rows("SELECT outcome, reason FROM money_submission WHERE number = 'F1'") == [
        ("accepted", "above_received")
    ]
    entries = (await trail(TrailRequest(str(desk.id())), desk.database)).entries
    assert "above what came" in [entry.step for entry in entries]
    assert await desk.violations() == []


async def test_a_refund_finds_the_money_that_came_for_its_order_though_all_of_it_was_credited_before(desk):
    """Placed, shipped, credited, paid without an amount, refunded: in every order the books end empty; and nobody is
    asked for money where the payment came before its refund."""

    def told(n):
        number = str(n)
        return [
            desk.placed(number, customer=f"K{n}"),
            desk.shipped(number=number),
            desk.credited((300, 39), number=number, credit_no=f"R{n}", restock=False),
            desk.pay(339, number, number=f"P{n}", customer=f"K{n}"),
            desk.refund(339, number, number=f"F{n}", customer=f"K{n}"),
        ]

    turns = await give_in_every_order(desk, told)
    above = await desk.rows("SELECT number FROM money_submission WHERE reason = 'above_received'")
    early = {(f"F{n}",) for n, turn in enumerate(turns) if turn.index(4) < turn.index(3)}
    assert (set(above), len(above)) == (early, len(early))
    await desk.rows("UPDATE parked SET due_at = now()")
    await desk.give()
    assert {account for account, amount in (await desk.balances()).items() if amount} <= {"1405", "6401"}
    open_ones = (
        "SELECT order_no FROM open_item WHERE billed - credited - settled <> 0 OR deposit_net <> 0 OR deposit_tax <> 0 "
        "OR refundable <> 0 OR unapplied <> 0"
    )
    assert await desk.rows(open_ones) == []
    assert await desk.violations() == []


async def test_of_a_payment_for_several_orders_what_was_credited_before_is_held_for_its_refund(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.placed("1002"), desk.shipped(number="1002"))
    await desk.give(desk.credited((300, 39), restock=False))
    await desk.give(desk.pay(700, "1001", "1002"), desk.refund(339, "1001"))
    assert await desk.announced(finance.DocumentSettled) == []
    assert await desk.rows("SELECT unapplied FROM open_item WHERE NOT of_order") == [(22,)]
    assert await desk.rows("SELECT settled, unapplied FROM open_item WHERE of_order ORDER BY order_no") == [
        (0, 0),
        (339, 0),
    ]


async def test_a_refund_of_all_that_came_is_told_to_nobody(desk):
    await desk.give(desk.placed(), desk.pay(339, ("1001", 339)), desk.refund(339, "1001"))
    assert await desk.announced(finance.DocumentSettled) == []


async def test_a_payment_that_comes_after_its_refund_leaves_no_claim(desk):
    await desk.give(desk.refund(339, "1001"), desk.placed(), desk.pay(339, ("1001", 339)))
    assert await desk.balances() == {}
    (told,) = await desk.announced(finance.DocumentSettled)
    assert told.reason == "above_received"
    (ended,) = await desk.announced(finance.ClaimSettled)
    assert (ended.document_no, ended.order_no, ended.refunds) == ("P1", "1001", (told.document_id,))
    assert await desk.violations() == []


async def above_and_ended(desk) -> tuple[set[UUID], list[tuple[str, str]]]:
    """Refunds that were told and of which no end was told; and what ended which order's claim."""
    told = {one.document_id for one in await desk.announced(finance.DocumentSettled)}
    ended = await desk.announced(finance.ClaimSettled)
    assert all(set(one.refunds) <= told for one in ended)
    return told - {refund for one in ended for refund in one.refunds}, [
        (one.document_no, one.order_no) for one in ended
    ]


async def test_a_claim_ends_with_the_last_of_the_money_and_once(desk):
    await desk.give(desk.refund(100, "1001"), desk.refund(50, "1001", number="F2"))
    await desk.give(desk.pay(149, ("1001", 149)))
    assert await desk.announced(finance.ClaimSettled) == []
    await desk.give(desk.pay(1, ("1001", 1), number="P2"), desk.pay(7, ("1001", 7), number="P3"))
    (ended,) = await desk.announced(finance.ClaimSettled)
    assert ended.document_no == "P2"
    assert len(ended.refunds) == 2
    await desk.give(desk.refund(20, "1001", number="F3"))
    ((latest,), _) = await above_and_ended(desk)
    await desk.give(desk.pay(20, ("1001", 20), number="P4"))
    (_, again) = await desk.announced(finance.ClaimSettled)
    assert again.refunds == (latest,)  # Not those of the claim before: of one who never orders there are ever more.
    assert await desk.violations() == []


async def test_an_end_of_many_refunds_is_told_in_parts(desk, monkeypatch):
    monkeypatch.setattr(claims, "REFUNDS_MAX", 2)
    await desk.give(*(desk.refund(100, number=f"F{n}") for n in range(5)))
    await desk.give(desk.pay(500))
    assert [len(one.refunds) for one in await desk.announced(finance.ClaimSettled)] == [2, 2, 1]
    assert (await above_and_ended(desk))[0] == set()
    assert await desk.violations() == []


async def test_a_batch_that_ends_a_claim_and_leaves_another_tells_no_end(desk):
    given = desk.refund(100, "1001"), desk.pay(100, ("1001", 100)), desk.refund(30, "1001", number="F2")
    await desk.give(*given)
    assert await desk.announced(finance.ClaimSettled) == []
    await desk.give(desk.pay(30, "1001", number="P2"))
    assert await above_and_ended(desk) == (set(), [("P2", "1001")])


async def test_a_claim_of_a_customer_without_an_order_ends_with_his_money_or_his_credit_note(desk):
    await desk.give(desk.refund(339), desk.refund(339, number="F2", customer="K2"))
    await desk.give(desk.pay(339), desk.credited((300, 39), number=None, customer="K2", restock=False))
    assert await above_and_ended(desk) == (set(), [("P1", ""), ("R1", "")])
    await desk.give(desk.credited((300, 39), number=None, customer="K3", credit_no="R2", restock=False))
    await desk.give(desk.refund(339, number="F3", customer="K3"))
    assert (await above_and_ended(desk))[0] == set()
    assert await desk.violations() == []


async def test_money_that_is_applied_to_an_order_ends_its_claim(desk):
    await desk.give(desk.placed(), desk.refund(100, "1001"), desk.pay(100))
    assert len((await above_and_ended(desk))[0]) == 1
    await apply(desk, 100)
    assert [order_no for _, order_no in (await above_and_ended(desk))[1]] == ["1001"]
    assert (await above_and_ended(desk))[0] == set()
    assert await desk.violations() == []


async def test_a_payment_that_goes_on_to_a_later_order_ends_the_claim_of_it(desk):
    await desk.give(desk.refund(100, "1002"), desk.pay(439, "1001", "1002"))
    assert len((await above_and_ended(desk))[0]) == 1
    await desk.give(desk.placed("1002"))
    await desk.give(desk.placed("1001"))
    assert await above_and_ended(desk) == (set(), [("P1", "1002")])
    assert await desk.violations() == []


async def test_a_payment_that_ends_two_claims_of_one_order_tells_each(desk):
    """The first when it came, the second when it was spread again: two ends, of different refunds, under two ids."""
    await desk.give(desk.placed("1002"), desk.refund(100, "1002"), desk.pay(1000, "1002", "1001"))
    assert await above_and_ended(desk) == (set(), [("P1", "1002")])
    await desk.give(desk.refund(500, "1002", number="F2"))
    assert len((await above_and_ended(desk))[0]) == 1
    await desk.give(desk.placed("1001"))
    assert await above_and_ended(desk) == (set(), [("P1", "1002")] * 2)
    told = await announced(desk.database, finance.ClaimSettled)
    assert len({one.envelope.id for one in told}) == len(told) == 2
    assert await desk.violations() == []


async def test_a_claim_that_is_given_up_has_ended(desk):
    await desk.give(desk.placed(), desk.refund(100, "1001"))
    asked = {"company": "C1", "number": "D1", "order_source": "shop", "order_no": "1001", "currency": "CNY"}
    await desk.ask_as("li", finance.TAKE_DISCOUNT, **asked, amount_minor=100, business_date=date(2026, 11, 30))
    assert await above_and_ended(desk) == (set(), [("D1", "1001")])
    entries = (await trail(TrailRequest(str(desk.id())), desk.database)).entries
    (above,) = [entry for entry in entries if entry.step == "above what came"]
    assert above.detail.endswith("Settled since.")
    assert await desk.violations() == []


async def steps(desk, number: str) -> list[tuple[str, str, str]]:
    entries = (await trail(TrailRequest(str(desk.id(number))), desk.database)).entries
    return [(entry.step, entry.document, entry.detail) for entry in entries]


async def test_a_payment_for_several_orders_of_which_nothing_is_open_stands_in_the_journey_of_each(desk):
    """Paid before, by another payment: what comes again is the customer's, and each order it names says so."""
    await desk.give(desk.placed(), desk.placed("1002"), desk.pay(678, ("1001", 339), ("1002", 339)))
    await desk.give(desk.pay(678, "1001", "1002", number="P2"), desk.pay(5, "1001", number="P3"))
    assert await desk.balances() == {"1002": 1361, "2203": -683, "2204": -600, "2221.06": -78}
    for number, other in (("1001", "1002"), ("1002", "1001")):
        told = await steps(desk, number)
        assert told[:2] == [
            ("paid", "P1", f"template T11, also for {other}"),
            ("paid", "P2", "template T10, nothing of it for this order"),
        ]
        assert told[2:] == ([("paid", "P3", "template T10")] if number == "1001" else [])
    assert await desk.violations() == []


async def test_an_order_that_takes_nothing_of_a_payment_tells_it_until_it_takes_something(desk):
    await desk.give(desk.pay(439, "1001", "1002"))
    assert await steps(desk, "1001") == [("paid", "P1", "template T10")]
    assert await steps(desk, "1002") == [("paid", "P1", "template T10, nothing of it for this order, for 1001")]
    await desk.give(desk.placed(), desk.placed("1002"))
    assert [one[2] for one in await steps(desk, "1002")] == ["template T10, also for 1001", "template T10a"]
    assert await desk.violations() == []
