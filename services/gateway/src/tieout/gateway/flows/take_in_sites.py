"""leaf sites -> INTAKE_<SITE> -> raw documents

A site sells into a stream of its own, whether the hub is there or not; the hub copies it. A sale is acknowledged once
it is in our database, so the site's copy may only age away after that. A message that comes again is kept once.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from hashlib import sha256

import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    ExternalStream,
    StorageType,
    StreamConfig,
    StreamInfo,
    StreamSource,
    SubjectTransform,
)
from nats.js.errors import NotFoundError
from tieout.contracts.streams import site_stream
from tieout.contracts.watch import LeafSite
from tieout.gateway.channels import canonical
from tieout.gateway.flows.look_at_sites import SOURCE, Origin, noted_with
from tieout.gateway.intake.keeping import Delivery, Keeper, KeyReused
from tieout.gateway.settings import Settings
from tieout.servicekit import Service
from tieout.servicekit.connection import Message
from tieout.servicekit.errors import Cause, cause_of, told
from tieout.servicekit.intake import Intake
from tieout.servicekit.letters import headers_of
from tieout.servicekit.streams import resume
from tieout.servicekit.wire import acknowledge

log = structlog.get_logger(__name__)

SITE_STREAM, SITE_SUBJECT = "SAT", "sale.>"  # At each site.
LEAF_NODES = "$SYS.ACCOUNT.TIEOUT.CONNECT"  # Somebody has connected to the hub.
MESSAGE_ID = "Nats-Msg-Id"  # The till's own.
DURABLE = "gateway-take-in"
LOOK_SECONDS = 5.0  # Between two looks at the stream's settings, and at the site's own: three small questions.
BATCH = 500
LINGER_SECONDS = 0.02
ACK_WAIT_SECONDS = 6  # Extended while a batch runs; so long a killed process' messages wait for another one.
# A site's node is back about a second after the hub, and its announcement may come before we listen again.
RESUME_AFTER_SECONDS = (0.3, 1.5, 3.0, 6.0)

_AWAY = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


def _is_safe(found: StreamConfig) -> bool:
    """It throws nothing away for what is new; else sales are lost that are not taken in yet."""
    limits = (found.max_msgs, found.max_msgs_per_subject, found.max_msg_size)
    return found.discard == DiscardPolicy.NEW and all(limit is None or limit <= 0 for limit in limits)


class Sites:
    """All leaf sites of this hub."""

    def __init__(self, service: Service, keeper: Keeper, settings: Settings) -> None:
        self._service = service
        names = dict.fromkeys(name.strip() for name in settings.sites.split(",") if name.strip())
        self._sites = [Site(name, service, keeper, settings) for name in names]

    def told(self) -> tuple[LeafSite, ...]:
        return tuple(site.origin.told() for site in self._sites)

    async def run(self) -> None:
        if not self._sites:
            await asyncio.Event().wait()
        by_name = {site.name: site for site in self._sites}

        async def note(message: Msg) -> None:
            with contextlib.suppress(ValueError, AttributeError, KeyError):
                client = json.loads(message.data)["client"]
                if client["kind"] == "Leafnode" and (site := by_name.get(client.get("user", ""))) is not None:
                    site.link_is_up()

        await self._service.nats.subscribe(LEAF_NODES, cb=note)
        self._service.servers.on_back.append(self._hub_is_back)
        async with asyncio.TaskGroup() as group:
            for site in self._sites:
                group.create_task(site.take_in())
                group.create_task(site.keep_sourcing())

    def _hub_is_back(self) -> None:
        """After a restart of the hub its streams forget for up to 40 seconds to ask the sites."""
        for site in self._sites:
            site.hub_is_back()


class Site:
    def __init__(self, name: str, service: Service, keeper: Keeper, settings: Settings) -> None:
        self.name = name
        self._service = service
        self._keeper = keeper
        self._stream = site_stream(name)
        self.origin = Origin(name, SITE_STREAM)
        self._replicas = settings.stream_replicas
        self._days = settings.stream_max_age_days
        self._resume = asyncio.Event()
        self._due: list[asyncio.TimerHandle] = []
        self._intake: Intake | None = None

    # ---------------------------------------------------------------------------------------------- sourcing

    def link_is_up(self) -> None:
        self._resume.set()

    def hub_is_back(self) -> None:
        """A new connection: the broker knows no request of ours, and no longer asks the site."""
        if self._intake is not None:
            self._intake.again()
        loop = asyncio.get_running_loop()
        for timer in self._due:
            timer.cancel()
        self._due = [loop.call_later(seconds, self._resume.set) for seconds in RESUME_AFTER_SECONDS]

    async def keep_sourcing(self) -> None:
        """Putting the sources away and back makes the hub ask the site at once. Where two processes do so at the same
        moment it may copy everything again: that is no other delivery."""
        self._resume.set()  # The hub may have been restarted while we were away.
        task = asyncio.current_task()
        # A cancellation that meets the broker's answer is swallowed by `asyncio.wait_for` (Python 3.11), and the group
        # around us passes on no second one: so the stop took ten seconds.
        while task is None or not task.cancelling():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._resume.wait(), LOOK_SECONDS)
            resumed = self._resume.is_set()
            self._resume.clear()
            try:
                copy = await self._ensure_stream()
                jetstream, found = self._service.jetstream, copy.config
                noted = await self.origin.look(self._service.nats, jetstream, copy)
                if not resumed and _is_safe(found) and noted == noted_with(copy):
                    continue
                if not _is_safe(found):
                    log.warning("the stream's settings were not ours and are put back", stream=self._stream)
                for sourcing in (
                    False,
                    True,
                ):  # Left to itself a hub asks a new stream after 20 seconds.
                    config = self._config(sourcing=sourcing, max_bytes=found.max_bytes, metadata=noted)
                    await jetstream.update_stream(config)
                log.info("site is sourced", site=self.name)
            except _AWAY as error:
                if not resumed:
                    continue  # Whoever is back announces it.
                log.warning("site cannot be sourced yet", site=self.name, error=told(error))
                await asyncio.sleep(0.5)
                self._resume.set()

    def _config(
        self, *, sourcing: bool, max_bytes: int | None = None, metadata: dict[str, str] | None = None
    ) -> StreamConfig:
        """`max_bytes` is the operator's: a full stream refuses, and the hub asks the site again until there is room."""
        source = StreamSource(
            name=SITE_STREAM,
            external=ExternalStream(api=f"$JS.{self.name}.API"),
            # So a site can forge nobody's subject: what it sends is below its own name.
            subject_transforms=[SubjectTransform(src=SITE_SUBJECT, dest=f"intake.{self.name}.>")],
        )
        return StreamConfig(
            name=self._stream,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=max_bytes,
            num_replicas=self._replicas,
            max_age=self._days * 86_400,
            duplicate_window=0,  # Else one site's message ids could swallow another's.
            allow_direct=True,
            sources=[source] if sourcing else [],
            metadata=metadata,
        )

    async def _ensure_stream(self) -> StreamInfo:
        try:
            return await self._service.jetstream.stream_info(self._stream)
        except NotFoundError:
            return await self._service.jetstream.add_stream(self._config(sourcing=True))

    # ---------------------------------------------------------------------------------------------- taking in

    async def take_in(self) -> None:
        """Batch by batch: commit, then acknowledge. While the database is away nothing is acknowledged."""
        connection = self._service.nats
        self._intake = intake = Intake(
            connection, self._stream, DURABLE, size=BATCH, linger_seconds=LINGER_SECONDS, ensure=self._ensure_consumer
        )
        await intake.start()
        try:
            while messages := await intake.take():
                await self._keep(messages)
                await acknowledge(connection, [message.reply for message in messages])
                intake.settled()
        finally:
            with contextlib.suppress(Exception):
                await intake.close()
            intake.end()

    async def _ensure_consumer(self) -> None:
        await self._service.jetstream.stream_info(self._stream)
        config = ConsumerConfig(
            name=DURABLE,
            durable_name=DURABLE,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_SECONDS,
            max_ack_pending=BATCH * 20,
            max_deliver=-1,
        )
        try:
            found = await self._service.jetstream.consumer_info(self._stream, DURABLE)
        except NotFoundError:
            await self._service.jetstream.add_consumer(self._stream, config)
        else:
            await resume(self._service.jetstream, found)

    async def _keep(self, messages: list[Message]) -> None:
        """Until all are on disk, however long the database is away."""
        left = messages
        pause = 0.2
        while True:
            kept = await asyncio.gather(
                *(self._keeper.keep(self._delivery(message)) for message in left), return_exceptions=True
            )
            failed = []
            for message, answer in zip(left, kept, strict=True):
                if isinstance(answer, BaseException) and not isinstance(answer, KeyReused):
                    if isinstance(answer, asyncio.CancelledError):
                        raise answer
                    failed.append((message, answer))
            if not failed:
                return
            error = failed[0][1]
            if isinstance(error, Exception) and cause_of(error) is Cause.CODE:
                log.error("site's documents cannot be kept", site=self.name, exc_info=error)
            else:
                log.warning("site waits for the database", site=self.name, error=repr(error)[:200])
            left = [message for message, _ in failed]
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    def _delivery(self, message: Message) -> Delivery:
        place = message.reply.split(".")
        sequence = place[5] if len(place) == 9 else place[7]  # Later servers put domain and account first.
        headers = headers_of(message.raw_headers)
        return delivery_of(self._stream, int(sequence), message.subject, message.data, headers)


def delivery_of(stream: str, sequence: int, subject: str, body: bytes, headers: Mapping[str, str]) -> Delivery:
    """Named by its place and its content: the same message again is the same delivery; a place that is used again,
    because the stream was lost and filled anew, is another one.

    The hub copies a site's messages again when it forgets how far it was. Then each stands at another place of the
    hub's stream, and at the same one of the site's. But a site whose own stream was lost begins anew at 1, and nothing
    that the hub has tells its streams apart. So that place counts where the till has named the message as well. What it
    has not named is rather taken in twice than lost.
    """
    _, site, topic = subject.split(".", 2)
    named, source = headers.get(MESSAGE_ID, ""), headers.get(SOURCE, "").split(" ")
    place = f"site:{source[1]}" if named and len(source) > 1 and source[1].isdecimal() else str(sequence)
    content = sha256(f"{named}\n{subject}\n".encode("utf-8", "replace") + body).hexdigest()
    return Delivery(site, canonical.NAME, topic[:100], [body], f"{stream}:{place}:{content[:32]}")
