"""Batches from a real stream: what is acknowledged, what is tried again, what is given up, and when a flow stops."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
import pytest
from nats.js.errors import NotFoundError
from tieout.contracts.agreement import RestartedFlow, RestartFlowRequest
from tieout.contracts.operation import Health, Nothing, Trail, TrailRequest
from tieout.contracts.order import CancelRequested, OrderPlaced
from tieout.devstack.patience import ask
from tieout.servicekit import Letter, Refused, Unprocessable, batch_flow, batches, giving_up, intake, parked
from tieout.servicekit.letters import cause_of_letter
from tieout.servicekit.rehearsal import received
from tieout.servicekit.streams import dead_stream, own_stream

DURABLE = "inventory-reserve-stock"


@pytest.fixture
async def dead(operator) -> Any:
    """The DEAD stream, and a way to read its letters."""
    js = operator.jetstream()
    await js.add_stream(dead_stream(replicas=1, max_age_days=1))

    async def letters() -> list[Letter]:
        state = (await js.stream_info("DEAD")).state
        numbers = range(max(1, state.first_seq), state.last_seq + 1)
        return [msgspec.json.decode((await js.get_msg("DEAD", number)).data or b"", type=Letter) for number in numbers]

    return letters


def orders_are(service, number):
    async def look() -> bool:
        return bool(await service.database.pool.fetchval("SELECT count(*) = $1 FROM demand", number))

    return look


def acknowledged(operator, number):
    async def look() -> bool:
        try:
            info = await operator.jetstream().consumer_info("ORDER", DURABLE)
        except NotFoundError:  # The service has only just started.
            return False
        return info.ack_floor.stream_seq == number and info.num_ack_pending == 0

    return look


def flow_that(handle, size=100):
    return batch_flow(DURABLE, OrderPlaced, size=size)(handle)


async def test_a_batch_is_acknowledged_after_its_commit_and_announced(start_service, flow, play, toy, operator) -> None:
    service = await start_service([flow])
    await play(*[toy.placed(str(number)) for number in range(300)])
    await toy.until(orders_are(service, 300))
    await toy.until(acknowledged(operator, 300))

    async def published() -> bool:
        return len(await toy.told(operator)) == 300

    await toy.until(published)


async def test_a_flow_may_start_before_its_producer_has_a_stream(
    start_service, flow, toy, operator, monkeypatch
) -> None:
    ensure, looks = batches.FlowSubscriber._ensure_consumer, []

    async def counted(subscriber) -> None:
        looks.append(1)
        await ensure(subscriber)

    monkeypatch.setattr(batches.FlowSubscriber, "_ensure_consumer", counted)
    service = await start_service([flow])

    async def has_looked_in_vain() -> bool:
        return len(looks) >= 2

    await toy.until(has_looked_in_vain)
    await operator.jetstream().add_stream(own_stream("order", replicas=1, max_age_days=1))
    await operator.jetstream().publish("order.placed.v1", toy.envelope(toy.placed(), 1))
    await toy.until(orders_are(service, 1))


async def test_one_bad_message_of_many_is_found_and_buried_and_the_others_are_done(
    start_service, play, toy, operator, dead
) -> None:
    async def handle(batch, database):
        if any(one.data.order_no == "50" for one in batch):
            raise Unprocessable("unknown_company", "company", "C9 is not open.")
        await toy.note_demand(batch, database)

    await play(*[toy.placed(str(number)) for number in range(100)])
    service = await start_service([flow_that(handle)])
    await toy.until(orders_are(service, 99))
    await toy.until(acknowledged(operator, 100))
    (letter,) = await toy.until(dead)
    assert (letter.order_no, letter.reason, letter.field) == ("50", "unknown_company", "company")


async def test_unreadable_messages_are_buried_with_the_field(start_service, flow, play, toy, operator, dead) -> None:
    broken = toy.envelope(toy.placed("2"), 2).replace(b'"currency":"EUR"', b'"currency":"eur"')
    await play(toy.placed("1"), broken, b"\xff\xfe", b"[" * 200_000, b'{"pos":"x"}', toy.placed("3"))
    service = await start_service([flow])
    await toy.until(orders_are(service, 2))
    await toy.until(acknowledged(operator, 6))

    async def four() -> Any:
        found = await dead()
        return found if len(found) == 4 else None

    letters = sorted(await toy.until(four), key=lambda letter: letter.sequence)
    assert {letter.reason for letter in letters} == {"unreadable"}
    assert letters[0].field == "currency", letters[0]
    assert letters[1].body_base64


async def test_a_character_that_postgres_cannot_keep_is_named(start_service, flow, play, toy, dead) -> None:
    await play(toy.placed("nul\0here"), toy.placed("2"))
    service = await start_service([flow])
    await toy.until(orders_are(service, 1))
    (letter,) = await toy.until(dead)
    assert letter.reason == "nul_character"
    assert "orderno" in letter.field or "order_no" in letter.field


async def test_an_unforeseen_error_is_tried_again_and_then_buried(
    start_service, play, toy, dead, operator, monkeypatch
) -> None:
    monkeypatch.setattr(giving_up, "RETRY_SECONDS", (0.1, 0.1, 0.1))
    monkeypatch.setattr(parked, "LOOK_SECONDS", 0.1)
    tries = 0

    async def handle(batch, database):
        nonlocal tries
        if any(one.data.order_no == "2" for one in batch):
            tries += len(batch) == 1
            raise KeyError("a bug")
        await toy.note_demand(batch, database)

    await play(*[toy.placed(str(number)) for number in range(4)])
    service = await start_service([flow_that(handle)])
    await toy.until(orders_are(service, 3))
    await toy.until(acknowledged(operator, 4))
    (letter,) = await toy.until(dead)
    assert (letter.reason, letter.order_no) == ("internal_error", "2")
    assert "a bug" not in letter.detail  # It stands in the log, with its trace.
    assert tries >= 4


async def test_a_flow_stops_when_the_code_is_wrong_and_goes_on_when_it_is_mended(
    start_service, play, toy, dead, monkeypatch
) -> None:
    monkeypatch.setattr(batches, "PROBE_SECONDS", 0.2)
    wrong = True
    failed = 0

    async def handle(batch, database):
        nonlocal failed
        if wrong:
            failed += 1
            raise AttributeError("no such attribute")
        await toy.note_demand(batch, database)

    await play(*[toy.placed(str(number)) for number in range(200)])
    service = await start_service([flow_that(handle)])

    async def stopped() -> bool:
        return service._numbers()[DURABLE].get("stopped") == 1

    await toy.until(stopped)
    before = failed

    async def probed_in_vain() -> bool:
        return failed >= before + 2

    await toy.until(probed_in_vain)
    assert await stopped()
    wrong = False
    await toy.until(orders_are(service, 200))
    assert await dead() == []  # Nothing was poured into DEAD meanwhile.


async def test_a_parked_message_for_which_there_is_nothing_to_do_any_more_is_removed(start_service, play, toy) -> None:
    wrong = True

    async def handle(batch, database):
        if wrong:
            raise AttributeError("no such attribute")
        # Nothing of this batch concerns the flow: it begins no transaction.

    service = await start_service([batch_flow(DURABLE, OrderPlaced, retry_seconds=(3600.0,))(handle)])
    await play(toy.placed("0"))

    def parked_are(number):
        async def look() -> bool:
            return bool(await service.database.pool.fetchval("SELECT count(*) = $1 FROM parked", number))

        return look

    await toy.until(parked_are(1))
    wrong = False
    await service.database.pool.execute("UPDATE parked SET due_at = now()")
    await toy.until(parked_are(0))


async def test_a_stopped_flow_holds_up_no_parked_message_of_another_one(start_service, play, toy, monkeypatch) -> None:
    monkeypatch.setattr(parked, "LOOK_SECONDS", 0.1)
    done = []

    async def broken(batch, database):
        raise AttributeError("no such attribute")

    async def decide(batch, database):
        async with database.transaction():
            done.extend(one.data.order_no for one in batch)

    service = await start_service(
        [
            batch_flow(DURABLE, OrderPlaced)(broken),
            batch_flow("inventory-decide-cancellations", CancelRequested)(decide),
        ]
    )
    await play(*[toy.placed(str(number)) for number in range(60)])

    async def stopped() -> bool:
        return service._numbers()[DURABLE].get("stopped") == 1

    await toy.until(stopped)
    placed = toy.placed("1001")
    asked = CancelRequested(uuid.uuid4(), placed.order_id, "C1", "1001", placed.business_date, ())
    for flow, event in ((DURABLE, placed), ("inventory-decide-cancellations", asked)):
        await service.database.pool.execute(
            "INSERT INTO parked (durable, event_id, key, reason, subject, body, stream, stream_sequence, position, "
            "attempts, due_at) VALUES ($1, $2, '', 'retry', $3, $4, 'ORDER', 1, 1, 1, now())",
            flow,
            str(uuid.uuid4()),
            event.SUBJECT,
            toy.envelope(event, 1),
        )

    async def decided() -> bool:
        return done == ["1001"]

    await toy.until(decided)
    assert await stopped()


async def test_a_parked_message_that_was_due_while_its_flow_had_stopped_runs_soon_after(
    start_service, play, toy, dead, monkeypatch
) -> None:
    monkeypatch.setattr(batches, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(parked, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(parked, "LEASE_SECONDS", 3600.0)  # So long it would wait, were its claim not given back.
    wrong = {"0"}

    async def handle(batch, database):
        if "all" in wrong or any(one.data.order_no in wrong for one in batch):
            raise AttributeError("no such attribute")
        await toy.note_demand(batch, database)

    service = await start_service([batch_flow(DURABLE, OrderPlaced, retry_seconds=(3600.0,))(handle)])
    await play(toy.placed("0"))

    async def waits() -> bool:
        return bool(await service.database.pool.fetchval("SELECT count(*) FROM parked"))

    async def stopped() -> bool:
        return service._numbers()[DURABLE].get("stopped") == 1

    await toy.until(waits)
    wrong.add("all")
    await play(*[toy.placed(str(number)) for number in range(1, 60)])
    await toy.until(stopped)

    async def claimed_and_given_back() -> bool:
        query = "SELECT bool_and(claims = 0 AND attempts = 1 AND due_at > $1) FROM parked"
        return bool(await service.database.pool.fetchval(query, due))

    due = await service.database.pool.fetchval("UPDATE parked SET due_at = now() RETURNING due_at")
    await toy.until(claimed_and_given_back)
    wrong.clear()
    await toy.until(orders_are(service, 60))
    assert await dead() == []


async def test_a_database_that_goes_away_pauses_the_flow_and_costs_no_attempt(
    start_service, flow, play, toy, toy_database, testbed, operator
) -> None:
    service = await start_service([flow])
    administrator = await asyncpg.connect(testbed.postgres.url())
    for round_ in range(5):
        await play(*[toy.placed(f"{round_}-{number}") for number in range(50)])
        await administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", toy_database.name
        )
    await administrator.close()
    await toy.until(acknowledged(operator, 250))
    await toy.until(orders_are(service, 250))
    async with service.database.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE stream = 'DEAD'") == 0


async def test_messages_that_come_twice_change_nothing(start_service, flow, play, toy, operator) -> None:
    body = toy.envelope(toy.placed("1"), 10**6)
    await play(body, body, toy.placed("2"), body)
    service = await start_service([flow])
    await toy.until(acknowledged(operator, 4))
    assert await orders_are(service, 2)()


async def test_a_parked_message_is_run_right_after_the_commit_that_wakes_it(
    start_service, play, toy, operator, monkeypatch
) -> None:
    monkeypatch.setattr(parked, "LOOK_SECONDS", 3600.0)  # Nothing but the commit starts it.

    async def handle(batch, database):
        async with database.transaction() as tx:
            for one in batch:
                number = one.data.order_no
                if number == "partner":
                    await tx.execute("INSERT INTO order_anchor VALUES ($1)", one.data.order_id)
                    tx.wake(["early"])
                elif not await tx.fetchval("SELECT EXISTS (SELECT FROM order_anchor)"):
                    tx.park(one, key="early", reason="waits for its partner")
                else:
                    await tx.copy(
                        "demand",
                        columns=("position", "line_no", "order_id", "order_no", "quantity", "amount"),
                        records=[(one.position, 1, one.data.order_id, number, 1, 1)],
                    )

    service = await start_service([flow_that(handle)])
    await play(toy.placed("early"))
    await toy.until(acknowledged(operator, 1))
    assert await orders_are(service, 0)()
    waiting = toy.placed("early")
    for chain in (str(waiting.order_id), "early"):  # Its own chain, and the one that it waits for.
        told = await ask(operator, "rpc.inventory.trail", TrailRequest(chain), Trail)
        assert [(one.step, one.document) for one in told.entries] == [("waits for its partner", "early")]
    await play(toy.placed("partner"))
    await toy.until(orders_are(service, 1))
    assert await service.database.pool.fetchval("SELECT count(*) FROM parked") == 0


async def test_a_parked_message_that_is_in_hand_for_long_is_left_alone_by_another_process(
    start_service, play, toy, monkeypatch
) -> None:
    monkeypatch.setattr(parked, "LOOK_SECONDS", 0.05)
    assert 2 * parked.HOLD_SECONDS < parked.LEASE_SECONDS
    monkeypatch.setattr(parked, "LEASE_SECONDS", 3600.0)
    monkeypatch.setattr(parked, "HOLD_SECONDS", 0.05)
    begun: list[int] = []
    go_on = asyncio.Event()

    async def handle(batch, database):
        if not batch[0].tries:
            async with database.transaction() as tx:
                tx.park(batch[0], key="k", reason="waits for its partner")
            return
        begun.append(batch[0].attempts)
        await go_on.wait()
        await toy.note_demand(batch, database)

    service = await start_service([flow_that(handle)])
    await start_service([flow_that(handle)])
    await play(toy.placed("1"))

    async def parked_once() -> bool:
        return bool(await service.database.pool.fetchval("SELECT count(*) FROM parked"))

    await toy.until(parked_once)
    async with service.database.transaction() as tx:
        tx.wake(["k"])

    async def in_hand() -> bool:
        return bool(begun)

    async def claimed_anew() -> bool:
        """As if most of the claim's time had passed."""
        shorten = "UPDATE parked SET due_at = now() + interval '30 seconds' WHERE due_at > now() + interval '1 minute'"
        return await service.database.pool.execute(shorten) == "UPDATE 1"

    await toy.until(in_hand)
    for _ in range(4):
        await toy.until(claimed_anew)
    assert begun == [2]
    go_on.set()
    await toy.until(orders_are(service, 1))
    assert begun == [2]


async def test_what_a_killed_process_had_in_hand_is_free_soon_and_less_soon_if_it_kills_each(database, toy) -> None:
    message = received(toy.placed("1"), flow=DURABLE)
    async with database.transaction() as tx:
        tx.park(message, key="k", reason="waits for its partner")
    pool = database.pool
    leases = []
    for _ in range(4):
        async with pool.acquire() as connection, connection.transaction():  # In which the clock stands.
            await connection.execute("UPDATE parked SET due_at = now()")
            await connection.fetch(parked.statements.claim, parked.LEASE_SECONDS)  # And then the process dies.
            leases.append(await connection.fetchval("SELECT extract(epoch FROM due_at - now())::int FROM parked"))
    assert leases == [6, 24, 96, 384]
    async with database.transaction() as tx:
        tx.park(message, key="k", reason="waits for its partner")  # A try that comes to its end.
    assert await pool.fetchval("SELECT claims FROM parked") == 0


async def test_a_stop_finishes_what_is_in_hand_and_leaves_nothing_unacknowledged(
    start_service, flow, play, toy, operator
) -> None:
    service = await start_service([flow])
    await play(*[toy.placed(str(number)) for number in range(400)])
    await service.stop()

    async def settled() -> Any:  # The broker counts an acknowledgement a moment after it came.
        info = await operator.jetstream().consumer_info("ORDER", DURABLE)
        return info if info.num_ack_pending == 0 else None

    done = (await toy.until(settled)).ack_floor.stream_seq
    again = await start_service([flow])
    await toy.until(acknowledged(operator, 400))
    assert await orders_are(again, 400)()
    assert again._numbers()[DURABLE].get("done", 0) == 400 - done
    assert again._numbers()[DURABLE].get("retried", 0) == 0


async def test_health_tells_what_a_flow_did_and_how_fast(start_service, flow, play, toy) -> None:
    service = await start_service([flow])
    began = datetime.now(UTC)
    await play(*[toy.placed(str(number)) for number in range(20)])
    await toy.until(orders_are(service, 20))

    async def done() -> bool:
        return service._numbers()[DURABLE].get("done") == 20

    await toy.until(done)
    numbers = service._numbers()[DURABLE]
    assert 0 < numbers["latency_p50_ms"] <= (datetime.now(UTC) - began).total_seconds() * 1000
    assert numbers["lag"] == 0


async def test_a_batch_that_runs_long_is_not_delivered_again(start_service, play, toy, operator, monkeypatch) -> None:
    monkeypatch.setattr(intake, "EXTEND_SECONDS", 0.5)
    first: list[Any] = []

    async def handle(batch, database):
        if not first:  # The next one waits, and is extended as well.
            first.append(batch)
            await asyncio.sleep(batches.ACK_WAIT_SECONDS * 1.25)
        await toy.note_demand(batch, database)

    await play(*[toy.placed(str(number)) for number in range(4)])
    service = await start_service([flow_that(handle, size=2)])
    await toy.until(acknowledged(operator, 4))
    assert service._numbers()[DURABLE].get("retried", 0) == 0


async def test_a_letter_keeps_headers_attempts_with_their_times_and_the_cause(
    start_service, play, toy, dead, operator
) -> None:
    async def handle(batch, database):
        if any(one.data.order_no.startswith("bad") for one in batch):
            raise KeyError("a bug")
        await toy.note_demand(batch, database)

    await play()
    for number in ("bad-1", "bad-2"):
        headers = {"Origin": "till 7", "Nats-Expected-Stream": "ORDER"}
        await operator.jetstream().publish("order.placed.v1", toy.envelope(toy.placed(number), 1), headers=headers)
    await start_service([batch_flow(DURABLE, OrderPlaced, retry_seconds=(0.05,))(handle)])

    async def both() -> Any:
        found = await dead()
        return found if len(found) == 2 else None

    one, other = await toy.until(both)
    assert one.headers["Origin"] == "till 7"
    assert (one.attempts, len(one.tries)) == (2, 2)
    assert one.tries[0] < one.tries[1]
    assert one.trace_id == one.chain_id.replace("-", "")
    assert one.cause == other.cause
    assert one.fingerprint != other.fingerprint


async def test_a_passing_cause_gives_a_parked_message_its_attempt_back(start_service, play, toy, monkeypatch) -> None:
    monkeypatch.setattr(parked, "LEASE_SECONDS", 3600.0)  # Who is not given back is far from due.
    failed = 0

    async def handle(batch, database):
        nonlocal failed
        if batch[0].tries:
            failed += 1
            raise TimeoutError("the database is away")
        async with database.transaction() as tx:
            tx.park(batch[0], key="partner", reason="waits for its partner")

    await play(toy.placed("1"))
    service = await start_service([flow_that(handle)])
    pool = service.database.pool

    async def parked_once() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM parked"))

    await toy.until(parked_once)
    for _ in range(3):
        before = failed
        async with service.database.transaction() as tx:
            tx.wake(["partner"])

        async def given_back(before: int = before) -> Any:
            counts = "SELECT attempts, cardinality(tries) FROM parked WHERE due_at < now() + interval '1 minute'"
            return await pool.fetchrow(counts) if failed > before else None

        assert await toy.until(given_back) == (1, 1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Order 1001 has no article AB-7.", "Order 77 has no article Q-12.", True),
        ("Company ACME is not open.", "Company BETA is not open.", True),
        ("Expected `int` - at `$.lines[0].sku`", "Expected `int` - at `$.lines[12].sku`", True),
        ("Expected `int` - at `$.lines[0].sku`", "Expected `str` - at `$.lines[0].sku`", False),
        ("KeyError in bill", "KeyError in settle", False),
    ],
)
def test_the_fingerprint_of_a_cause_is_blind_to_numbers_and_names(one: str, other: str, same: bool) -> None:
    causes = [cause_of_letter("finance", "finance-bill-shipments", "unreadable", "", text) for text in (one, other)]
    assert (causes[0] == causes[1]) is same


async def test_a_burst_of_unreadable_events_stops_the_flow_until_a_person_gives_them_up(
    start_service, flow, play, toy, operator, dead, testbed
) -> None:
    def body(number: int) -> bytes:
        return toy.envelope(toy.placed(str(number)), number).replace(b'"currency":"EUR"', b'"currency":"eur"')

    await play(*[toy.placed(str(number)) for number in range(1, 11)], *[body(number) for number in range(11, 311)])
    service = await start_service([flow])
    await toy.until(orders_are(service, 10))  # The good ones beside them are done.

    async def stopped() -> bool:
        return bool(service._numbers()[DURABLE].get("stopped") == 1)

    await toy.until(stopped)
    told = (await ask(operator, "rpc.inventory.health", Nothing(), Health)).stopped
    assert told[DURABLE].startswith("unreadable events: ")
    assert "$.currency" in told[DURABLE]
    await service.stop()  # Nothing is lost: all of it comes again,
    assert len(await dead()) < 100
    service = await start_service([flow])
    await toy.until(stopped)  # and a version that reads no better stops again.
    request = RestartFlowRequest(DURABLE, "anna", "the producer was mended; these are lost", give_up_unreadable=True)
    await ask(operator, "rpc.inventory.restart_flow", request, RestartedFlow)

    async def all_given_up() -> bool:
        return len({letter.sequence for letter in await dead()}) == 300

    await toy.until(all_given_up)
    await play(toy.placed("999"))
    await toy.until(orders_are(service, 11))
    assert not await stopped()
    with pytest.raises(Refused, match="not stopped by what it cannot read"):
        await ask(operator, "rpc.inventory.restart_flow", request, RestartedFlow)


async def test_a_few_unreadable_events_among_many_stop_nothing(start_service, flow, play, toy, dead) -> None:
    broken = [toy.envelope(toy.placed(str(n)), n).replace(b'"EUR"', b'"eur"') for n in range(1, 61)]
    await play(*broken, *[toy.placed(str(number)) for number in range(1000, 1200)])
    service = await start_service([flow])
    await toy.until(orders_are(service, 200))

    async def given_up() -> bool:
        return len(await dead()) == 60

    await toy.until(given_up)
    assert not service._numbers()[DURABLE].get("stopped")
