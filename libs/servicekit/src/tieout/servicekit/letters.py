"""Dead letters: a message that cannot be handled, as it came, with everything that is needed to mend and replay it.

They leave through the outbox like events, so a letter is written in the transaction that gives the message up.
"""

import base64
import hashlib
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct
from tieout.contracts.event import event_id
from tieout.contracts.streams import DEAD_STREAM, dead_subject
from tieout.servicekit.received import encode

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
    field: str = ""
    body: str = ""  # The original as text,
    body_base64: str = ""  # or so, where it is no UTF-8. Both empty: too large, read it from the stream.
    traceparent: str = ""
    event_id: str = ""
    chain_id: str = ""
    order_no: str = ""
    company: str = ""
    position: int = 0


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
) -> tuple[UUID, str, bytes]:
    """Id, subject and body. The id names the place of the original, so a second giving-up is the same letter.

    `ordinal`: which event of its message an unreadable one is, from 0; it has no id that could be read.
    """
    identity = event_id("dead", durable, stream, sequence, event_id_ or (ordinal or ""))
    text, encoded = "", ""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        encoded = base64.b64encode(body).decode()
    letter = Letter(
        id=identity,
        at=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
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
        body=text,
        body_base64=encoded,
        traceparent=traceparent,
        event_id=event_id_,
        chain_id=chain_id,
        order_no=order_no,
        company=company,
        position=position,
    )
    content = encode(letter)
    if len(content) > LETTER_BYTES_MAX:
        content = encode(_without_body(letter))
    return UUID(identity), dead_subject(service, durable), content


def _without_body(letter: Letter) -> Letter:
    fields = {name: getattr(letter, name) for name in letter.__struct_fields__}
    return Letter(**{**fields, "body": "", "body_base64": ""})


LETTERS_STREAM = DEAD_STREAM
