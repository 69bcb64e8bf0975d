"""A source that has lost a fact is handed again what it had heard: previewed, run as a replay, and proved."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from tieout.contracts.agreement import MEASURES
from tieout.contracts.event import order_id
from tieout.contracts.order import OrderPlaced, PlacedLine
from tieout.contracts.repair import RepairPreviewRequest, RepairRequest
from tieout.contracts.replay import FREEZE_REPLAY
from tieout.control.colleagues import Colleagues
from tieout.control.repairs import Repairs
from tieout.control.replay.mending import Mending

SHIPPED = replace(MEASURES[3], books=tuple(book for book in MEASURES[3].books if book.service != "order"))


async def place(quartet: Any, number: str) -> None:
    event = OrderPlaced(
        order_id=order_id("C1", "shop", number),
        company="C1",
        source="shop",
        order_no=number,
        customer="K1",
        currency="CNY",
        occurred_at=datetime(2026, 11, 23, 8, tzinfo=UTC),
        zone="Asia/Shanghai",
        business_date=date(2026, 11, 23),
        net_minor=100,
        tax_minor=0,
        lines=(PlacedLine(1, "A", 1, 100),),
    )
    async with quartet.beside[0].database.transaction() as tx:
        (position,) = await tx.positions(1)
        tx.announce(
            event, position=position, key=(event.order_id,), chain=event.order_id, order_no=number, company="C1"
        )


async def test_a_fact_that_its_source_lost_is_booked_again_from_what_the_source_had_heard(
    quartet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, prover = quartet.control, quartet.prover
    (freezing,) = [one for one in control.operations if one.operation is FREEZE_REPLAY]
    monkeypatch.setattr(freezing.function.__self__._runner, "_prover", prover)
    colleagues = Colleagues(lambda: control.nats)
    repairs = Repairs(colleagues, prover, Mending(colleagues, freezing.function.__self__), (SHIPPED,))
    for number in ("1001", "1002"):
        await place(quartet, number)
    await quartet.arrived("control-follow-order", "inventory-reserve-stock")
    await quartet.settled()
    await quartet.by_hand(
        "inventory",
        "ALTER TABLE shipped_line DISABLE TRIGGER tamper_delete; DELETE FROM shipped_line WHERE order_no = '1001'; "
        "ALTER TABLE shipped_line ENABLE ALWAYS TRIGGER tamper_delete",
    )
    preview = await repairs.preview(RepairPreviewRequest(), control.database)
    (step,) = preview.steps
    assert (step.cause, step.repair, step.order_nos, step.runs) == ("missing_at_source", "resubmit", ("1001",), True)
    assert step.title == "hand inventory again what it had heard of 1001"
    assert [(one.flow, one.outcome, one.items) for one in step.would] == [("inventory-reserve-stock", "booked", 1)]
    done = await repairs.run(RepairRequest(token=preview.token, reason="a test"), control.database)
    (result,) = done.results
    assert (result.state, done.sentence) == ("proved", "1 of 1 repairs are proved.")
    assert result.told == f"replay {result.replay}: 1 booked. The books agree on every document that it touched."
    assert (await repairs.preview(RepairPreviewRequest(), control.database)).steps == ()
