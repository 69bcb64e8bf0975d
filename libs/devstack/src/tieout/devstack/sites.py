"""The leaf sites of a stack, and how the launcher speaks with a broker."""

from typing import Any

import nats.aio.client
import nats.js.errors
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from tieout.devstack import nats as broker
from tieout.devstack import permissions
from tieout.devstack.secrets import Secrets

STREAM_SECONDS_MAX = 14 * 24 * 3600  # So long a site keeps what it has sold, heard by the hub or not.


async def prepare(name: str, site: broker.Nats, secrets: Secrets) -> None:
    """Each site keeps its own sales; the hub only copies them."""
    client = await connect(site, permissions.OPERATOR, secrets.of(f"nats_{name}-operator"))
    try:
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
