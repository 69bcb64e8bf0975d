"""What arrival order may never change: receivables, credits, payments, and the value of stock and cost together.

Two companies, two currencies, the same order number in both; each tax point; batches of one and of all.
"""

import itertools
import random

import pytest

NEVER_CHANGE = """
SELECT item_id, currency, billed, credited, received, refunded, settled, deposit_net, deposit_tax, refundable, unapplied
FROM open_item"""


def facts(desk):
    """One story for each company, as messages with fixed positions, so that each order of them means the same."""
    told = []
    for company, currency in (("C1", "CNY"), ("C2", "USD")):
        where = {"company": company, "currency": currency}
        goods = {**where, "cost_currency": currency}
        credit = desk.credited((100, 13), **where)
        told += [
            desk.placed(**where),
            desk.shipped(desk.part(0, 1), **goods),
            desk.shipped(desk.part(1, 3), **goods),
            credit,
            desk.returned(company=company, cost_currency=currency, credit_id=credit.credit_id),
            desk.pay(200, ("1001", 200), number="P1", **where),
            desk.pay(250, ("1001", 250), number="P2", **where),
            desk.refund(60, "1001", **where),
            desk.moved("opening", (10, 1000), company=company, cost_currency=currency),
            desk.placed("1002", 50, 5, **where),
            desk.pay(70, ("1002", 30), number="P3", **where),
            desk.stopped(2, "1002", company),
        ]
    return [desk.message(fact) for fact in told]


@pytest.mark.parametrize("seed", range(6))
async def test_books_end_the_same_whatever_came_first(desk, seed):
    policy = ("goods_issue", "payment", "invoice")[seed % 3]
    await desk.open(tax_point=policy)
    await desk.open("C2", "USD", tax_point=policy)
    messages = facts(desk)
    chance = random.Random(seed)
    if seed:
        chance.shuffle(messages)
    repeated = [*messages, *chance.sample(messages, 5)]
    while repeated:
        size = chance.choice([1, 1, 2, 5, 22])
        await desk.give(*repeated[:size])
        repeated = repeated[size:]

    await desk.rows("UPDATE parked SET due_at = now()")
    await desk.give()
    assert await desk.parked() == []
    for company, currency in (("C1", "CNY"), ("C2", "USD")):
        assert await desk.balances(company, currency) == {
            "1002": 200 + 250 + 70 - 60,
            "2203": -(390 - 226) - 40,
            "2204": -17,
            **({"2221.06": -28} if policy == "invoice" else {"2221.06": -2, "2221.01.01": -26}),
            "2241.01": -11,
            "6001.01": -200,
            "6401": 200,
            "1405": 1000 - 200,
            "4104.99": -1000,
        }
    found = {(str(row[0]), row[1]): row[2:] for row in await desk.rows(NEVER_CHANGE)}
    assert found[str(desk.id()), "CNY"] == (339, 113, 450, 60, 226, 0, 0, 0, 164)
    assert found[str(desk.id("1002")), "CNY"] == (0, 0, 30, 0, 0, 17, 2, 11, 0)
    settled = await desk.rows(
        "SELECT order_id, sum(amount_minor)::bigint FROM settlement WHERE amount_minor <> 0 GROUP BY 1"
    )
    assert dict(settled) == {desk.id("1001", "C1"): 226, desk.id("1001", "C2"): 226}
    assert await desk.violations() == []


def prepaid(desk, amount):
    """One payment of three orders, and no word of how much for each."""
    return [
        desk.pay(amount, "1", "2", "3"),
        desk.placed("1", 500, 65),
        desk.placed("2", 600, 78),
        desk.placed("3", 100, 13, due_days=1),
        desk.shipped(desk.part(net=600, tax=78), number="2"),
    ]


@pytest.mark.parametrize(
    ("amount", "received", "customers"),
    [(2000, (565, 678, 113), 644), (1300, (565, 678, 57), 0), (400, (400, 0, 0), 0)],
)
@pytest.mark.parametrize("come", [*itertools.permutations(range(5))][::7])
async def test_a_payment_of_several_orders_pays_the_first_named_first_whenever_they_come(
    desk, come, amount, received, customers
):
    messages = [desk.message(fact) for fact in prepaid(desk, amount)]
    for number in come:
        await desk.give(messages[number])
    await desk.give(*messages)
    found = dict(await desk.rows("SELECT order_no, received FROM open_item WHERE of_order"))
    assert (found["1"], found["2"], found["3"]) == received
    (customer,) = await desk.rows("SELECT received, refunded, unapplied FROM open_item WHERE NOT of_order")
    assert customer == (customers, 0, customers)
    settled = await desk.rows("SELECT order_no, sum(amount_minor)::bigint FROM settlement GROUP BY 1")
    assert dict(settled).get("2", 0) == received[1]
    assert await desk.rows("SELECT * FROM waiting_claim") == []
    assert await desk.violations() == []


async def test_a_payment_in_a_foreign_currency_goes_on_to_its_next_order(desk):
    await desk.give(desk.pay(2000, "1", "2", currency="USD", rate_micro=7_000_000))
    await desk.give(desk.placed("2", 600, 78, currency="USD", rate_micro=7_100_000))
    assert await desk.violations() == []
    await desk.give(desk.placed("1", 500, 65, currency="USD", rate_micro=7_200_000))
    found = dict(await desk.rows("SELECT order_no, received FROM open_item"))
    assert found == {"1": 565, "2": 678, "": 757}
    assert await desk.violations() == []


async def test_what_was_paid_back_meanwhile_is_not_taken_from_an_order_for_an_earlier_one(desk):
    await desk.give(desk.pay(700, "1", "2"), desk.placed("2", 600, 78))
    await desk.give(desk.refund(678, "2"))
    await desk.give(desk.placed("1", 500, 65))
    found = await desk.rows("SELECT order_no, received, refunded FROM open_item WHERE of_order ORDER BY 1")
    assert found == [("1", 22, 0), ("2", 678, 678)]
    assert await desk.violations() == []
