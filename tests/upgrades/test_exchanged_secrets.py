"""Passwords are exchanged under a running service: it finds the new ones by itself, and nobody is restarted."""

import asyncio
import secrets
import signal

import asyncpg
import msgspec
import nats.errors
import pytest
from tieout.contracts.operation import Health
from tieout.devstack import databases, patience
from tieout.devstack.suite import Stack

SERVICE = "order"


RELOADED = "Reloaded server configuration"


async def until(question, wanted):
    await patience.until(question, lambda answer: answer == wanted)


async def answers(stack: Stack) -> int:
    """Pid of the process that says that it is ready; 0 where none does."""
    operator = await stack.operator()
    try:
        answer = await operator.request(f"rpc.{SERVICE}.health", b"{}", timeout=5)
        health = msgspec.json.decode(answer.data, type=Health)
    except (nats.errors.Error, msgspec.MsgspecError):
        return 0
    return health.pid if health.ready else 0


def process_of(stack: Stack) -> int:
    return stack.running_processes()[SERVICE].pid


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory):
    """For all tests: each ends with a service that works with its new password."""
    stack = Stack(tmp_path_factory.mktemp("exchanged") / "stack", services=(SERVICE,), sites=())
    async with stack.running():
        yield stack


async def test_a_password_of_the_database_is_exchanged_without_a_restart(stack):
    pid = process_of(stack)
    await until(lambda: answers(stack), pid)
    new = secrets.token_hex(16)
    connection = await asyncpg.connect(stack.postgres.url())
    try:
        await connection.execute(f"ALTER ROLE {SERVICE}_app PASSWORD '{new}'")
        await connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{SERVICE}_app'"
        )
    finally:
        await connection.close()
    await until(lambda: answers(stack), 0)  # No session is left, and the file still has the old one.
    stack.secrets.keep(databases.secret_of(SERVICE, "app"), new)
    await until(lambda: answers(stack), pid)


@pytest.mark.parametrize("first", ["file", "broker"])
async def test_a_password_of_the_broker_is_exchanged_without_a_restart(stack, first):
    pid = process_of(stack)
    await until(lambda: answers(stack), pid)
    new = "N" + secrets.token_hex(16)
    if first == "file":
        stack.secrets.keep(f"nats_{SERVICE}", new)
    for user in stack.hub._accounts["TIEOUT"]["users"]:
        if user["user"] == SERVICE:
            user["password"] = new
    stack.hub._write()
    before = stack.hub.log.read_text().count(RELOADED)
    stack.hub.process.send_signal(signal.SIGHUP)  # It reads its configuration again, and sends off who has the old one.
    while stack.hub.log.read_text().count(RELOADED) == before:  # noqa: ASYNC110 - pytest ends it.
        await asyncio.sleep(0.05)
    if first == "broker":
        await until(lambda: answers(stack), 0)
        stack.secrets.keep(f"nats_{SERVICE}", new)
    await until(lambda: answers(stack), pid)
