"""Several events in one message: how they travel, and that each of them is still handled by itself."""

import asyncio

import msgspec
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st
from nats.js.errors import NotFoundError
from tieout.contracts.order import OrderPlaced
from tieout.servicekit import Letter, Unprocessable, batch_flow
from tieout.servicekit.packs import BYTES_MAX, EVENTS_MAX, content_type, events_in, packed, plan, unpacked
from tieout.servicekit.received import Reader
from tieout.servicekit.streams import dead_stream

DURABLE = "inventory-reserve-stock"


def event(number: int, size: int = 10) -> bytes:
    return b'{"specversion":"1.0","data":{"n":%d,"text":"%s"}}' % (number, b"x" * size)


def travel(*messages: tuple[str, bytes]) -> list[tuple[str, bytes]]:
    subjects, bodies = zip(*messages, strict=True)
    return packed(subjects, bodies, plan(messages))


def test_one_event_travels_as_it_is() -> None:
    assert travel(("a", event(1)), ("b", event(2))) == [("a", event(1)), ("b", event(2))]


def test_events_of_one_subject_travel_together_and_others_apart() -> None:
    found = travel(("a", event(1)), ("b", event(2)), ("a", event(3)), ("notice", b'{"time":""}'))
    assert [subject for subject, _ in found] == ["a", "b", "notice"]
    assert unpacked(found[0][1]) == [event(1), event(3)]
    assert content_type(found[0][1]) == "application/cloudevents-batch+json"
    assert content_type(found[1][1]) == "application/cloudevents+json"
    assert content_type(found[2][1]) == ""


def test_what_is_no_event_never_shares_a_message() -> None:
    letter = b'{"id":"1"}'
    assert travel(("dead.x.y", letter), ("dead.x.y", letter)) == [("dead.x.y", letter)] * 2


def test_a_pack_is_bounded_in_events_and_bytes() -> None:
    many = travel(*[("a", event(n)) for n in range(EVENTS_MAX * 2 + 1)])
    assert [events_in(body) for _, body in many] == [EVENTS_MAX, EVENTS_MAX, 1]
    large = travel(*[("a", event(n, BYTES_MAX // 2)) for n in range(3)])
    assert [events_in(body) for _, body in large] == [1, 1, 1]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=30))))
def test_whatever_travels_arrives_once_and_in_the_order_of_its_subject(told: list[tuple[str, str]]) -> None:
    messages = [(subject, b'{"specversion":"1.0","data":' + msgspec.json.encode(text) + b"}") for subject, text in told]
    if not messages:
        return
    arrived = [(subject, one) for subject, body in travel(*messages) for one in unpacked(body)]
    assert sum(events_in(body) for _, body in travel(*messages)) == len(messages)
    for subject in "abc":
        assert [one for one in arrived if one[0] == subject] == [one for one in messages if one[0] == subject]


@pytest.mark.parametrize("body", [b"", b"[]", b"[" * 200_000, b"[{" * 100_000, b"\xff\xfe", b"[1,2]", b'[{"a":'])
def test_what_is_no_pack_comes_back_whole(body: bytes) -> None:
    assert unpacked(body) == [body]
    assert events_in(body) == 1


def test_a_pack_is_what_the_official_sdk_reads_as_a_batch(toy) -> None:
    bodies = [toy.envelope(toy.placed(str(number)), number) for number in (1, 2)]
    ((_, body),) = travel(*[(OrderPlaced.SUBJECT, one) for one in bodies])
    read = [JSONFormat().read(CloudEvent, msgspec.json.encode(one)) for one in msgspec.json.decode(body)]
    assert [one.get_extension("orderno") for one in read] == ["1", "2"]


def pack(toy, *numbers: object) -> bytes:
    bodies = [
        toy.envelope(toy.placed(str(number)), number) if isinstance(number, int) else number for number in numbers
    ]
    return b"[" + b",".join(bodies) + b"]"


def acknowledged(operator, sequence):
    async def look() -> bool:
        try:
            info = await operator.jetstream().consumer_info("ORDER", DURABLE)
        except NotFoundError:  # The service has only just started.
            return False
        return info.ack_floor.stream_seq == sequence and info.num_ack_pending == 0

    return look


async def test_bad_events_in_the_middle_of_a_pack_are_buried_alone(start_service, play, toy, operator) -> None:
    async def handle(batch, database):
        if any(one.data.order_no == "50" for one in batch):
            raise Unprocessable("unknown_company", "company", "C9 is not open.")
        await toy.note_demand(batch, database)

    js = operator.jetstream()
    await js.add_stream(dead_stream(replicas=1, max_age_days=1))
    broken = toy.envelope(toy.placed("7"), 7).replace(b'"currency":"EUR"', b'"currency":"eur"')
    service = await start_service([batch_flow(DURABLE, OrderPlaced, size=100)(handle)])
    await play(pack(toy, *range(1000, 1040), broken, *range(40, 60)), pack(toy, *range(100, 110)))
    await toy.until(acknowledged(operator, 2))
    assert await service.database.pool.fetchval("SELECT count(*) FROM demand") == 69

    async def letters() -> list[Letter]:
        state = (await js.stream_info("DEAD")).state
        found = [(await js.get_msg("DEAD", n)).data or b"" for n in range(1, state.last_seq + 1)]
        return [msgspec.json.decode(body, type=Letter) for body in found] if len(found) == 2 else []

    unreadable, refused = sorted(await toy.until(letters), key=lambda letter: letter.reason, reverse=True)
    assert (unreadable.reason, unreadable.field, unreadable.body.encode()) == ("unreadable", "currency", broken)
    assert (refused.reason, refused.order_no, refused.sequence) == ("unknown_company", "50", 1)


async def test_a_message_is_acknowledged_when_the_last_of_its_events_is_settled(
    start_service, play, toy, operator
) -> None:
    """Events of one pack that are handled in several transactions; the process stops in between."""
    release = asyncio.Event()

    async def handle(batch, database):
        if len(batch) > 1:
            raise ValueError("one by one, please")
        if batch[0].data.order_no == "2" and not release.is_set():
            raise OSError("the disk is away")
        await toy.note_demand(batch, database)

    service = await start_service([batch_flow(DURABLE, OrderPlaced, size=100)(handle)])
    await play(pack(toy, 1, 2, 3))

    async def first_is_there() -> bool:
        return bool(await service.database.pool.fetchval("SELECT count(*) = 1 FROM demand"))

    await toy.until(first_is_there)
    assert (await operator.jetstream().consumer_info("ORDER", DURABLE)).ack_floor.stream_seq == 0
    release.set()
    await toy.until(acknowledged(operator, 1))
    assert await service.database.pool.fetchval("SELECT count(*) FROM demand") == 3


async def test_lag_is_told_in_events(start_service, play, toy, operator) -> None:
    hold = asyncio.Event()

    async def handle(batch, database):
        await hold.wait()
        await toy.note_demand(batch, database)

    service = await start_service([batch_flow(DURABLE, OrderPlaced, size=50)(handle)])
    await play(*[pack(toy, *range(first, first + 50)) for first in range(1, 2001, 50)])

    async def behind() -> bool:
        await service._subscribers[0].look_at_lag()
        return 1500 < service._numbers()[DURABLE]["lag"] <= 2000

    await toy.until(behind)
    hold.set()
    await toy.until(acknowledged(operator, 40))


@pytest.mark.parametrize("pos", ["0", "-1", " 12 ", "１２", "9000000000000000000", "x"])
def test_a_position_is_what_a_producer_writes(toy, pos: str) -> None:
    body = toy.envelope(toy.placed("1"), 1).replace(b'"pos":"1"', f'"pos":"{pos}"'.encode())
    with pytest.raises(msgspec.ValidationError, match="pos"):
        Reader(OrderPlaced).read(
            body, subject=OrderPlaced.SUBJECT, attempts=1, stream="", stream_sequence=1, durable=""
        )


async def test_each_unreadable_event_of_a_pack_has_a_letter_of_its_own(
    start_service, flow, play, toy, operator
) -> None:
    js = operator.jetstream()
    await js.add_stream(dead_stream(replicas=1, max_age_days=1))
    broken = [
        toy.envelope(toy.placed(str(n)), n).replace(b'"currency":"EUR"', b'"currency":"eur"') for n in range(2, 5)
    ]
    await start_service([flow])
    await play(pack(toy, 1, *broken, 5))
    await toy.until(acknowledged(operator, 1))

    async def letters() -> set[str]:
        state = (await js.stream_info("DEAD")).state
        found = [(await js.get_msg("DEAD", n)).data or b"" for n in range(1, state.last_seq + 1)]
        return {msgspec.json.decode(body, type=Letter).id for body in found} if len(found) == 3 else set()

    assert len(await toy.until(letters)) == 3
