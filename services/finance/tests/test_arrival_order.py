"""What arrival order may never change: receivables, credits, payments, and the value of stock and cost together.

Two companies, two currencies, the same order number in both; each tax point; batches of one and of all.
"""

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
    settled = await desk.rows("SELECT order_id, sum(amount_minor)::bigint FROM settlement GROUP BY 1")
    assert dict(settled) == {desk.id("1001", "C1"): 226, desk.id("1001", "C2"): 226}
    assert await desk.violations() == []
