"""Ids of documents: UUIDv7, so that rows are appended at the end of their index. One request takes a run of them.

    48 bits milliseconds | 7 | 12 bits random | 10 | 38 bits random | 20 bits line in the request | 4 bits command

The last four bits of a document's own id are 0; a command's id says which one of its document it is.
"""

import secrets
import time
from uuid import UUID

LINES_MAX = 1 << 20
COMMANDS_MAX = 15
STEP = 1 << 4  # From one document of a request to the next.


def first_of_request() -> UUID:
    milliseconds = time.time_ns() // 1_000_000
    bits = secrets.randbits(50)
    return UUID(
        int=milliseconds << 80 | 7 << 76 | (bits >> 38) << 64 | 0b10 << 62 | (bits & ((1 << 38) - 1)) << 24,
    )


def nth(first: UUID, index: int) -> UUID:
    """The id of document `index` (from 0) of the request that begins with `first`."""
    return UUID(int=first.int + index * STEP)


def number_of(document: UUID) -> int:
    """Which document of its request it is, from 1."""
    return (document.int & (LINES_MAX * STEP - 1)) // STEP + 1


def request_of(document: UUID) -> UUID:
    """The first document's id of the request that brought this one."""
    return UUID(int=document.int & ~(LINES_MAX * STEP - 1))


def document_of(command: UUID) -> UUID:
    return UUID(int=command.int & ~(STEP - 1))
