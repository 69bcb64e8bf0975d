"""What can go wrong, and what the kit does about it.

    TieoutError
    ├── Misconfigured      a setting is missing or senseless: the process does not start; names the variable
    ├── MigrationFailed    the database is not as the code expects it; names the file
    ├── Unprocessable      this message can never be handled: the kit finds it, writes a dead letter, goes on
    ├── Refused            a question or command is answered with a Problem; nothing is logged as an error
    ├── OlderThanItsStream the database was restored from a backup: the process stops before it gives a position twice
    ├── DatabaseReplaced   another database answers under the same name: the process ends, and its next start looks
    ├── ServersAway        a command that runs once found database or broker silent; the schedule tries again
    └── NotPublished       the broker did not take a batch; its rows stay in the outbox and go out later

Every other exception of a flow falls into one of the classes that `cause_of` tells apart.
"""

import asyncio
from enum import Enum
from typing import Any

import asyncpg
import msgspec
import nats.errors
import nats.js.errors
from tieout.contracts.operation import Problem


class TieoutError(Exception):
    """Root of all errors that the kit raises itself."""


class Misconfigured(TieoutError):
    pass


class MigrationFailed(TieoutError):
    pass


class ServersAway(TieoutError):
    pass


class NotPublished(TieoutError):
    pass


class OlderThanItsStream(TieoutError):
    pass


class DatabaseReplaced(TieoutError):
    pass


class Unprocessable(TieoutError):
    """Never handled, however often it is tried. Give a code, the field, and a sentence for the one who mends it."""

    def __init__(self, reason: str, field: str = "", detail: str = "") -> None:
        super().__init__(f"{reason}: {field} {detail}".strip())
        self.reason = reason
        self.field = field
        self.detail = detail


class Refused(TieoutError):
    """The answer to a question or command is no. `status` is what the gateway answers over HTTP."""

    def __init__(self, code: str, detail: str, *, field: str = "", status: int = 422) -> None:
        super().__init__(f"{code}: {detail}")
        self.problem = Problem(code=code, detail=detail, field=field, status=status)


class Cause(Enum):
    PASSING = "passing"  # Database or broker away, full, or too slow: pause and try the same batch; burns no attempt.
    AGAIN = "again"  # Lost a race against another transaction: run the same batch at once.
    DATA = "data"  # One message of the batch is bad: bisect, bury.
    CODE = "code"  # Nobody foresaw this: bisect, try the one again later, then bury; stop if most messages fail.


# A depth of about 1,000 raises RecursionError, which is no DecodeError; a lone surrogate raises UnicodeDecodeError.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_PASSING = (
    OSError,
    asyncio.TimeoutError,
    nats.errors.Error,
    NotPublished,
    DatabaseReplaced,  # The process ends; whoever has a batch in hand must not give it up meanwhile.
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidAuthorizationSpecificationError,  # A password is exchanged: there, and a moment later in our file.
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,  # Too many connections, disk or memory full.
    asyncpg.QueryCanceledError,  # statement_timeout
    asyncpg.LockNotAvailableError,  # lock_timeout
    asyncpg.ReadOnlySQLTransactionError,  # A standby, during a failover.
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,  # A connection that ended in the middle of an exchange.
)
_AGAIN = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,  # Another replica was first; the second run sees its rows.
)
_DATA = (
    Unprocessable,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.RaiseError,
    asyncpg.exceptions._base.DataError,  # asyncpg's own, raised before anything is sent: an integer out of range.
)


def cause_of(error: BaseException) -> Cause:
    """What the kit does next depends on nothing but this."""
    if isinstance(error, OverflowError) and "out of int" in str(error):  # How asyncpg's COPY says it.
        return Cause.DATA
    if isinstance(error, _DATA) and not isinstance(error, asyncpg.UniqueViolationError):
        return Cause.DATA
    if isinstance(error, _AGAIN):
        return Cause.AGAIN
    if isinstance(error, _PASSING):
        return Cause.PASSING
    if isinstance(error, asyncpg.InterfaceError) and "clos" in str(error):  # "connection is closed", "pool is closing"
        return Cause.PASSING
    return Cause.CODE


def told(error: BaseException) -> str:
    """For a log. An error of the broker has its description only as a text: repr() of it is `ServerError()`."""
    return (str(error) if isinstance(error, nats.js.errors.APIError) else repr(error))[:300]


def field_of(detail: str) -> str:
    """msgspec ends with "at `$.lines[0].sku`"; give the path without the dollar."""
    _, found, rest = detail.partition("at `$")
    return rest.partition("`")[0].lstrip(".") if found else ""


def nul_field(body: bytes) -> str:
    """The path of the first string with a NUL in it."""

    def look(value: Any, path: str) -> str:
        if isinstance(value, str):
            return path if "\0" in value else ""
        if isinstance(value, dict):
            return next((found for key, inner in value.items() if (found := look(inner, f"{path}.{key}"))), "")
        if isinstance(value, list):
            return next((found for n, inner in enumerate(value) if (found := look(inner, f"{path}[{n}]"))), "")
        return ""

    return look(msgspec.json.decode(body), "").lstrip(".")
