"""What control hears: journeys, latencies, dead letters and status, from real notices."""

from typing import Any

import msgspec
import pytest
from tieout.contracts.control import (
    DeadLetters,
    DeadLettersRequest,
    JourneyRequest,
    Journeys,
    Status,
    StatusRequest,
)
from tieout.contracts.event import Notice, order_id
from tieout.contracts.ticket import Tickets, TicketsRequest
from tieout.devstack.patience import ask, until
from tieout.servicekit import Refused, batches, rehearsal
from tieout.servicekit.received import Reader


async def journeys(trio: Any, number: str, company: str = "") -> Journeys:
    return await ask(trio.control.nats, "rpc.control.journey", JourneyRequest(number, company), Journeys)


async def test_a_journey_is_told_from_the_notices(trio: Any) -> None:
    await trio.ship("1001", "1002")
    await trio.settled()
    answer = await journeys(trio, "1001")
    (journey,) = answer.journeys
    chain = str(order_id("C1", "shop", "1001"))
    assert (journey.company, journey.chain_id, journey.trace_id) == ("C1", chain, chain.replace("-", ""))
    assert [(step.service, step.step, step.event_type) for step in journey.steps] == [
        ("inventory", "shipped", "inventory.shipped.v1")
    ]
    assert set(answer.unanswered) >= {"gateway", "order"}
    assert (await journeys(trio, "#1001")).journeys == answer.journeys  # As shops show it.


async def test_an_order_that_nobody_has_heard_of_is_refused_with_the_next_step(trio: Any) -> None:
    with pytest.raises(Refused) as refused:
        await journeys(trio, "nothing", "C1")
    problem = refused.value.problem
    assert (problem.code, problem.status, problem.field) == ("not_found", 404, "order_no")
    assert "quarantine" in problem.detail


async def test_a_notice_that_comes_twice_changes_nothing_but_the_repeats(trio: Any) -> None:
    chain = str(order_id("C1", "shop", "2001"))
    notice = Notice("2026-11-23T08:00:00Z", ("order.placed.v1",), (chain,), (7,), (chain,), ("2001",), ("C1",), ("",))
    received = Reader(Notice).read(
        msgspec.json.encode(notice), subject="order.notice.v1", attempts=1, stream="", stream_sequence=1, durable=""
    )
    (follow,) = (flow for flow in trio.control.flows if flow.durable == "control-follow-order")
    (would,) = await rehearsal.replayed(trio.control.database, follow, [received], dry=True)
    assert would.outcome == "booked"  # So a start sees that a restored database has forgotten it.
    for _ in range(2):
        await follow([received, received], trio.control.database)
    (would,) = await rehearsal.replayed(trio.control.database, follow, [received], dry=True)
    assert would.outcome == "already_there"
    (journey,) = (await journeys(trio, "2001")).journeys
    assert [(step.step, step.repeats) for step in journey.steps] == [("placed", 1)]
    async with trio.control.database.read() as connection:
        assert await connection.fetchval("SELECT sum(n) FROM tally") == 1


async def test_a_letter_says_what_was_given_up_and_why(trio: Any) -> None:
    positions = await trio.ship("1001", "poison-7")
    await trio.settled()
    answer = await until(
        lambda: ask(trio.control.nats, "rpc.control.dead_letters", DeadLettersRequest(), DeadLetters),
        lambda found: bool(found.letters),
    )
    (letter,) = answer.letters
    assert (letter.service, letter.flow, letter.reason) == ("finance", "finance-bill-shipments", "toy_poison")
    assert (letter.order_no, letter.company, letter.position) == ("poison-7", "C1", positions[1])


async def test_status_tells_health_lag_and_what_stands_still(trio: Any) -> None:
    await trio.ship("1001")
    await trio.settled()
    trio.gate.clear()
    await trio.ship("1002")
    await trio.ship("1003")  # A message of its own.
    await trio.published()
    status = await until(
        lambda: ask(trio.control.nats, "rpc.control.status", StatusRequest(), Status),
        lambda found: (
            any(flow.stalled_seconds > 0 for flow in found.flows)
            and [(entry.event_type, entry.total) for entry in found.throughput] == [("inventory.shipped.v1", 3)]
            and [one.service for one in found.services if one.up] == ["inventory", "finance", "control"]
        ),
    )
    services = {service.service: service for service in status.services}
    assert services["finance"].waiting == 2
    flows = {flow.durable: flow for flow in status.flows}
    assert flows["finance-bill-shipments"].waiting + flows["finance-bill-shipments"].unacked == 2
    assert flows["order-place-orders"].missing


async def test_a_flow_that_stops_opens_a_ticket_which_is_resolved_when_its_code_is_mended(
    trio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "PROBE_SECONDS", 0.2)

    async def tickets_that(state: str) -> Tickets:
        request = TicketsRequest("all", kind="flow_stopped")
        return await until(
            lambda: ask(trio.control.nats, "rpc.control.tickets", request, Tickets),
            lambda found: [ticket.state for ticket in found.tickets] == [state],
        )

    await trio.ship(*(f"bug-{number}" for number in range(40)))
    (ticket,) = (await tickets_that("open")).tickets
    assert (ticket.flow, ticket.priority, ticket.owner) == ("finance-bill-shipments", 1, "finance")
    assert ticket.detail.startswith("AttributeError")
    trio.partners.add("mended")
    await tickets_that("resolved")
    await trio.settled()
    dead = await ask(trio.control.nats, "rpc.control.dead_letters", DeadLettersRequest(), DeadLetters)
    assert not dead.letters  # Nothing was poured into DEAD.
