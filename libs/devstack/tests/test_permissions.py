import asyncio

import nats.js.errors
import pytest
from tieout.contracts import streams
from tieout.devstack import permissions
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.devstack.testbed import stream_config


def allows(patterns, subject):
    """NATS's own rule: `*` is one token, `>` at the end is one or more."""

    def matches(pattern):
        wanted, given = pattern.split("."), subject.split(".")
        for index, token in enumerate(wanted):
            if token == ">":
                return len(given) > index
            if index >= len(given) or token not in ("*", given[index]):
                return False
        return len(wanted) == len(given)

    return any(matches(pattern) for pattern in patterns)


def test_an_event_can_be_published_by_its_producer_only():
    for subject, event in streams.EVENTS.items():
        may = [s for s in streams.CORE_SERVICES if allows(permissions.of_service(s).publish, subject)]
        assert may == [event.PRODUCER], subject


def test_a_durable_can_be_read_by_its_own_service_only():
    for flow in streams.FLOWS:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{flow.stream}.{flow.durable}"
        may = [s for s in streams.CORE_SERVICES if allows(permissions.of_service(s).publish, subject)]
        assert may == [flow.service], flow.durable


def test_no_service_may_delete_a_stream_or_hear_another_inbox():
    for service in streams.CORE_SERVICES:
        allowed = permissions.of_service(service, ["store-1"])
        for other in streams.CORE_SERVICES:
            assert not allows(allowed.publish, f"$JS.API.STREAM.DELETE.{streams.stream_of(other)}")
            assert allows(allowed.subscribe, f"{permissions.inbox_of(other)}.x") == (other == service)


def test_a_site_can_reach_no_core_subject():
    allowed = permissions.of_site("store-1")
    for subject in [*streams.EVENTS, "rpc.order.show", "dead.order.x", "sale.order", "intake.store-1.sale"]:
        assert not allows(allowed.publish, subject), subject


async def test_the_hub_refuses_a_subject_of_another_service(testbed, operator):
    await operator.jetstream().add_stream(stream_config("order"))
    service = await testbed.connect("inventory")
    with pytest.raises((TimeoutError, asyncio.TimeoutError, nats.js.errors.NoStreamResponseError)):
        await service.jetstream().publish("order.placed.v1", b"{}", timeout=0.3)
    await service.close()
    assert (await operator.jsm().stream_info("ORDER")).state.messages == 0


async def test_a_service_can_do_all_that_the_kit_does_with_its_own_stream_and_durable(testbed, operator):
    order, inventory = await testbed.connect("order"), await testbed.connect("inventory")
    jetstream = order.jetstream()
    await jetstream.add_stream(stream_config("order"))
    await jetstream.update_stream(stream_config("order"))
    assert (await jetstream.publish("order.placed.v1", b"{}")).seq == 1
    assert (await jetstream.get_msg("ORDER", 1, direct=True)).data == b"{}"
    reader = await inventory.jetstream().pull_subscribe("order.placed.v1", "inventory-reserve-stock", "ORDER")
    (message,) = await reader.fetch(1, timeout=PATIENCE_SECONDS)
    await message.ack_sync(timeout=PATIENCE_SECONDS)
    assert (await jetstream.consumers_info("ORDER"))[0].ack_floor.stream_seq == 1
    await order.close()
    await inventory.close()
