"""How control asks the others: each service for its side of the books, the broker for how far each consumer is."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import Client
from tieout.contracts.operation import Health, Nothing
from tieout.contracts.streams import FLOW
from tieout.contracts.watch import LeafSite, LeafSites, SitesRequest
from tieout.control.domain.agreement import Floor
from tieout.servicekit import Refused, ask

Answer = TypeVar("Answer")


class Unanswered(Exception):
    """A service is away, too slow, or refused the question; says which and why."""

    def __init__(self, service: str, why: str, *, gone: bool = False, refusal: Refused | None = None) -> None:
        super().__init__(f"{service}: {why}")
        self.service = service
        self.why = why
        self.gone = gone  # Nobody is there at all, so there was nothing to wait for.
        self.refusal = refusal  # It is there, and has said why not.


def _silence(error: Exception, seconds: float) -> str:
    """For people, to whom the name of a class says nothing."""
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s"
    return str(error).removeprefix("nats: ") or "the connection to the broker is down"


class _AckFloor(Struct):
    stream_seq: int = 0
    consumer_seq: int = 0


class _ApiError(Struct):
    code: int = 0
    description: str = ""


class _Info(Struct):
    error: _ApiError | None = None


class _ConsumerConfig(Struct):
    pause_until: str = ""


class _ConsumerInfo(_Info):
    """The few fields of JetStream's answers that the proof needs."""

    ack_floor: _AckFloor = msgspec.field(default_factory=_AckFloor)
    num_pending: int = 0
    num_ack_pending: int = 0
    paused: bool = False
    config: _ConsumerConfig = msgspec.field(default_factory=_ConsumerConfig)


class _StreamState(Struct):
    last_seq: int = 0
    bytes: int = 0


class _StreamInfo(_Info):
    state: _StreamState = msgspec.field(default_factory=_StreamState)


Told = TypeVar("Told", bound=_Info)
_read_consumer = msgspec.json.Decoder(_ConsumerInfo).decode
_read_stream = msgspec.json.Decoder(_StreamInfo).decode

BROKER = "nats"  # As a name among those who may not answer.


class Colleagues:
    """`connection` is asked each time: this is made before the service has one."""

    def __init__(
        self, connection: Callable[[], Client], seconds_max: float = 5.0, heard_at: dict[str, datetime] | None = None
    ) -> None:
        self._connection = connection
        self._seconds_max = seconds_max
        self.heard_at = {} if heard_at is None else heard_at  # When each service last answered.
        self.requests = 0  # To services.
        self.answer_bytes = 0

    def counting(self) -> "Colleagues":
        """The same ones, with counters of one's own."""
        return Colleagues(self._connection, self._seconds_max, self.heard_at)

    async def ask(
        self, service: str, verb: str, request: object, answer: type[Answer], *, seconds: float | None = None
    ) -> Answer:
        """`rpc.<service>.<verb>`. Raises Unanswered."""
        subject = f"rpc.{service}.{verb}"
        self.requests += 1
        try:
            told = await ask(
                self._connection(), subject, request, answer, timeout=seconds or self._seconds_max, heard=self._heard
            )
        except nats.errors.NoRespondersError:
            raise Unanswered(service, "nobody is there", gone=True) from None
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise Unanswered(service, f"{subject}: {_silence(error, seconds or self._seconds_max)}") from None
        except Refused as refusal:
            raise Unanswered(service, f"{subject}: {refusal.problem.detail}", refusal=refusal) from None
        except msgspec.MsgspecError as error:
            raise Unanswered(service, f"{subject} answered what this version cannot read: {error}") from None
        self.heard_at[service] = datetime.now(UTC)
        return told

    def _heard(self, size: int) -> None:
        self.answer_bytes += size

    async def health(self, service: str) -> list[Health]:
        """What is up of a service; empty where nobody answers."""
        try:
            return [await self.ask(service, "health", Nothing(), Health, seconds=min(2.0, self._seconds_max))]
        except Unanswered:
            return []

    async def sites(self) -> tuple[LeafSite, ...]:
        """Leaf sites as the gateway sees them. Raises Unanswered."""
        told = await self.ask("gateway", "sites", SitesRequest(), LeafSites, seconds=min(2.0, self._seconds_max))
        return told.sites

    async def last_sequence(self, stream: str) -> int:
        """The stream's highest sequence. Raises Unanswered."""
        info = await self._api(f"STREAM.INFO.{stream}", _read_stream)
        return info.state.last_seq

    async def stream_bytes(self, stream: str) -> int | None:
        """What a stream holds; None where the broker knows of none. Raises Unanswered."""
        info = await self._api(f"STREAM.INFO.{stream}", _read_stream)
        return None if info.error is not None else info.state.bytes

    async def floors(self, durables: Iterable[str]) -> dict[str, Floor]:
        """How far each durable consumer has confirmed; those that the broker does not know are left out.

        Raises Unanswered where the broker itself does not answer.
        """
        names = list(durables)
        infos = await asyncio.gather(*(self._floor(durable) for durable in names))
        return {durable: floor for durable, floor in zip(names, infos, strict=True) if floor is not None}

    async def _floor(self, durable: str) -> Floor | None:
        info = await self._api(f"CONSUMER.INFO.{FLOW[durable].stream}.{durable}", _read_consumer)
        if info.error is not None:
            return None
        floor, until = info.ack_floor, info.config.pause_until if info.paused else ""
        return Floor.of(floor.stream_seq, info.num_pending, info.num_ack_pending, floor.consumer_seq, until)

    async def _api(self, call: str, read: Callable[[bytes], Told]) -> Told:
        """One question to JetStream. An answer that says "not found" is given back, other errors are Unanswered."""
        try:
            answer = await self._connection().request(f"$JS.API.{call}", b"", timeout=self._seconds_max)
            info = read(answer.data)
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise Unanswered(BROKER, f"{call}: {_silence(error, self._seconds_max)}") from None
        except msgspec.MsgspecError as error:
            raise Unanswered(BROKER, f"{call}: {error}") from None
        if info.error is not None and info.error.code != 404:
            raise Unanswered(BROKER, f"{call}: {info.error.description}")
        return info
