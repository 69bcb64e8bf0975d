"""Rules are asked each time somebody wants a proof: an order of ten thousand lines may not make them slow."""

import time
from typing import Any

ONE = 1_000_000
LINES = 4_000
SECONDS_MAX = 1.5  # Each takes well below 0.3 s on a machine that has nothing else to do.


async def test_no_rule_takes_long_for_long_orders_refused_cancelled_shipped_and_credited(counter: Any) -> None:
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

    took = {}
    for name, statement in counter.service.violations:
        begun = time.monotonic()
        assert await counter.rows(statement) == [], name
        took[name] = time.monotonic() - begun
    assert {name: round(took[name], 2) for name in took if took[name] > SECONDS_MAX} == {}
