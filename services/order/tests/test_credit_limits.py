"""What a customer may owe at most is checked when an order is placed, and nowhere booked."""

import asyncio

from tieout.contracts.credit_limit import ListCreditLimits, PutCreditLimit
from tieout.contracts.order import CancelRequested, OrderPlaced, SubmissionConflicted
from tieout.order.flows.put_credit_limit import list_credit_limits, put_credit_limit


async def put(desk, limit, customer="K1", company="C1", currency="CNY"):
    request = PutCreditLimit(company=company, customer=customer, currency=currency, limit_minor=limit)
    return await put_credit_limit.function(request, desk.database)


async def placed(desk):
    return [(one.company, one.order_no) for one in await desk.announced(OrderPlaced)]


async def test_an_order_above_what_is_left_is_a_conflict_and_may_come_again(desk):
    await desk.give(desk.submit(number="1"))  # 339, before there was a limit.
    assert (await put(desk, 678)).used_minor == 339
    await desk.give(desk.submit(number="2"), desk.submit(number="3"))  # Exactly the limit is not above it.
    (told,) = await desk.announced(SubmissionConflicted)
    assert (told.number, told.reason) == ("3", "above_credit_limit")
    assert told.detail == (
        "Customer K1 uses 6.78 CNY of 6.78 CNY; this order of 3.39 CNY is above that. "
        "Submit it again when something was paid, or raise the limit."
    )
    await desk.give(desk.submit(desk.line(net=0, tax=0), number="4"))
    await desk.give(desk.shipped((1, 0, 3), number="1"), desk.paid(("1", 339)))
    await desk.give(desk.submit(number="3"))
    assert [number for _, number in await placed(desk)] == ["1", "2", "4", "3"]
    listed = await list_credit_limits.function(ListCreditLimits("C1"), desk.database)
    assert [(one.customer, one.limit_minor, one.used_minor) for one in listed.limits] == [("K1", 678, 678)]
    assert await desk.violations("anchor_points_at_its_document") == []


async def test_a_limit_is_of_one_company_customer_and_currency(desk):
    await put(desk, 100)
    await desk.give(
        desk.submit(number="1", company="C2"),
        desk.submit(number="2", customer="K2"),
        desk.submit(number="3", currency="USD"),
        desk.submit(number="4"),
    )
    assert [number for _, number in await placed(desk)] == ["1", "2", "3"]
    assert (await put(desk, None)).limit_minor is None
    await desk.give(desk.submit(number="4"))
    assert len(await placed(desk)) == 4


async def test_two_batches_at_once_do_not_both_take_what_is_left(desk):
    await put(desk, 1_000)
    await asyncio.gather(*(desk.give(desk.submit(number=str(n))) for n in range(6)))
    assert len(await placed(desk)) == 2
    again = desk.message(desk.submit(number="9"))
    await desk.give(again, again)
    await desk.give(again)
    assert len(await desk.rows("SELECT FROM submission WHERE outcome = 'conflict'")) == 5


async def test_what_is_stopped_or_credited_is_free_again_and_pages_lose_nobody(desk):
    await put(desk, 339)
    await desk.give(desk.submit(number="1"), desk.cancel((1, 1), order_number="1"))
    (asked,) = await desk.announced(CancelRequested)
    await desk.give(desk.shipped((1, 0, 2), number="1"), desk.decided(asked.cancel_id, (1, 0, 1, 0), number="1"))
    assert (await put(desk, 339)).used_minor == 226
    await desk.give(desk.credit(order_number="1"))
    assert (await put(desk, 339)).used_minor == 113
    await put(desk, 5, currency="EUR")
    await put(desk, 6, customer="K2")
    found, after = [], ""
    while True:
        page = await list_credit_limits.function(ListCreditLimits("C1", after=after, limit=1), desk.database)
        found += [(one.customer, one.currency, one.used_minor) for one in page.limits]
        if not (after := page.next):
            break
    assert found == [("K1", "CNY", 113), ("K1", "EUR", 0), ("K2", "CNY", 0)]
