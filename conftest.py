"""Fixtures for every test of the project: real Postgres, real NATS, nothing mocked.

Each test process (so each worker of `pytest -n`) has one Postgres and one hub of its own on free ports, started at
first use. Tests in one process run one after the other, so the hub's streams belong to the running test.

    async def test_an_order_is_placed_once(service_database, operator):
        database = await service_database("order")            # fresh, migrated, dropped afterwards
        settings = Settings.from_environment(database.environment)   # what the service's process would get
        stream = await operator.jetstream().add_stream(stream_config("gateway"))   # play another producer
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from nats.aio.client import Client
from tieout.devstack.testbed import ServiceDatabase, Testbed

os.environ["TIEOUT_LANGUAGE"] = "en"  # Whatever the terminal of whoever runs the tests speaks.
# An example may take as long as the machine makes it: slowness is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

CreateDatabase = Callable[..., Awaitable[ServiceDatabase]]


@pytest.fixture(scope="session")
def testbed() -> Iterator[Testbed]:
    """The servers of this test process: `testbed.postgres`, `testbed.hub`, `testbed.secrets`."""
    bed = Testbed()
    try:
        bed.start()
        yield bed
    finally:
        bed.stop()


@pytest.fixture
async def service_database(testbed: Testbed) -> AsyncIterator[CreateDatabase]:
    """`await service_database("inventory")` gives a fresh database with the service's schema, as often as you like.

    It carries `app_url`, `owner_url`, `auditor_url` and the `environment` of a service process on it.
    `migrate=False` leaves it empty (roles only). Dropped after the test, even with connections open.
    """
    made: list[ServiceDatabase] = []

    async def create(service: str, *, migrate: bool = True) -> ServiceDatabase:
        made.append(await testbed.create_database(service, migrate=migrate))
        return made[-1]

    yield create
    for database in made:
        await testbed.drop_database(database)


@pytest.fixture(scope="session")
async def _operator(testbed: Testbed) -> AsyncIterator[Client]:
    client = await testbed.connect()
    yield client
    await client.close()


@pytest.fixture
async def operator(testbed: Testbed, _operator: Client) -> AsyncIterator[Client]:
    """A NATS client on the hub that may do everything. All streams are deleted after the test.

    `testbed.connect("order")` connects with a service's own permissions instead. To play a producer that is not
    running, add its stream with `tieout.devstack.testbed.stream_config("order")`.
    """
    yield _operator
    await testbed.clear_streams(_operator)
