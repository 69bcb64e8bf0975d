"""Rules are asked each time somebody wants a proof: an order of thousands of lines may not make them slow."""

from tieout.devstack.plans import rows_touched
from tieout.servicekit.findings import Findings

LINES = 4_000
ROWS_MAX = 100 * LINES  # That one statement may touch; a nested loop over the lines touches LINES * LINES.


async def test_no_rule_takes_long_for_long_orders_that_were_refused_cancelled_shipped_and_credited(
    desk, owner, testbed
):
    # Statistics are those of short orders, as in any business: they promise one line for each order.
    await desk.give(*(desk.submit(number=f"short{n}") for n in range(300)))
    await desk.give(*(desk.shipped((1, 0, 3), number=f"short{n}") for n in range(0, 300, 3)))
    await owner.execute("ANALYZE")
    numbers = range(1, LINES + 1)
    for number in ("refused", "cancelled", "shipped"):
        await desk.give(desk.submit(*(desk.line(n) for n in numbers), number=number))
    await desk.give(desk.submit(*(desk.line(n) for n in numbers), number="late", control_passes="delivery"))
    await desk.give(desk.refused(*((n, 3) for n in numbers), number="refused"))
    cancel = desk.cancel(number="X1", order_number="cancelled")
    await desk.give(cancel)
    (asked,) = await desk.rows("SELECT cancel_id FROM cancellation")
    await desk.give(desk.decided(asked[0], *((n, 1, 2, 0) for n in numbers), number="cancelled"))
    parts = [(n, 0, 3) for n in numbers]
    await desk.give(desk.shipped(*parts, number="shipped"))
    await desk.give(desk.shipped(*parts, number="late", control_passes="delivery"))
    await desk.give(desk.delivered(*parts, number="late"))
    for first in range(1, LINES, 2_500):  # As many as one announcement can hold.
        back = (desk.back(n, 1, 100, 0, sku=f"SKU{n}", order_line_no=n) for n in numbers[first - 1 : first + 2_499])
        async with rows_touched(testbed.postgres, desk.database) as touched:
            await desk.give(desk.credit(*back, number=f"R{first}", order_number="shipped"))
        assert touched.above(ROWS_MAX) == {}
    assert await desk.parked() == []
    assert await desk.letters() == []

    async with rows_touched(testbed.postgres, desk.database) as touched:
        assert await Findings(desk.service.violations).rules(desk.database) == []
    assert touched.above(ROWS_MAX) == {}


async def test_no_rule_may_be_planned_as_a_nested_loop(desk):
    rule = "SELECT 'loops' AS key, current_setting('enable_nestloop') AS kept, '' AS facts, '' AS detail"
    (found,) = await Findings([("plan", rule)]).rules(desk.database)
    assert found.kept == "off"
    assert await desk.rows("SHOW enable_nestloop") == [("on",)]
