import asyncpg
import pytest
from tieout.devstack.testbed import stream_config


async def test_a_service_cannot_enter_the_database_of_another(testbed, service_database):
    order = await service_database("order", migrate=False)
    await service_database("finance", migrate=False)
    password = testbed.secrets.of("postgres_finance_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="CONNECT"):
        await asyncpg.connect(testbed.postgres.url(order.name, "finance_app", password))


async def test_a_role_enters_its_own_database_with_its_password_only(testbed, service_database):
    order = await service_database("order", migrate=False)
    connection = await asyncpg.connect(order.app_url)
    assert await connection.fetchval("SELECT current_user") == "order_app"
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(testbed.postgres.url(order.name, "order_app", "wrong"))


async def test_the_operator_plays_any_producer(operator):
    jetstream = operator.jetstream()
    await jetstream.add_stream(stream_config("order"))
    assert (await jetstream.publish("order.placed.v1", b"{}")).stream == "ORDER"


async def test_streams_of_an_earlier_test_are_gone(operator):
    assert await operator.jsm().streams_info() == []
