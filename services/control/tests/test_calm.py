"""Looks that nobody asked for rest while nothing is heard, and not a moment longer."""

import asyncio

import pytest
from tieout.control import calm
from tieout.control.calm import rest
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.servicekit.rehearsal import open_database


@pytest.fixture
async def database(service_database):
    """Of a service that does nothing by itself."""
    made = await service_database("control")
    database = await open_database(made.app_url, "control")
    yield database
    await database.pool.close()


async def test_while_all_is_well_a_look_waits_and_comes_at_last(database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "REST_SECONDS_MAX", 10 * PATIENCE_SECONDS)
    resting = asyncio.create_task(rest(database, 0.02, calm=True))
    _, waiting = await asyncio.wait([resting], timeout=0.3)
    assert waiting
    resting.cancel()
    monkeypatch.setattr(calm, "REST_SECONDS_MAX", 0.3)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await rest(database, 0.02, calm=True)


async def test_what_is_heard_ends_the_rest(database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "REST_SECONDS_MAX", 10 * PATIENCE_SECONDS)
    resting = asyncio.create_task(rest(database, 0.02, calm=True))
    await asyncio.sleep(0.1)
    assert not resting.done()
    async with database.transaction():
        pass
    async with asyncio.timeout(PATIENCE_SECONDS):
        await resting


async def test_who_listens_more_often_than_he_looks_still_rests_as_long_as_a_look_takes_at_least(
    database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calm, "REST_SECONDS_MAX", 600.0)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            async with database.transaction():
                pass

    monkeypatch.setattr(calm.asyncio, "sleep", sleep)
    await rest(database, 100, calm=True, listen_seconds=20)
    assert slept == [100, 20, 20, 20]


async def test_where_something_was_found_there_is_no_rest(database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "REST_SECONDS_MAX", 10 * PATIENCE_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await rest(database, 0.02, calm=False)
