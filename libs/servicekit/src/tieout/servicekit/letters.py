"""Dead letters: a message that cannot be handled, as it came, with everything that is needed to mend and replay it.

They leave through the outbox like events, so a letter is written in the transaction that gives the message up.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct
from tieout.contracts.event import event_id
from tieout.contracts.streams import DEAD_STREAM, dead_subject
from tieout.servicekit.received import encode
from tieout.servicekit.trace_context import trace_id

LETTER_BYTES_MAX = 1_000_000  # A message may have 1 MiB; some of it is header.
DETAIL_CHARACTERS_MAX = 2_000


class Letter(Struct, frozen=True, omit_defaults=True):
    """The body of a message on `dead.<service>.<flow>`."""

    id: str
    at: str
    service: str
    version: str
    flow: str
    reason: str
    detail: str
    subject: str  # Of the original.
    stream: str
    sequence: int
    attempts: int
    fingerprint: str  # sha256 of the original body, hex: the same poison sent twice is recognised.
    cause: str = ""  # Fingerprint of why: the same for all messages that fail for one reason. See `cause_of_letter`.
    field: str = ""
    body: str = ""  # The original as text,
    body_base64: str = ""  # or so, where it is no UTF-8. Both empty: too large, read it from the stream.
    traceparent: str = ""
    event_id: str = ""
    chain_id: str = ""
    order_no: str = ""
    company: str = ""
    position: int = 0
    trace_id: str = ""  # Where the chain's trace is found, 32 hex digits.
    headers: dict[str, str] = {}  # Of the message, as they came.
    tries: tuple[
        str, ...
    ] = ()  # When this service tried it. Deliveries that died with their process are in `attempts`.


_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”")  # Not backticks: msgspec names types and paths in them.
_INDEX = re.compile(r"\[[^\]]*\]")
_NAME = re.compile(r"[\w.,:/-]*\d[\w.,:/-]*|\b[A-Z][A-Z_-]+\b")  # With a digit in it, or in capitals: a number, a code.
NORMALISED_CHARACTERS_MAX = 200


def cause_of_letter(service: str, flow: str, reason: str, field: str, detail: str) -> str:
    """What all messages that fail for one reason have in common, whatever they hold: 16 hex digits.

    Numbers, ids, codes in capitals, quoted words and indexes count as the same.
    """
    told = _NAME.sub("#", _INDEX.sub("[]", _QUOTED.sub("#", _UUID.sub("#", detail))))
    path = _INDEX.sub("[]", field)
    key = "|".join((service, flow, reason, path, told[:NORMALISED_CHARACTERS_MAX]))
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:16]


def headers_of(raw: bytes) -> dict[str, str]:
    """NATS/1.0 header lines; a name that comes twice keeps both values, joined by a line end."""
    found: dict[str, str] = {}
    for line in raw.decode("utf-8", "replace").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon:
            found[name] = f"{found[name]}\n{value.strip()}" if name in found else value.strip()
    return found


def id_of_letter(durable: str, stream: str, sequence: int, event: str = "", ordinal: int = 0) -> str:
    """Names the place of the original, so a second giving-up is the same letter. `event`: its id, or else `ordinal`,
    its number in a pack that nobody can read."""
    return event_id("dead", durable, stream, sequence, event or (ordinal or ""))


def write_letter(
    *,
    service: str,
    version: str,
    durable: str,
    subject: str,
    body: bytes,
    stream: str,
    sequence: int,
    attempts: int,
    reason: str,
    field: str = "",
    detail: str = "",
    traceparent: str = "",
    event_id_: str = "",
    ordinal: int = 0,
    chain_id: str = "",
    order_no: str = "",
    company: str = "",
    position: int = 0,
    headers: bytes = b"",
    tries: Sequence[datetime] = (),
) -> tuple[UUID, str, bytes]:
    """Id, subject and body. The id names the place of the original, so a second giving-up is the same letter.

    `ordinal`: which event of its message an unreadable one is, from 0; it has no id that could be read.
    """
    identity = id_of_letter(durable, stream, sequence, event_id_, ordinal)
    text, encoded = "", ""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        encoded = base64.b64encode(body).decode()
    now = datetime.now(UTC)
    letter = Letter(
        id=identity,
        at=_text(now),
        service=service,
        version=version,
        flow=durable,
        reason=reason,
        field=field,
        detail=detail[:DETAIL_CHARACTERS_MAX],
        subject=subject,
        stream=stream,
        sequence=sequence,
        attempts=attempts,
        fingerprint=hashlib.sha256(body).hexdigest(),
        cause=cause_of_letter(service, durable, reason, field, detail),
        body=text,
        body_base64=encoded,
        traceparent=traceparent,
        event_id=event_id_,
        chain_id=chain_id,
        order_no=order_no,
        company=company,
        position=position,
        trace_id=trace_id(chain_id) if chain_id else "",
        headers=headers_of(headers),
        tries=tuple(_text(at) for at in tries or (now,)),
    )
    content = encode(letter)
    if len(content) > LETTER_BYTES_MAX:
        content = encode(_without_body(letter))
    return UUID(identity), dead_subject(service, durable), content


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _without_body(letter: Letter) -> Letter:
    fields = {name: getattr(letter, name) for name in letter.__struct_fields__}
    return Letter(**{**fields, "body": "", "body_base64": ""})


LETTERS_STREAM = DEAD_STREAM
