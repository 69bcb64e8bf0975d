"""The objective of the chain: how long after its document a voucher stands. Pure, in memory: a restart costs samples.

What starts the clock is the document that the voucher waited for: the order, or the confirmation or delivery that let
its goods go. So days in which a warehouse had the order in hand are nobody's delay.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence

from msgspec import Struct

BEGINS = frozenset({"order.submit.v1", "inventory.confirm.v1", "inventory.deliver.v1"})
ENDS = "finance.receivable_opened.v1"
REMEMBERED = 100_000  # Chains whose voucher is awaited; about 20 MB, and most are gone long before.
HELD_SECONDS = 5.0  # So long a voucher waits here for what the gateway may have said before it.


class Ended(Struct, frozen=True):
    """A voucher stands. Seconds since the epoch."""

    chain: str
    began: float
    ended: float


class Objective:
    """Hears the gateway and finance. Their notices come on streams of their own, either of which may be behind."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ended = self.late = 0
        self._began: OrderedDict[str, float] = OrderedDict()
        self._held: deque[tuple[float, float, str]] = deque()  # Heard at (monotonic), time of the event, chain.
        self._gateway_upto = 0.0

    def hear(self, producer: str, at: float, types: Sequence[str], chains: Sequence[str], now: float) -> None:
        """One notice. `now`: monotonic seconds."""
        if producer == "gateway":
            began = self._began
            for kind, chain in zip(types, chains, strict=True):
                if kind in BEGINS:
                    began[chain] = at  # The latest one: an order may be confirmed in parts.
            self._gateway_upto = max(self._gateway_upto, at)
            while len(began) > REMEMBERED:
                began.popitem(last=False)
        elif producer == "finance" and ENDS in types:
            self._held.extend((now, at, chain) for kind, chain in zip(types, chains, strict=True) if kind == ENDS)
            while len(self._held) > REMEMBERED:
                self._held.popleft()

    def judged(self, now: float) -> list[Ended]:
        """Those of whom all is known by now; they are counted. One whose beginning nobody heard is no sample."""
        found = []
        held = self._held
        while held and (held[0][1] <= self._gateway_upto or now - held[0][0] > HELD_SECONDS):
            _, at, chain = held.popleft()
            began = self._began.get(chain)
            if began is not None:
                found.append(Ended(chain, min(began, at), at))
        self.ended += len(found)
        self.late += sum(one.ended - one.began > self.seconds for one in found)
        return found
