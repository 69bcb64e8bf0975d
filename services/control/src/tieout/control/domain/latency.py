"""How long the steps take: counted in buckets that grow by a twelfth, so p99 is exact to 9 %."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import ceil, log
from typing import Any

GROWTH = 2 ** (1 / 8)  # Each bucket is 9 % wider than the one before.
SMALLEST_MS = 1.0
_LOG_GROWTH = log(GROWTH)
FIRST = "order.submit.v1"
VOUCHER = "finance.receivable_opened.v1"
JOURNEY = (FIRST, VOUCHER)  # From the first command of a chain to its first voucher: no single event causes the other.

Pair = tuple[str, str]


def bucket_of(milliseconds: float) -> int:
    """Bucket n ends at SMALLEST_MS * GROWTH**n; clocks of two machines may differ, so less than 0 is 0."""
    return 0 if milliseconds <= SMALLEST_MS else ceil(log(milliseconds / SMALLEST_MS) / _LOG_GROWTH)


def upper_ms(bucket: int) -> float:
    return SMALLEST_MS * GROWTH**bucket


def percentile_ms(buckets: Mapping[int, int], share: float) -> float:
    """The smallest bucket's upper edge below which `share` of all lie; 0 where nothing was counted."""
    total = sum(buckets.values())
    reached = 0
    for bucket in sorted(buckets):
        reached += buckets[bucket]
        if reached >= total * share:
            return upper_ms(bucket)
    return 0.0


class Meter:
    """Pairs an event with the one that caused it, whichever notice is heard first.

    Producers are heard on streams of their own, so an effect may be heard before its cause. Both are remembered, each
    up to `remembered` events; what is forgotten costs a sample, never more.
    """

    def __init__(self, remembered: int = 50_000) -> None:
        self._remembered = remembered
        self._seen: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._orphans: OrderedDict[str, list[tuple[str, float]]] = OrderedDict()
        self._began: OrderedDict[str, float] = OrderedDict()
        self._posted: OrderedDict[str, float] = OrderedDict()

    def hear(
        self, at_ms: float, types: Sequence[str], ids: Sequence[str], causes: Sequence[str], chains: Sequence[str]
    ) -> list[tuple[Pair, float]]:
        """One notice in; the (pair, milliseconds) that it completes out."""
        done: list[tuple[Pair, float]] = []
        for type_, event_id, cause, chain in zip(types, ids, causes, chains, strict=True):
            self._seen[event_id] = (type_, at_ms)
            for effect, effect_at in self._orphans.pop(event_id, ()):
                done.append(((type_, effect), effect_at - at_ms))
            if cause:
                known = self._seen.get(cause)
                if known is None:
                    self._orphans.setdefault(cause, []).append((type_, at_ms))
                else:
                    done.append(((known[0], type_), at_ms - known[1]))
            if type_ == FIRST:
                self._began.setdefault(chain, at_ms)
                if (posted := self._posted.pop(chain, None)) is not None:
                    done.append((JOURNEY, posted - at_ms))
            elif type_ == VOUCHER:
                if (began := self._began.pop(chain, None)) is None:
                    self._posted.setdefault(chain, at_ms)
                else:
                    done.append((JOURNEY, at_ms - began))
        memories: tuple[OrderedDict[str, Any], ...] = (self._seen, self._orphans, self._began, self._posted)
        for memory in memories:
            while len(memory) > self._remembered:
                memory.popitem(last=False)
        return done
