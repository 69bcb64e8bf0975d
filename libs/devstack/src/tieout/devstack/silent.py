"""Who is silent, where control cannot say: the gateway is judged by itself, Postgres and the hub are asked directly."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import asyncpg
import nats.errors
from tieout.contracts.watch import Check
from tieout.devstack import hints, remote
from tieout.devstack.endpoints import DatabaseEndpoint, Endpoints, NatsEndpoint
from tieout.devstack.wording import why_silent

ALIVE_SECONDS_MAX = 5.0
SERVER_SECONDS_MAX = 5.0


def alive(where: Endpoints) -> None:
    """Raises httpx.HTTPError where the gateway's own process does not answer. It asks nobody else for this."""
    with where.client(timeout=ALIVE_SECONDS_MAX) as client:
        client.get("/healthz")


def servers(where: Endpoints) -> list[Check]:
    """Postgres and the hub as they answer us; elsewhere they are not ours to ask."""
    if remote.chosen() is not None:
        return []
    return asyncio.run(_servers(where))


async def _servers(where: Endpoints) -> list[Check]:
    databases, hub = await asyncio.gather(
        asyncio.gather(*(_why(_ask_database(one)) for one in where.databases.values())), _why(_ask_hub(where.hub))
    )
    away = {name: why for name, why in zip(where.databases, databases, strict=True) if why}
    found = []
    if away:
        told = f"No answer of the database of {', '.join(away)}: {next(iter(away.values()))}."
        why = "Whoever needs it waits for it; what was acknowledged is kept, and goes on once it answers."
        found.append(Check("postgres", "wrong", told, why, hints.command("logs postgres"), "DatabaseAway"))
    elif databases:
        found.append(Check("postgres", "ok", f"All {len(databases)} databases answer."))
    if hub:
        why = "Documents are taken in and wait; nothing goes from one service to another until it answers."
        found.append(Check("hub", "wrong", f"No answer of NATS: {hub}.", why, hints.command("logs hub"), "BrokerAway"))
    else:
        found.append(Check("hub", "ok", "NATS answers."))
    return found


async def _why(asked: Awaitable[None]) -> str:
    """Why there is no answer; nothing where there is one."""
    try:
        async with asyncio.timeout(SERVER_SECONDS_MAX):
            await asked
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, nats.errors.Error) as error:
        return why_silent(error)
    return ""


async def _ask_database(one: DatabaseEndpoint) -> None:
    password = (await asyncio.to_thread(Path(one.auditor_password_file).read_text)).strip()
    connection = await asyncpg.connect(one.auditor_dsn, password=password)
    try:
        await connection.execute("SELECT 1")
    finally:
        connection.terminate()


async def _ask_hub(hub: NatsEndpoint) -> None:
    await (await hub.connect()).close()
