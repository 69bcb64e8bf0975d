"""Dead letters are as safe as events: what the stream of all services' letters has lost of ours goes out again."""

import json

import pytest
from nats.js.errors import NotFoundError
from tieout.servicekit.rehearsal import received
from tieout.servicekit.streams import dead_stream

SUBJECT = "dead.inventory.inventory-reserve-stock"


@pytest.fixture
async def letters(operator):
    """Whose letters stand in the stream: (subject, reason), in its order."""
    await operator.jetstream().add_stream(dead_stream(replicas=1, max_age_days=1))

    async def read():
        js = operator.jetstream()
        state = (await js.stream_info("DEAD")).state
        found = []
        for sequence in range(max(1, state.first_seq), state.last_seq + 1):
            try:
                message = await js.get_msg("DEAD", sequence)
            except NotFoundError:
                continue
            found.append((message.subject, json.loads(message.data or b"{}").get("reason", "")))
        return found

    return read


async def bury(service, toy, *reasons):
    for position, reason in enumerate(reasons, 1):
        async with service.database.transaction() as tx:
            event = received(toy.placed(reason), position=position, flow="inventory-reserve-stock")
            tx.bury(event, reason=reason)


def noted(service):
    """The outbox knows where in the stream its letters stand."""

    async def look():
        return await service.database.pool.fetchval("SELECT bool_and(first_seq IS NOT NULL) FROM outbox")

    return look


def reasons_of(letters):
    async def read():
        return [reason for subject, reason in await letters() if subject == SUBJECT]

    return read


async def delete_and_make_anew(js):
    await js.delete_stream("DEAD")
    await js.add_stream(dead_stream(replicas=1, max_age_days=1))


async def delete_and_let_others_take_the_numbers(js):
    await delete_and_make_anew(js)
    for _ in range(5):
        await js.publish("dead.finance.finance-bill-shipments", b"{}")


async def lose_one(js):
    await js.delete_msg("DEAD", 2)


async def empty(js):
    await js.purge_stream("DEAD")


@pytest.mark.parametrize("harm", [delete_and_make_anew, delete_and_let_others_take_the_numbers, lose_one, empty])
async def test_letters_that_the_broker_lost_are_published_again(start_service, toy, operator, letters, harm) -> None:
    service = await start_service()
    await bury(service, toy, "one", "two", "three")

    async def there():
        return sorted(set(await reasons_of(letters)())) == ["one", "three", "two"]

    await toy.until(there)
    await toy.until(noted(service))
    assert await service.auditing.letterbox.look() == 0
    await harm(operator.jetstream())
    assert await service.auditing.letterbox.look() > 0
    assert await there()
    assert await service.auditing.letterbox.look() == 0
    await bury(service, toy, "four")
    assert await service.auditing.letterbox.look() == 0


async def test_a_tail_whose_numbers_others_have_taken_is_published_again(
    start_service, toy, operator, letters, owner
) -> None:
    service = await start_service()
    await bury(service, toy, "one", "two")

    async def there():
        return sorted(await reasons_of(letters)()) == ["one", "two"]

    await toy.until(there)
    await toy.until(noted(service))
    js = operator.jetstream()
    await js.delete_msg("DEAD", 2)  # As if it had never been written; then another service's letter has its number.
    await js.publish("dead.finance.finance-bill-shipments", b"{}")
    await owner.execute("UPDATE outbox SET first_seq = 3, last_seq = 3 WHERE stream = 'DEAD' AND first_seq = 2")
    assert await service.auditing.letterbox.look() == 1
    assert await there()


async def test_letters_that_went_by_their_age_are_not_missed(start_service, toy, operator, letters, owner) -> None:
    service = await start_service()
    await bury(service, toy, "one")

    async def there():
        return await reasons_of(letters)() == ["one"]

    await toy.until(there)
    await toy.until(noted(service))
    await owner.execute("UPDATE outbox SET written_at = now() - interval '24 hours'")
    await empty(operator.jetstream())
    assert await service.auditing.letterbox.look() == 0


async def test_a_deleted_stream_holds_up_nobody_and_is_filled_when_it_is_there_again(
    start_service, toy, operator, letters
) -> None:
    service = await start_service()
    await bury(service, toy, "one")

    async def there():
        return await reasons_of(letters)() == ["one"]

    await toy.until(there)
    await toy.until(noted(service))
    await operator.jetstream().delete_stream("DEAD")
    assert await service.auditing.letterbox.look() == 0
    assert await service.auditing.audit.run() == 0
    await operator.jetstream().add_stream(dead_stream(replicas=1, max_age_days=1))
    service.auditing.soon()
    await toy.until(there)


async def test_a_service_may_read_the_last_of_its_own_letters_only(testbed, operator, letters) -> None:
    import nats.errors

    client = await testbed.connect("inventory")
    await operator.jetstream().publish("dead.finance.finance-bill-shipments", b"{}")
    await operator.jetstream().publish(SUBJECT, b"{}")
    assert (await client.jetstream().get_last_msg("DEAD", SUBJECT, direct=True)).data == b"{}"
    with pytest.raises(nats.errors.TimeoutError):
        await client.jetstream(timeout=0.3).get_last_msg("DEAD", "dead.finance.finance-bill-shipments", direct=True)
    await client.close()
