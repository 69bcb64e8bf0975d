"""<producer>.notice.v1 -> step, membership, latency, tally

Every producer puts one notice beside each batch of its events: who, what, when, without the data. So control knows
every step of every order at a small part of the cost of reading the events themselves.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from datetime import datetime

from tieout.contracts.event import Notice
from tieout.contracts.streams import CORE_SERVICES
from tieout.control.domain.latency import Meter, Pair, bucket_of
from tieout.servicekit import BatchFlow, Database, Received, Transaction, batch_flow, sql

statements = sql.load(__file__)

FOLLOWED = CORE_SERVICES[:4]  # Everybody but control itself.
MEMBERSHIPS_REMEMBERED = 50_000

Membership = tuple[str, str, str]  # order number, company, chain


class _Follower:
    """What one process remembers between notices: causes that may be asked for, memberships that stand already.

    Only a saving and a measurement: nothing in here is needed to be right, so it is lost with the process.
    """

    def __init__(self) -> None:
        self.meter = Meter()
        self._known: OrderedDict[Membership, None] = OrderedDict()

    def unknown(self, memberships: Iterable[Membership]) -> list[Membership]:
        return [membership for membership in memberships if membership not in self._known]

    def remember(self, memberships: Iterable[Membership]) -> None:
        """After the commit only: what was rolled back does not stand."""
        self._known.update(dict.fromkeys(memberships))
        while len(self._known) > MEMBERSHIPS_REMEMBERED:
            self._known.popitem(last=False)


def flows() -> list[BatchFlow]:
    """One flow per producer, because each has a stream of its own; they share what they remember."""
    follower = _Follower()
    return [_flow(producer, follower) for producer in FOLLOWED]


def _flow(producer: str, follower: _Follower) -> BatchFlow:
    # A notice may speak of a thousand events, so few of them fill a batch.
    @batch_flow(f"control-follow-{producer}", Notice, size=20)
    async def follow_notices(batch: list[Received[Notice]], database: Database) -> None:
        notices = [received.data for received in batch]
        async with database.transaction() as tx:
            repeated = await note_steps(tx, producer, notices)
            fresh = follower.unknown(_memberships(notices))
            if fresh:
                await tx.execute(statements.note_memberships, *map(list, zip(*fresh, strict=True)))
            if not repeated:  # Counting a notice twice would be worse than not counting one that came twice.
                await _count(tx, notices, follower.meter)
        follower.remember(fresh)

    return follow_notices


async def note_steps(tx: Transaction, producer: str, notices: list[Notice]) -> int:
    """Insert one row per event; how many of them were there already."""
    rows: dict[int, tuple[object, ...]] = {}  # By position: one statement must not meet the same row twice.
    for n in notices:
        times = (n.time,) * len(n.ids)
        lines = zip(n.chains, n.ids, n.types, times, n.order_nos, n.companies, n.causes, strict=True)
        rows.update(zip(n.positions, lines, strict=True))
    if not rows:
        return 0
    repeated: int = await tx.fetchval(
        statements.note_steps, producer, list(rows), *map(list, zip(*rows.values(), strict=True))
    )
    return repeated


def _memberships(notices: list[Notice]) -> set[Membership]:
    return {
        membership
        for n in notices
        for membership in zip(n.order_nos, n.companies, n.chains, strict=True)
        if membership[0]
    }


async def _count(tx: Transaction, notices: list[Notice], meter: Meter) -> None:
    events: Counter[tuple[float, str]] = Counter()
    latencies: Counter[tuple[float, Pair, int]] = Counter()
    for notice in notices:
        at = datetime.fromisoformat(notice.time).timestamp()
        slot = at // 10 * 10
        for event_type, number in Counter(notice.types).items():
            events[slot, event_type] += number
        for pair, milliseconds in meter.hear(at * 1000, notice.types, notice.ids, notice.causes, notice.chains):
            latencies[slot, pair, bucket_of(milliseconds)] += 1
    if events:
        rows = [(slot, event_type, n) for (slot, event_type), n in events.items()]
        await tx.execute(statements.count_events, *map(list, zip(*rows, strict=True)))
    if latencies:
        buckets = [(slot, before, after, bucket, n) for (slot, (before, after), bucket), n in latencies.items()]
        await tx.execute(statements.count_latencies, *map(list, zip(*buckets, strict=True)))
