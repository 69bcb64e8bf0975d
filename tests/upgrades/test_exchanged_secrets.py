"""Passwords are exchanged under a running service: it finds the new ones by itself, and nobody is restarted."""

import asyncio
import secrets
import signal
import time

import asyncpg
import msgspec
import nats.errors
import pytest
from tieout.contracts.operation import Health
from tieout.devstack import databases
from tieout.devstack.suite import Stack

SERVICE = "order"


async def answered_by(stack: Stack, seconds: float) -> int:
    """Pid of the process that says that it is ready; 0 where none does in time."""
    operator = await stack.operator()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            answer = await operator.request(f"rpc.{SERVICE}.health", b"{}", timeout=1)
            health = msgspec.json.decode(answer.data, type=Health)
            if health.ready:
                return health.pid
        except (nats.errors.Error, msgspec.MsgspecError):
            pass
        await asyncio.sleep(0.1)
    return 0


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory):
    """For all tests: each ends with a service that works with its new password."""
    stack = Stack(tmp_path_factory.mktemp("exchanged") / "stack", services=(SERVICE,), sites=())
    async with stack.running():
        yield stack


async def test_a_password_of_the_database_is_exchanged_without_a_restart(stack):
    pid = await answered_by(stack, 5)
    new = secrets.token_hex(16)
    connection = await asyncpg.connect(stack.postgres.url())
    try:
        await connection.execute(f"ALTER ROLE {SERVICE}_app PASSWORD '{new}'")
        await connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{SERVICE}_app'"
        )
    finally:
        await connection.close()
    assert await answered_by(stack, 1) == 0  # No session is left, and the file still has the old one.
    stack.secrets.keep(databases.secret_of(SERVICE, "app"), new)
    assert await answered_by(stack, 15) == pid


@pytest.mark.parametrize("first", ["file", "broker"])
async def test_a_password_of_the_broker_is_exchanged_without_a_restart(stack, first):
    pid = await answered_by(stack, 5)
    new = "N" + secrets.token_hex(16)
    if first == "file":
        stack.secrets.keep(f"nats_{SERVICE}", new)
    for user in stack.hub._accounts["TIEOUT"]["users"]:
        if user["user"] == SERVICE:
            user["password"] = new
    stack.hub._write()
    stack.hub.process.send_signal(signal.SIGHUP)  # It reads its configuration again, and sends off who has the old one.
    if first == "broker":
        await asyncio.sleep(1)
        assert await answered_by(stack, 1) == 0
        stack.secrets.keep(f"nats_{SERVICE}", new)
    await asyncio.sleep(0.5)
    assert await answered_by(stack, 15) == pid
