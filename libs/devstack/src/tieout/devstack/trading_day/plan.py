"""The plan of the day: stories, each told in a few documents, shuffled into one stream.

A story knows what must become of its documents whatever the order of arrival: ample articles never run short, and
only scarce ones are over-sold. Some documents are early on purpose (a cancellation or a payment before its order).
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from tieout.devstack.trading_day import canonical, catalogue
from tieout.devstack.trading_day.catalogue import COMPANIES, MICRO, OFFICE, PLACES, Company
from tieout.devstack.trading_day.documents import Expected, Fed, Outcome
from tieout.devstack.trading_day.sales import Sale

CANONICAL = "tieout"
HOURS = 9  # The day ends when it is fed: nothing lies in the future.

_encode = msgspec.json.Encoder().encode


class Day(Struct, frozen=True):
    """`opening` is fed first and waited for, else the day would begin with empty shelves."""

    opening: tuple[Fed, ...]
    documents: tuple[Fed, ...]  # In the order of sending.
    orders: int
    example: str  # An order number worth looking at.

    def expected(self) -> Counter[tuple[str, str, str]]:
        """How many documents of each (satellite, kind, outcome) the books must show."""
        counted: Counter[tuple[str, str, str]] = Counter()
        for document in (*self.opening, *self.documents):
            for expected in document.expected:
                counted[document.satellite, expected.kind, expected.outcome] += 1
        return counted

    def stories(self) -> Counter[str]:
        return Counter(document.story for document in self.documents)


class Teller:
    """Collects the documents of the day; stories call it."""

    def __init__(self, seed: int, orders: int, until: datetime) -> None:
        self.random = random.Random(seed)
        self.orders = orders
        self._began = until.astimezone(UTC).replace(microsecond=0) - timedelta(hours=HOURS)
        self._second = HOURS * 3600 * 0.98 / max(orders, 1)
        self._deliveries = 0
        self._seed = seed
        self.told: list[Fed] = []
        self.story = ""

    def clock(self, at: float) -> datetime:
        """`at` counts orders: 0 is the first of the day."""
        return self._began + timedelta(seconds=round(min(max(at, 0.0), self.orders) * self._second))

    def later(self, at: float, least: float = 0.01, most: float = 0.12) -> float:
        """A moment later in the day, at most its end."""
        wait = self.orders * self.random.uniform(least, most)
        return min(at + wait, self.orders + self.random.random())

    def tell(
        self,
        at: float,
        satellite: str,
        channel: str,
        topic: str,
        number: str,
        body: dict[str, Any] | bytes,
        *expected: Expected,
        signed: bool = True,
    ) -> Fed:
        self._deliveries += 1
        fed = Fed(
            at=at,
            satellite=satellite,
            channel=channel,
            topic=topic,
            number=number,
            body=body if isinstance(body, bytes) else _encode(body),
            expected=expected,
            delivery=f"day-{self._seed}-{self._deliveries:06}",
            signed=signed,
            story=self.story,
        )
        self.told.append(fed)
        return fed

    def again(self, fed: Fed, at: float, outcome: Outcome = "duplicate") -> None:
        """The same bytes once more, as a delivery of its own."""
        kind = fed.expected[0].kind
        self.tell(at, fed.satellite, fed.channel, fed.topic, fed.number, fed.body, Expected(kind, outcome))

    def office(self, at: float, body: dict[str, Any], outcome: Outcome = "accepted", reason: str = "") -> Fed:
        """A canonical document of the warehouse system or the bank."""
        expected = Expected(body["kind"], outcome, reason)
        return self.tell(at, OFFICE, CANONICAL, body["kind"], body["number"], body, expected)


Story = Callable[[Teller, int, float], Sale | None]  # Told with a serial number and a place in the day.


def plan(seed: int, orders: int, until: datetime) -> Day:
    """A day of `orders` placed orders and what belongs to them, ending at `until`."""
    from tieout.devstack.trading_day import stories_of_the_office, stories_of_the_store, stories_of_the_web

    if orders < 1:
        raise ValueError("A trading day needs at least one order.")
    teller = Teller(seed, orders, until)
    opening = _opening(teller)
    teller.told = []
    lanes = ((stories_of_the_web.STORIES, orders - orders * 2 // 5), (stories_of_the_store.STORIES, orders * 2 // 5))
    sales: list[Sale] = []
    for stories, count in lanes:
        for serial, story in enumerate(_cast(teller.random, stories, count), 1):
            teller.story = story.__name__
            sale = story(teller, serial, orders * (serial - teller.random.random()) / count)
            if sale is not None:
                sales.append(sale)
    stories_of_the_office.tell(teller, sales)
    told = sorted(teller.told, key=lambda fed: fed.at)
    return Day(opening, tuple(told), orders, stories_of_the_web.EXAMPLE)


def _cast(chance: random.Random, stories: Sequence[tuple[Story, int]], count: int) -> list[Story]:
    """`count` stories by their weights: the first is always told first, and each at least once if there is room."""
    once = [story for story, _ in stories][:count]
    rest = chance.choices([story for story, _ in stories], [weight for _, weight in stories], k=count - len(once))
    shuffled = once[1:] + rest
    chance.shuffle(shuffled)
    return once[:1] + shuffled


def _opening(teller: Teller) -> tuple[Fed, ...]:
    teller.story = "opening"
    by_code: dict[str, Company] = {company.code: company for company in COMPANIES}
    at = teller.clock(0) - timedelta(hours=1)
    told = []
    for place in PLACES:
        lines = [(article, _opening_pieces(article, teller.orders) * MICRO) for article in catalogue.GOODS]
        body = canonical.receipt(by_code[place.company], f"OPEN-{place.code}", at, place.code, "opening", lines)
        told.append(teller.office(-1, body))
    return tuple(told)


def _opening_pieces(article: catalogue.Article, orders: int) -> int:
    if article in catalogue.SCARCE:
        return catalogue.SCARCE_PIECES
    if article in catalogue.NEGATIVE:
        return catalogue.NEGATIVE_PIECES
    return 200 + 40 * orders
