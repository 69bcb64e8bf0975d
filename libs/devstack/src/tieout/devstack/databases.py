"""One database per service with three roles each, and no way from one service into another's data.

owner migrates, app works (what it may do to a table is decided in the migrations), auditor reads.
"""

import asyncio

import asyncpg
from tieout.devstack.postgres import Postgres
from tieout.devstack.secrets import Secrets

ROLES = ("owner", "app", "auditor")


def database_of(service: str) -> str:
    return f"tieout_{service}"


def role_of(service: str, role: str) -> str:
    return f"{service}_{role}"


def secret_of(service: str, role: str) -> str:
    """Name of the role's password among the stack's secrets."""
    return f"postgres_{service}_{role}"


async def prepare(postgres: Postgres, secrets: Secrets, services: tuple[str, ...]) -> bool:
    """Roles with their present passwords, and the databases that are missing. True if one was; safe to run again."""
    connection = await asyncpg.connect(postgres.url())
    try:
        await connection.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
        roles = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        databases = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        for service in services:
            for role in ROLES:
                name = role_of(service, role)
                verb = "ALTER" if name in roles else "CREATE"
                password = secrets.of(secret_of(service, role))  # Letters and digits only, see secrets.py.
                await connection.execute(f"{verb} ROLE {name} LOGIN NOINHERIT PASSWORD '{password}'")
            # To say who holds the lock that a flow waits for; statements carry no values, as ours are all prepared.
            app = role_of(service, "app")
            await connection.execute(f"GRANT pg_read_all_stats TO {app} WITH INHERIT TRUE")
        await open_again(connection, *(name for name in map(database_of, services) if name in databases))
    finally:
        await connection.close()
    missing = [service for service in services if database_of(service) not in databases]
    await asyncio.gather(*(_create_alone(postgres, service) for service in missing))  # Half the time of one by one.
    return bool(missing)


async def open_again(superuser: asyncpg.Connection, *names: str) -> None:
    """What a recovery that was killed may have left closed: it copies only what nobody is connected to."""
    closed = "SELECT datname FROM pg_database WHERE datname = ANY ($1::text[]) AND NOT datallowconn"
    for row in await superuser.fetch(closed, list(names)):
        await superuser.execute(f"ALTER DATABASE {row['datname']} ALLOW_CONNECTIONS true")


async def _create_alone(postgres: Postgres, service: str) -> None:
    connection = await asyncpg.connect(postgres.url())
    try:
        await create(connection, service, database_of(service))
    finally:
        await connection.close()


async def create(connection: asyncpg.Connection, service: str, name: str, *, template: str = "") -> None:
    """A database that only the service's own roles may enter."""
    # Tests copy their template often: its files at once take a third of the time that it takes page by page.
    copied = f"TEMPLATE {template} STRATEGY file_copy" if template else ""
    await connection.execute(f"CREATE DATABASE {name} OWNER {role_of(service, 'owner')} {copied}")
    members = ", ".join(role_of(service, role) for role in ROLES)
    await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    await connection.execute(f"GRANT CONNECT ON DATABASE {name} TO {members}")
