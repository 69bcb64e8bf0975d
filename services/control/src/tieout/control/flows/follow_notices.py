"""<producer>.notice.v1 -> notice, heard, membership, latency, tally

Every producer puts one notice beside each batch of its events: who, what, when, without the data. So control knows
every step of every order at a small part of the cost of reading the events themselves.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import repeat

from tieout.contracts.event import Notice
from tieout.contracts.streams import FOLLOWED
from tieout.control.domain.latency import Meter, Pair, bucket_of
from tieout.control.domain.objective import Objective
from tieout.servicekit import BatchFlow, Database, Received, Transaction, batch_flow, sql

statements = sql.load(__file__)

MEMBERSHIPS_REMEMBERED = 50_000

Membership = tuple[str, str, str]  # order number, company, chain


class _Follower:
    """What one process remembers between notices: causes that may be asked for, memberships that stand already.

    Only a saving and a measurement: nothing in here is needed to be right, so it is lost with the process.
    """

    def __init__(self, objective: Objective | None) -> None:
        self.meter = Meter()
        self.objective = objective
        self._known: OrderedDict[Membership, None] = OrderedDict()

    def unknown(self, memberships: Iterable[Membership]) -> list[Membership]:
        return [membership for membership in memberships if membership not in self._known]

    def remember(self, memberships: Iterable[Membership]) -> None:
        """After the commit only: what was rolled back does not stand."""
        self._known.update(dict.fromkeys(memberships))
        while len(self._known) > MEMBERSHIPS_REMEMBERED:
            self._known.popitem(last=False)


def flows(objective: Objective | None = None) -> list[BatchFlow]:
    """One flow per producer, because each has a stream of its own; they share what they remember."""
    follower = _Follower(objective)
    return [_flow(producer, follower) for producer in FOLLOWED]


def _flow(producer: str, follower: _Follower) -> BatchFlow:
    # Nobody waits for control, so it lets a tenth of a second of notices gather: fewer commits for the same rows.
    @batch_flow(f"control-follow-{producer}", Notice, size=50, linger_seconds=0.1)
    async def follow_notices(batch: list[Received[Notice]], database: Database) -> None:
        # By first position: a batch may hold the same notice twice. One without events says nothing.
        heard = {received.data.positions[0]: received for received in batch if received.data.positions}
        async with database.transaction() as tx:
            notices = await note_notices(tx, producer, heard)
            fresh = follower.unknown(_memberships(notices))
            if fresh:
                await tx.execute(statements.note_memberships, *map(list, zip(*fresh, strict=True)))
            await _count(tx, notices, follower.meter)
        follower.remember(fresh)
        if follower.objective is not None and (database.record is not None or database.tracing.enabled):
            now = time.monotonic()
            for notice in notices:
                at = datetime.fromisoformat(notice.time).timestamp()
                # A voucher stands once its transaction is committed and told, however long that took.
                stored_at = heard[notice.positions[0]].stored_at if producer == "finance" else at
                follower.objective.hear(producer, max(at, stored_at), notice.types, notice.chains, now)

    return follow_notices


async def note_notices(tx: Transaction, producer: str, heard: Mapping[int, Received[Notice]]) -> list[Notice]:
    """Keep the notices as they came; those that are new, in the order of their positions."""
    if not heard:
        return []
    firsts = sorted(heard)
    rows = await tx.fetch(
        statements.note_notices,
        producer,
        firsts,
        [heard[first].data.positions[-1] for first in firsts],
        [heard[first].body for first in firsts],
    )
    known = {row["first_position"] for row in rows if row["repeats"]}
    fresh = [first for first in firsts if first not in known]
    chains: list[str] = []
    places: list[int] = []
    for first in fresh:
        tx.changed(heard[first])
        of_notice = dict.fromkeys(heard[first].data.chains)
        chains += of_notice
        places += [first] * len(of_notice)
    if chains:
        columns = ("chain_id", "producer", "first_position")
        await tx.copy("heard", columns=columns, records=zip(chains, repeat(producer), places, strict=False))
    return [heard[first].data for first in fresh]


def _memberships(notices: Iterable[Notice]) -> set[Membership]:
    return {
        membership
        for notice in notices
        for membership in zip(notice.order_nos, notice.companies, notice.chains, strict=True)
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
