"""Rules are asked each time somebody wants a proof: an order of thousands of lines may not make them slow."""

from typing import Any

from tieout.devstack.plans import rows_touched

ONE = 1_000_000
LINES = 4_000
ROWS_MAX = 100 * LINES  # That one statement may touch; a nested loop over the lines touches LINES * LINES.


async def test_no_rule_takes_long_for_long_orders_refused_cancelled_shipped_and_credited(
    counter: Any, testbed: Any
) -> None:
    await counter.open(
        MAIN="refuse auto",
        YARD="back_order confirmed",
        FIFO="back_order auto fifo",
        MONTH="back_order auto period_average",
    )
    for warehouse in ("MAIN", "YARD", "FIFO", "MONTH"):
        await counter.give(counter.receipt(("A", 4 * LINES, 40 * LINES), warehouse=warehouse))
    numbers = range(1, LINES + 1)

    def lines(sku: str, warehouse: str = "MAIN") -> list[Any]:
        return [counter.line(n, sku, 1, 100, warehouse=warehouse) for n in numbers]

    await counter.give(counter.placed("refused", *lines("B")))
    await counter.give(counter.placed("shipped", *lines("A")))
    await counter.give(counter.placed("waiting", *lines("B", "YARD")))
    await counter.give(counter.placed("cancelled", *lines("A", "YARD")))
    await counter.give(counter.cancel("cancelled"))
    await counter.give(counter.placed("fifo", *lines("A", "FIFO")), counter.placed("month", *lines("A", "MONTH")))
    await counter.give(counter.placed("late", *lines("A"), control_passes="delivery"))
    await counter.give(counter.delivery("late"))
    for first in range(1, LINES, 1_000):  # As many as one announcement can hold.
        some = range(first, first + 1_000)
        await counter.give(counter.credit(f"R{first}", *(("A", 1, "shipped", n) for n in some)))
        scrap = (("A", 1, "fifo", n) for n in some)
        await counter.give(counter.credit(f"S{first}", *scrap, scrap=True, warehouse="FIFO"))
    assert await counter.parked() == []
    assert await counter.letters() == []

    async with rows_touched(testbed.postgres, counter.database) as touched:
        for name, statement in counter.service.violations:
            assert await counter.rows(statement) == [], name
    assert touched.above(ROWS_MAX) == {}
