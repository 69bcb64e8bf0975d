"""leaf sites -> whether the stream that the hub copies is still there

A site's stream that somebody deletes takes along what the hub had not copied yet, and the one made in its place begins
at 1. What is known of it stands with the hub's own copy, as metadata of that stream, so every process tells the same.
"""

import asyncio
import itertools
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import structlog
from msgspec import Struct, field
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError
from tieout.contracts.watch import LeafSite
from tieout.servicekit.instants import written

log = structlog.get_logger(__name__)

ANSWER_SECONDS_MAX = 2.0
WALK_MAX = 1_000  # Messages that the hub may have copied between two looks, read to tell what it had not.
SOURCE = "Nats-Stream-Source"  # The hub's word: stream and place there.
CREATED, REMADE, SEEN, LOST = "site-created", "site-remade", "site-seen", "site-lost"  # Metadata of the hub's copy.


class _State(Struct):
    last_seq: int = 0


class _Error(Struct):
    code: int = 0


class _Info(Struct):
    created: str = ""
    state: _State = field(default_factory=_State)
    error: _Error | None = None


_PLACES = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")
_read = msgspec.json.Decoder(_Info).decode


class Origin:
    """One site's own stream."""

    def __init__(self, site: str, stream: str) -> None:
        self._site = site
        self._subject = f"$JS.{site}.API.STREAM.INFO.{stream}"
        self._inbox = f"_INBOX_gateway.site.{site}"
        self._answers: tuple[Client, Subscription] | None = None
        self._numbers = itertools.count(1)
        self._told = LeafSite(site, "away", _now())
        self._last = 0  # The last place that was seen in it,
        self._copied = (0, 0)  # the hub's last message then and its place at the site,
        self._seen_at = ""  # and when.
        self._seen_of = ""  # Which of the streams of that name: when it was created.

    def told(self) -> LeafSite:
        return self._told

    async def look(self, client: Client, jetstream: JetStreamContext, copy: StreamInfo) -> dict[str, str]:
        """What is to be noted with `copy`, the hub's; the same as is noted there where nothing is new."""
        noted = noted_with(copy)
        copied = copy.state.last_seq, await _place(jetstream, copy.config.name or "", copy.state.last_seq)
        info = await self._ask(client)
        created = _moment(info.created) if info is not None else ""
        if info is None:
            self._note("away", noted)
        elif info.error is not None:
            if info.error.code == 404:
                if self._told.state != "missing":
                    log.error("the site has no stream", site=self._site, runbook="SiteStreamGone")
                self._note("missing", noted)
        elif created:
            if noted.get(CREATED, created) != created:
                noted = await self._remade(noted[CREATED], created, jetstream, copy)
                copied = copied[0], 0  # Perhaps still of the one before.
                log.error("the site's stream was made anew", site=self._site, runbook="SiteStreamGone", **_plain(noted))
            noted[CREATED] = created
            self._seen_of, self._seen_at = created, _now()
            self._last, self._copied = info.state.last_seq, copied
            self._note("ok", noted)
        return noted

    async def _remade(self, before: str, created: str, jetstream: JetStreamContext, copy: StreamInfo) -> dict[str, str]:
        noted = {REMADE: created}
        if self._seen_of != before:
            return noted  # This process has never seen the one before.
        noted[SEEN] = self._seen_at
        sequence, place = self._copied
        for later in range(sequence + 1, min(copy.state.last_seq, sequence + WALK_MAX) + 1):
            found = await _place(jetstream, copy.config.name or "", later)
            if found <= place:
                break  # The new one's.
            place = found
        if self._last > place:
            noted[LOST] = f"{place + 1}-{self._last}"
        return noted

    def _note(self, state: str, noted: Mapping[str, str]) -> None:
        first, _, last = noted.get(LOST, "0-0").partition("-")
        since = self._told.since if self._told.state == state else _now()
        self._told = LeafSite(
            self._site,
            "ok" if state == "ok" else "missing" if state == "missing" else "away",
            since,
            noted.get(REMADE, ""),
            int(first),
            int(last),
            noted.get(SEEN, "") if REMADE in noted else self._seen_at if state == "missing" else "",
        )

    async def _ask(self, client: Client) -> _Info | None:
        """None where nobody answers: the line is cut. A site may answer below this inbox only: about itself."""
        if self._answers is None or self._answers[0] is not client:
            self._answers = client, await client.subscribe(f"{self._inbox}.*")
        reply = f"{self._inbox}.{next(self._numbers)}"
        await client.publish(self._subject, b"", reply=reply)
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                while (answer := await self._answers[1].next_msg(timeout=ANSWER_SECONDS_MAX)).subject != reply:
                    pass  # Of a question that was given up.
            return _read(answer.data) if answer.data else None
        except (TimeoutError, msgspec.MsgspecError):
            return None


async def _place(jetstream: JetStreamContext, stream: str, sequence: int) -> int:
    """Where a message of the hub's copy stands at its site; 0 where there is none."""
    if not sequence:
        return 0
    try:
        headers = (await jetstream.get_msg(stream, sequence)).headers or {}
    except NotFoundError:
        return 0
    source = headers.get(SOURCE, "").split(" ")
    return int(source[1]) if len(source) > 1 and source[1].isdecimal() else 0


def noted_with(copy: StreamInfo) -> dict[str, str]:
    """What a hand may have altered so that nobody can read it is left out."""
    known = copy.config.metadata or {}
    noted = {key: at for key in (CREATED, REMADE, SEEN) if (at := _moment(known.get(key, "")))}
    if _PLACES.fullmatch(known.get(LOST, "")):
        noted[LOST] = known[LOST]
    return noted


def _moment(text: str) -> str:
    """In UTC; empty where it is no instant."""
    try:
        at = datetime.fromisoformat(text)
        return written(at) if at.tzinfo is not None else ""
    except (ValueError, OverflowError):
        return ""


def _plain(noted: Mapping[str, str]) -> dict[str, str]:
    return {key.replace("-", "_"): value for key, value in noted.items()}


def _now() -> str:
    return written(datetime.now(UTC))
