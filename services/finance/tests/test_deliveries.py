"""Where control passes at delivery: 1406 between, no revenue before, and nothing stays behind."""

import random

import pytest
from tieout.contracts import finance, inventory

ONE = 1_000_000
LATE = {"control_passes": "delivery"}


async def test_goods_on_their_way_are_neither_revenue_nor_receivable(desk):
    await desk.give(desk.placed(**LATE), desk.shipped(**LATE))
    assert await desk.vouchers() == [("T02", [("D", "1406", 300), ("C", "1405", 300)])]
    assert await desk.announced(finance.ReceivableOpened) == []
    assert [one.template for one in await desk.announced(finance.VoucherPosted)] == ["T02"]
    assert await desk.violations() == []


async def test_a_delivery_sells_its_part_at_the_same_cost(desk):
    await desk.give(desk.placed(**LATE), desk.shipped(**LATE))
    await desk.give(desk.delivered(desk.part(0, 1, net=100, tax=10), business_date=desk.placed().business_date))
    await desk.give(desk.delivered(desk.part(1, 3, net=100, tax=10), ordinal=2))
    first, second = (await desk.vouchers())[1:]
    assert first == (
        "T02b",
        [("D", "1122", 36), ("C", "6001.01", 33), ("C", "2221.01.01", 3), ("D", "6401", 100), ("C", "1406", 100)],
    )
    assert second[0] == "T02b"
    opened = await desk.announced(finance.ReceivableOpened)
    assert [one.amount_minor for one in opened] == [36, 74]
    assert await desk.balances() == {"1122": 110, "6001.01": -100, "2221.01.01": -10, "6401": 300, "1405": -300}
    assert await desk.violations() == []


async def test_what_comes_twice_is_posted_once(desk):
    shipped, delivered = desk.message(desk.shipped(**LATE)), desk.message(desk.delivered())
    recalled = desk.message(desk.recalled(1, 100, number="1002"))
    for _ in range(2):
        await desk.give(shipped, shipped, delivered, delivered, recalled, recalled)
    assert sorted(template for template, _ in await desk.vouchers()) == ["T02", "T02b", "T04"]


async def test_prepaid_money_is_applied_at_delivery_and_not_before(desk):
    await desk.give(desk.placed(**LATE), desk.pay(339, "1001"), desk.shipped(**LATE))
    assert (await desk.balances())["2204"] == -300
    await desk.give(desk.delivered())
    balances = await desk.balances()
    assert "2204" not in balances
    assert "1122" not in balances
    held, settled = await desk.announced(finance.OrdersSettled)
    assert (held.cause, held.items[0].amount_minor, held.items[0].held_minor) == ("payment", 0, 339)
    assert (settled.cause, settled.items[0].amount_minor, settled.items[0].held_minor) == ("prepayment", 339, -339)
    assert await desk.violations() == []


async def test_goods_stopped_on_their_way_are_back_in_stock_and_their_money_is_due_back(desk):
    await desk.give(desk.placed(**LATE), desk.pay(339, "1001"), desk.shipped(**LATE))
    stop = desk.stopped(0)
    line = inventory.StoppedLine(1, issued_micro=3 * ONE)
    stop = inventory.CancelDecided(stop.cancel_id, stop.order_id, "C1", "1001", (line,))
    await desk.give(stop, desk.recalled(3, 300))
    assert ("T04", [("D", "1405", 300), ("C", "1406", 300)]) in await desk.vouchers()
    assert await desk.balances() == {"1002": 339, "2241.01": -339}
    assert await desk.violations() == []


async def test_services_are_billed_with_the_delivery_and_free_goods_are_samples(desk):
    lines = (
        desk.part(net=200, tax=26, cost_minor=120),
        desk.part(line_no=2, net=10, tax=1, kind="service", account="carriage", cost_minor=0),
        desk.part(line_no=3, net=0, tax=0, cost_account="sample", cost_minor=7),
    )
    await desk.give(desk.shipped(*lines, **LATE))
    assert await desk.balances() == {"1406": 127, "1405": -127}
    await desk.give(desk.delivered(*lines))
    assert await desk.balances() == {
        "1122": 237,
        "6001.01": -200,
        "6001.02": -10,
        "2221.01.01": -27,
        "6401": 120,
        "6601.05": 7,
        "1405": -127,
    }
    assert await desk.violations() == []


async def test_goods_worth_nothing_get_no_voucher_on_their_way(desk):
    await desk.give(desk.shipped(desk.part(cost_minor=0), **LATE))
    assert await desk.vouchers() == []
    assert await desk.violations() == []


async def test_a_credit_waits_until_its_sale_is_delivered(desk):
    await desk.give(desk.placed(**LATE), desk.shipped(**LATE), desk.credited((100, 13)))
    assert [durable for durable, _ in await desk.parked()] == ["finance-credit-returns"]
    await desk.give(desk.delivered())
    assert await desk.parked() == []
    assert (await desk.balances())["1122"] == 339 - 113
    assert await desk.violations() == []


async def test_a_foreign_delivery_is_booked_at_the_rate_of_its_order(desk):
    foreign = {"currency": "USD", "rate_micro": 7_100_000}
    await desk.give(desk.placed(**foreign, **LATE), desk.shipped(**foreign, **LATE), desk.delivered(**foreign))
    assert await desk.balances(currency="USD") == {"1122": 339, "6001.01": -300, "2221.01.01": -39}
    assert await desk.balances() == {"6401": 300, "1405": -300}
    assert await desk.violations() == []


async def test_booked_is_what_was_delivered_and_it_is_due_from_that_day(desk):
    await desk.give(desk.placed(**LATE), desk.shipped(**LATE), desk.delivered(desk.part(0, 1)))
    booked = [
        (one.lines, one.quantity_micro // ONE, one.net_minor, one.value_minor)
        for one in (await desk.ask(finance.FINANCE_OUTCOMES)).outcomes
        if one.outcome == "booked" and not one.account
    ]
    assert booked == [(1, 1, 100, -100)]
    later = desk.placed().business_date.replace(year=2027, month=1, day=5)
    await desk.give(desk.delivered(desk.part(1, 3), ordinal=2, business_date=later, period="2027-01"))
    assert [one.due_date.isoformat() for one in await desk.announced(finance.ReceivableOpened)] == [
        "2026-12-30",
        "2027-02-04",
    ]
    (open_item,) = (await desk.ask(finance.RECEIVABLES, company="C1")).receivables
    assert open_item.open_minor == 339


@pytest.mark.parametrize("edit", ["UPDATE transit SET value_minor = value_minor - 1", "DELETE FROM transit"])
async def test_what_is_on_its_way_is_proved_by_the_ledger(desk, owner, edit):
    await desk.give(desk.shipped(**LATE))
    await owner.execute(edit)
    assert {name for name, *_ in await desk.violations()} == {"goods_on_their_way_are_the_account"}


async def test_a_policy_that_is_not_named_stays(desk):
    chosen = {"tax_point": "invoice", "voucher_words": "three", "control_passes": "delivery"}
    await desk.open("C3", roles={"sample": "6601.06"}, **chosen)
    before = await desk.open("C3")
    assert {name: getattr(before, name) for name in chosen} == chosen
    assert (before.roles["sample"], before.revision) == ("6601.06", 1)
    after = await desk.open("C3", voucher_words="one")
    assert (after.tax_point, after.voucher_words, after.control_passes) == ("invoice", "one", "delivery")
    assert (after.roles["sample"], after.revision) == ("6601.06", 2)
    assert (await desk.announced(finance.CompanyOpened))[-1].control_passes == "delivery"


async def test_a_company_says_when_control_passes(desk):
    assert (await desk.open(control_passes="delivery")).control_passes == "delivery"
    assert [one.control_passes for one in await desk.announced(finance.CompanyOpened)] == ["issue", "delivery"]
    (company,) = (await desk.ask(finance.COMPANIES)).companies
    assert company.control_passes == "delivery"


@pytest.mark.parametrize("seed", range(4))
async def test_books_end_the_same_whatever_came_first(desk, seed):
    """Shipped 3 of 3 and sent, 2 delivered in two words, 1 stopped; paid in advance."""
    stop = inventory.CancelDecided(
        desk.stopped(1).cancel_id, desk.id(), "C1", "1001", (inventory.StoppedLine(1, issued_micro=ONE),)
    )
    messages = [
        desk.message(fact)
        for fact in (
            desk.placed(**LATE),
            desk.pay(339, ("1001", 339)),
            desk.shipped(desk.part(0, 1), **LATE),
            desk.shipped(desk.part(1, 3), **LATE),
            desk.delivered(desk.part(0, 1)),
            desk.delivered(desk.part(1, 2)),
            stop,
            desk.recalled(1, 100),
        )
    ]
    random.Random(seed).shuffle(messages)
    for message in messages:
        await desk.give(message)
    await desk.rows("UPDATE parked SET due_at = now()")
    await desk.give()
    assert await desk.balances() == {
        "1002": 339,
        "2241.01": -113,
        "6001.01": -200,
        "2221.01.01": -26,
        "6401": 200,
        "1405": -200,
    }
    assert await desk.violations() == []
