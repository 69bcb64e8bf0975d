"""Bodies whose sender is not proved yet: a signature is over the body, so it is read before anybody knows who sent it.

They take no place of the satellite that they name, or whoever knows its name could fill those. They have places of
their own, bounded by number and by bytes; when these run short, the oldest body of the address that holds most of them
gives way. A body that arrives at once never waits here, so a slow one is nearly always somebody's who holds many.
"""

import asyncio
import contextlib
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator


class Crowded(Exception):
    """This body gives way to others."""


class Reading:
    """One body that is being read."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.bytes = 0
        self.limit: asyncio.Timeout | None = None  # While it is read; once it is complete it may stay.
        self.gave_way = False


class Unproved:
    def __init__(self, most: int, bytes_most: int) -> None:
        self._most = most
        self._bytes_most = bytes_most
        self._bytes = 0
        self._readings: dict[Reading, None] = {}  # The oldest first.

    @contextlib.contextmanager
    def place(self, address: str) -> Iterator[Reading]:
        """Raises Crowded where every other body is complete and about to be proved."""
        if len(self._readings) >= self._most:
            self._make_room(_one)
        reading = Reading(address)
        self._readings[reading] = None
        try:
            yield reading
        finally:
            self._release(reading)

    def add(self, reading: Reading, count: int) -> None:
        """So many more bytes. Raises Crowded where it is this body that gives way."""
        reading.bytes += count
        self._bytes += count
        while self._bytes > self._bytes_most:
            self._make_room(_size)
            if reading.gave_way:
                raise Crowded

    def _make_room(self, weight: Callable[[Reading], int]) -> None:
        held: Counter[str] = Counter()
        for reading in self._readings:
            if reading.limit is not None:
                held[_network(reading.address)] += weight(reading)
        if not held:
            raise Crowded
        ((greedy, _),) = held.most_common(1)
        slowest = next(r for r in self._readings if r.limit is not None and _network(r.address) == greedy)
        slowest.gave_way = True
        self._release(slowest)
        if slowest.limit is not None:
            with contextlib.suppress(RuntimeError):  # It has ended by itself a moment ago.
                slowest.limit.reschedule(asyncio.get_running_loop().time())

    def _release(self, reading: Reading) -> None:
        if self._readings.pop(reading, self) is not self:
            self._bytes -= reading.bytes


def _one(reading: Reading) -> int:
    return 1


def _size(reading: Reading) -> int:
    return reading.bytes


def _network(address: str) -> str:
    """Who has one address of IPv6 has 2**64 of them."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
