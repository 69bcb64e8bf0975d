"""What a service does itself when its database is brought forward, and what a recovery finds and tells.

Most follows from events of others, which are run through the flows again (recovery.py). What follows from a service's
own announcements alone is written by whatever it gives as `Service(rebuilding=…)`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct
from nats.js import JetStreamContext
from tieout.servicekit.database import Database
from tieout.servicekit.lost_part import Announced


class Difference(Struct, frozen=True, omit_defaults=True):
    """An event that is not again as it was announced."""

    what: str  # differs | missing | new
    kind: str
    company: str
    order_no: str
    position: int
    fields: tuple[str, ...] = ()  # differs: where.
    why: str = ""


class SendAgain(Struct, frozen=True):
    """A sender whose documents may be lost: what it sent in this time it must send again. What is here already is told
    as a duplicate."""

    sender: str
    since: datetime
    until: datetime
    rebuilt: int = 0  # Documents of the lost time that came back from what they led to, without their bytes.
    lost: int = 0  # Known to be lost: others of the same delivery came back. There may be more.
    taken_again: int = 0  # Of a leaf site: the hub's copy of its sales still had them.


class Recovery(Struct):
    """What a recovery found and did. `exact`: everything that was announced stands here again as it was announced."""

    service: str
    backup_at: datetime | None = None
    known_position: int = 0
    announced_position: int = 0
    transactions: int = 0  # Lost ones that announced something.
    events: int = 0  # Announced and forgotten.
    again: int = 0  # Brought back, equal to what the stream holds.
    played: int = 0  # Events of others that were run through the flows.
    letters: int = 0
    gone: int = 0  # Announced, and no longer in the stream.
    differing: int = 0
    missing: int = 0
    new: int = 0
    heard_anew: int = 0  # Notices of others that control had forgotten.
    differences: list[Difference] = []
    unreachable: list[str] = []  # Why it cannot be exact, as far as that can be told before it runs.
    send_again: list[SendAgain] = []
    not_back: list[str] = []  # What stood in this database alone, for people.
    done: bool = False  # Written for good.

    @property
    def lost(self) -> bool:
        return bool(self.events or self.letters or self.heard_anew)

    @property
    def exact(self) -> bool:
        """What is new was in hand when the database was lost: nobody has heard of it yet."""
        return self.done and not (self.differing or self.missing or self.gone)


class Rebuilding(Protocol):
    """How a service writes what its own announcements tell, where they do not follow from events of others."""

    async def begin(self, found: Recovery) -> None:
        """Before anything is written."""

    async def rebuild(self, connection: Any, announced: Sequence[Announced]) -> None:
        """What one transaction announced; in the transaction that also restores its rows of the outbox."""

    async def heard_until(self) -> Mapping[str, datetime]:
        """After all is rebuilt: up to when the database has heard of each stream, for certain. What came later is
        played; of a stream that is not named, everything."""

    async def finish(self, found: Recovery) -> None:
        """After everything; tells in `found` what does not come back."""


MakeRebuilding = Callable[[Database, JetStreamContext], Rebuilding]
