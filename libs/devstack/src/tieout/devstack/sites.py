"""The leaf sites of a stack, and how the launcher speaks with a broker."""

import asyncio
from typing import Any

import nats.aio.client
import nats.errors
import nats.js.errors
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from tieout.devstack import nats as broker
from tieout.devstack import permissions, processes
from tieout.devstack.secrets import Secrets

STREAM_SECONDS_MAX = 14 * 24 * 3600  # So long a site keeps what it has sold, heard by the hub or not.
_MAKE_SECONDS_MAX = 5.0


async def prepare(name: str, site: broker.Nats, secrets: Secrets) -> None:
    """Each site keeps its own sales; the hub only copies them."""
    client = await connect(site, permissions.OPERATOR, secrets.of(f"nats_{name}-operator"))
    try:
        await _make(client)
    finally:
        await client.close()


async def _make(client: nats.aio.client.Client) -> None:
    config = StreamConfig(
        name=permissions.SITE_STREAM,
        subjects=[permissions.SITE_SUBJECT],
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        allow_direct=True,
        max_age=STREAM_SECONDS_MAX,
    )
    try:
        await client.jsm().add_stream(config)
    except nats.js.errors.BadRequestError:  # It exists with other settings.
        await client.jsm().update_stream(config)


async def restore(name: str, site: broker.Nats, secrets: Secrets) -> None:
    """Where somebody deleted a site's stream its tills cannot sell, cut off from the hub or not: it is made anew."""
    if not await asyncio.to_thread(site.lacks_stream, permissions.SITE_STREAM):
        return
    try:
        async with asyncio.timeout(_MAKE_SECONDS_MAX):
            made = await _make_where_it_is_gone(name, site, secrets)
    except (nats.errors.Error, nats.js.errors.Error, OSError) as error:  # Tried again at the next look.
        processes.complain(f"{name} has no stream {permissions.SITE_STREAM}, and it cannot be made: {error}")
        return
    if made:
        processes.complain(
            f"the stream {permissions.SITE_STREAM} of {name} was gone, and is made anew. What the hub had not copied "
            f"of it is lost: ./tieout doctor"
        )


async def _make_where_it_is_gone(name: str, site: broker.Nats, secrets: Secrets) -> bool:
    """A server that has just started lists its streams a moment later than it answers."""
    client = await connect(site, permissions.OPERATOR, secrets.of(f"nats_{name}-operator"))
    try:
        await client.jsm().stream_info(permissions.SITE_STREAM)
        return False
    except nats.js.errors.NotFoundError:
        await _make(client)
        return True
    finally:
        await client.close()


async def connect(server: broker.Nats, user: str, password: str) -> nats.aio.client.Client:
    async def quiet(_: Exception) -> None:
        """The hub is restarted on purpose at times; the client connects again by itself."""

    client = nats.aio.client.Client()
    options: dict[str, Any] = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.1, "error_cb": quiet}
    await client.connect(
        server.url, user=user, password=password, inbox_prefix=permissions.inbox_of(user).encode(), **options
    )
    return client
