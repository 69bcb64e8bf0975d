"""POST /v1/intake/{satellite}/{channel} -> 202 once the documents are on disk.

Who it is, is asked before the body is read; a signature over the body after it. Nothing is interpreted here.
"""

import asyncio
import contextlib
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import asyncpg
import msgspec
import structlog
from msgspec import Struct
from tieout.contracts.operation import Problem
from tieout.gateway.channels.registry import CHANNELS
from tieout.gateway.http.once import said_once
from tieout.gateway.http.problems import answer, refuse
from tieout.gateway.http.unproved import Crowded, Unproved
from tieout.gateway.identifiers import nth
from tieout.gateway.intake.keeping import Delivery, Keeper, Kept, KeyReused
from tieout.gateway.intake.splitting import INFLATED, SHAPES, Caps, Exceeded, Inflater, Shape, split, too_large
from tieout.gateway.satellites import Member, Satellites
from tieout.gateway.settings import Settings
from tieout.servicekit import Refused
from tieout.servicekit.errors import Cause, cause_of

log = structlog.get_logger(__name__)

PATH = "/v1/intake/"
SIGNED = ("hmac", "shopify")  # Ways to authenticate that are over the body.
KEY_CHARACTERS_MAX = 200
TOPIC_CHARACTERS_MAX = 100
DISCARD_SECONDS = 1.0  # How long we listen to what we have refused already.
DISCARD_BYTES_MAX = 16 << 20
OFF_THE_LOOP_FROM = 256 << 10  # Bytes of a body whose splitting and hashing would hold up everybody else.


class AcceptedRange(Struct, frozen=True):
    """Documents `first_document` to `last_document` of the request (lines of NDJSON that are not empty), from 1.

    Their ids count up in steps of 16.
    """

    first_document: int
    last_document: int
    first_id: str
    last_id: str


class Accepted(Struct, frozen=True):
    """What was sent is on disk. GET /v1/documents/{intake_id} tells what became of it."""

    intake_id: str  # Of the first document.
    documents: int
    resumed: bool  # The same Idempotency-Key was taken before; these are its ids.
    accepted: tuple[AcceptedRange, ...]


class _No(Exception):
    def __init__(self, code: str, detail: str, status: int, field: str = "", *, headers: Any = ()) -> None:
        super().__init__(detail)
        self.problem = Problem(code, detail, field, status)
        self.headers = headers


class _Gone(Exception):
    """The client hung up; nobody is left to be told."""


class Intake:
    """An ASGI application for one kind of path."""

    def __init__(self, satellites: Satellites, keeper: Keeper, settings: Settings) -> None:
        self._satellites = satellites
        self._keeper = keeper
        self._settings = settings
        self._caps = Caps(settings.document_bytes_max, settings.documents_max, settings.depth_max)
        self._under_way = 0
        self._by_satellite: Counter[str] = Counter()
        self._unproved = Unproved(settings.unproved_max, max(settings.unproved_bytes_max, settings.body_bytes_max))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path: str = scope["path"]
        body = _Body(receive)
        try:
            kept = await self._take(scope, body)
        except _No as no:
            await refuse(send, no.problem, path, rest=body.rest, headers=no.headers)
        except Exceeded as exceeded:
            problem = Problem(exceeded.code, exceeded.detail, "", exceeded.status)
            await refuse(send, problem, path, rest=body.rest)
        except Refused as refused:
            await refuse(send, refused.problem, path, rest=body.rest)
        except _Gone:
            return
        except Exception as error:
            if cause_of(error) is Cause.CODE:
                log.exception("intake failed", path=path)
                problem = Problem(
                    "internal", "Nothing was kept. Send it again; the gateway's log has the cause.", "", 500
                )
            else:
                log.warning("intake waits for the database", error=repr(error)[:300])
                problem = Problem("unavailable", "The database is away; nothing was kept. Send it again.", "", 503)
                if isinstance(error, asyncpg.DiskFullError):
                    told = "The disk of the database is full; nothing was kept. Send it again once there is room."
                    problem = Problem("disk_full", told, "", 507)
            await refuse(send, problem, path, rest=body.rest)
        else:
            location = (b"location", f"/v1/documents/{kept.first}".encode())
            await answer(send, 202, msgspec.json.encode(_accepted(kept)), headers=[location])

    async def _take(self, scope: Any, body: "_Body") -> Kept:
        if scope["method"] != "POST":
            raise _No("method", "Send documents with POST.", 405, headers=[(b"allow", b"POST")])
        names = scope["path"][len(PATH) :].split("/")
        if len(names) != 2 or not all(names):
            raise _No("not_found", "The path is /v1/intake/{satellite}/{channel}.", 404)
        headers = _headers(scope)
        member = await self._authenticate(unquote(names[0]), headers)
        channel = unquote(names[1])
        if channel not in CHANNELS:
            raise _No("not_found", f"There is no channel {channel[:40]!r}; there are {', '.join(CHANNELS)}.", 404)
        shape, packed = _form(scope)
        key, topic = _key(scope, headers), _topic(scope, headers)
        name = member.satellite.satellite
        raw = None
        if member.authentication in SIGNED:
            self._look(name)
            raw = await self._prove(body, headers, member, (scope.get("client") or ("",))[0])
        self._enter(name)
        try:
            content = await self._read(body, headers, packed) if raw is None else await self._unpack(raw, packed)

            def prepare() -> Delivery:
                delivery = Delivery(name, channel, topic, split(bytes(content), shape, self._caps), key)
                if key:
                    delivery.hash()
                return delivery

            delivery = prepare() if len(content) < OFF_THE_LOOP_FROM else await asyncio.to_thread(prepare)
            try:
                return await self._keeper.keep(delivery)
            except KeyReused:
                raise _No(
                    "key_reused",
                    "This Idempotency-Key came before with another body. Nothing was kept; use a key of its own.",
                    409,
                    "Idempotency-Key",
                ) from None
        finally:
            self._leave(name)

    async def _authenticate(self, name: str, headers: Mapping[str, str]) -> Member:
        """One answer for everybody who is not known: who exists here is nobody's business."""
        member = await self._satellites.find(name)
        if member is not None:
            if member.authentication == "key" and member.knows_key(_bearer(headers)):
                return member
            if member.authentication in SIGNED and _signature(member, headers):
                return member  # Proved once the body is here.
        raise _No("unauthorized", "No satellite of this name has this key or signature.", 401)

    async def _prove(self, body: "_Body", headers: Mapping[str, str], member: Member, address: str) -> bytearray:
        """The body of a sender who is known only once it is here. Nothing is unpacked before."""
        most = self._most(headers)
        raw = bytearray()
        try:
            with self._unproved.place(address) as place:
                async with asyncio.timeout(self._settings.body_seconds_max) as place.limit:
                    async for piece in body.pieces():
                        raw += piece
                        if len(raw) > most:
                            raise too_large(most)
                        self._unproved.add(place, len(piece))
                place.limit = None
                proof = (raw, _signature(member, headers))
                large = len(raw) >= OFF_THE_LOOP_FROM
                if await asyncio.to_thread(member.signed, *proof) if large else member.signed(*proof):
                    return raw
        except Crowded:
            raise _crowded() from None
        except TimeoutError:
            raise (_crowded() if place.gave_way else self._slow()) from None
        raise _No("unauthorized", "No satellite of this name has this key or signature.", 401)

    async def _read(self, body: "_Body", headers: Mapping[str, str], packed: bool) -> bytearray:
        most = self._most(headers)
        inflater = Inflater(most) if packed else None
        pieces = bytearray()
        try:
            async with asyncio.timeout(self._settings.body_seconds_max):
                async for piece in body.pieces():
                    if inflater is None:
                        pieces += piece
                        if len(pieces) > most:
                            raise too_large(most)
                    else:
                        await _inflate(inflater, piece, pieces)
        except TimeoutError:
            raise self._slow() from None
        return _whole(inflater, pieces)

    async def _unpack(self, raw: bytearray, packed: bool) -> bytearray:
        if not packed:
            return raw
        inflater, pieces = Inflater(self._settings.body_bytes_max), bytearray()
        await _inflate(inflater, bytes(raw), pieces)
        return _whole(inflater, pieces)

    def _most(self, headers: Mapping[str, str]) -> int:
        most = self._settings.body_bytes_max
        if int(headers.get("content-length") or 0) > most:
            raise too_large(most)
        return most

    def _slow(self) -> _No:
        seconds = self._settings.body_seconds_max
        return _No("too_slow", f"The body did not arrive within {seconds:g} s. Nothing was kept.", 408)

    def _look(self, name: str) -> None:
        """Raises _No where there is no place."""
        settings = self._settings
        if self._by_satellite[name] >= settings.requests_per_satellite_max:
            most = settings.requests_per_satellite_max
            raise _No("too_many_requests", f"{most} requests of this satellite are under way, which is the most.", 429)
        if self._under_way >= settings.requests_max:
            raise _No("busy", f"{settings.requests_max} requests are under way, which is the most.", 503)

    def _enter(self, name: str) -> None:
        self._look(name)
        self._under_way += 1
        self._by_satellite[name] += 1

    def _leave(self, name: str) -> None:
        self._under_way -= 1
        self._by_satellite[name] -= 1
        if not self._by_satellite[name]:
            del self._by_satellite[name]


async def _inflate(inflater: Inflater, piece: bytes, pieces: bytearray) -> None:
    try:
        for found in inflater.feed(piece):
            pieces += found
            if len(found) == INFLATED:
                await asyncio.sleep(0)
    except zlib.error as error:
        raise _No("bad_encoding", f"The body is no gzip: {error}.", 422, "Content-Encoding") from None


def _whole(inflater: Inflater | None, pieces: bytearray) -> bytearray:
    if inflater is not None and not inflater.ended:
        raise _No("bad_encoding", "The gzip body ends too early.", 422, "Content-Encoding")
    return pieces


def _crowded() -> _No:
    return _No("busy", "Others wait for this place and nobody knows yet who you are. Send it again, at once.", 503)


class _Body:
    """The request's body; `rest` is set while a part of it was not taken."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self.ended = False

    @property
    def rest(self) -> Callable[[], Awaitable[None]] | None:
        return None if self.ended else self._discard

    async def _discard(self) -> None:
        found = 0
        with contextlib.suppress(TimeoutError, _Gone):
            async with asyncio.timeout(DISCARD_SECONDS):
                async for piece in self.pieces():
                    found += len(piece)
                    if found > DISCARD_BYTES_MAX:
                        return

    async def pieces(self) -> Any:
        while not self.ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            self.ended = not message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece


def _accepted(kept: Kept) -> Accepted:
    span = AcceptedRange(1, kept.documents, str(kept.first), str(nth(kept.first, kept.documents - 1)))
    return Accepted(str(kept.first), kept.documents, kept.resumed, (span,))


def _headers(scope: Any) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _bearer(headers: Mapping[str, str]) -> str:
    if key := headers.get("x-api-key"):
        return key.strip()
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _signature(member: Member, headers: Mapping[str, str]) -> str:
    if member.authentication == "shopify":
        return headers.get("x-shopify-hmac-sha256", "")
    return headers.get("x-signature-sha256", "").removeprefix("sha256=")


def _form(scope: Any) -> tuple[Shape, bool]:
    kind = said_once(scope["headers"], "Content-Type").partition(";")[0].strip().lower()
    shape = SHAPES.get(kind)
    if shape is None:
        raise _No("media_type", f"Content-Type {kind[:60]!r} is none of {', '.join(SHAPES)}.", 415, "Content-Type")
    packed = said_once(scope["headers"], "Content-Encoding").lower()
    if packed not in ("identity", "", "gzip"):
        raise _No("media_type", f"Content-Encoding {packed[:40]!r} is not known; send gzip.", 415, "Content-Encoding")
    return shape, packed == "gzip"


def _key(scope: Any, headers: Mapping[str, str]) -> str:
    """Shopify names its deliveries too: the same webhook again carries the same id."""
    key = ""
    for name in ("Idempotency-Key", "X-Shopify-Webhook-Id"):
        if not key and name.lower() in headers:
            key = said_once(scope["headers"], name)
    if len(key) > KEY_CHARACTERS_MAX or "\0" in key:
        told = f"It has at most {KEY_CHARACTERS_MAX} characters, and no NUL among them."
        raise _No("invalid", told, 422, "Idempotency-Key")
    return key


def _topic(scope: Any, headers: Mapping[str, str]) -> str:
    topic = said_once(scope["headers"], "X-Shopify-Topic") if "x-shopify-topic" in headers else ""
    if not topic and scope["query_string"]:
        topic = parse_qs(scope["query_string"].decode("latin-1")).get("topic", [""])[0]
    if len(topic) > TOPIC_CHARACTERS_MAX or "\0" in topic:
        told = f"It has at most {TOPIC_CHARACTERS_MAX} characters, and no NUL among them."
        raise _No("invalid", told, 422, "X-Shopify-Topic")
    return topic
