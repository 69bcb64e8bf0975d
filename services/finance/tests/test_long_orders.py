"""Rules are asked each time somebody wants a proof: an order of thousands of lines may not make them slow."""

from uuid import uuid4

from tieout.contracts import inventory, order
from tieout.devstack.plans import rows_touched
from tieout.servicekit import sql

ONE = 1_000_000

LINES = 4_000
ROWS_MAX = 100 * LINES  # That one statement may touch; a nested loop over the lines touches LINES * LINES.


async def test_no_rule_takes_long_for_long_orders_that_were_refused_cancelled_shipped_and_credited(
    desk, owner, testbed
):
    numbers = range(1, LINES + 1)
    placed = tuple(order.PlacedLine(n, "A", 3 * ONE, 300, 39) for n in numbers)
    whole = {"net": 300 * LINES, "tax": 39 * LINES, "lines": placed}
    for number in ("refused", "cancelled", "shipped", "late"):
        late = {"control_passes": "delivery"} if number == "late" else {}
        await desk.give(desk.placed(number, **whole, **late))
    refused = tuple(inventory.RefusedLine(n, 3 * ONE, True) for n in numbers)
    await desk.give(inventory.OrderRefused(desk.id("refused"), "C1", "refused", refused))
    stopped = tuple(inventory.StoppedLine(n, reserved_micro=ONE) for n in numbers)
    await desk.give(inventory.CancelDecided(uuid4(), desk.id("cancelled"), "C1", "cancelled", stopped))
    parts = tuple(desk.part(line_no=n) for n in numbers)
    await desk.give(
        desk.shipped(*parts, number="shipped"), desk.shipped(*parts, number="late", control_passes="delivery")
    )
    await desk.give(desk.delivered(*parts, number="late"))
    lines = tuple(
        order.ReturnedLine(n, "A", ONE, 100, 13, order_id=desk.id("shipped"), order_line_no=n, restock=True)
        for n in numbers
    )
    await desk.give(desk.credited(number="shipped", lines=lines))
    assert await desk.parked() == []
    assert await desk.letters() == []

    await owner.execute("ANALYZE")  # As autovacuum does within a minute: without it a plan is luck.
    async with rows_touched(testbed.postgres, desk.database) as touched:
        for name, statement in sql.load_file(str(desk.service.migrations), "violations.sql"):
            assert await desk.rows(statement) == [], name
    assert touched.above(ROWS_MAX) == {}
