"""How one payment spreads over the orders that it names without an amount: the first named takes first what it owes.

What they do not owe any more, because it was credited before the money came, is held for them up to what they cost:
their refund follows, and pays back what came for them. An order that nobody knows yet owes nothing that anybody could
say. What the others leave is held for the first of these, and spread again when one of them comes; so it ends the same,
whichever of order, credit and payment came first.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from tieout.finance.domain.open_item import OpenItem


def spread(
    orders: Sequence[UUID],
    taken: Mapping[UUID, int],
    amount: int,
    items: Mapping[UUID, OpenItem],
    besides: Mapping[UUID, int],
) -> tuple[dict[UUID, int], int]:
    """What each order takes of `amount`, and what none of them does.

    `taken` is what they took of this payment before, already received by their items; `besides` is what the same
    document brings them otherwise, and has not brought yet. What was paid back meanwhile is not taken from an order.
    """
    kept = {one: max(taken.get(one, 0) - max(items[one].received - items[one].refunded, 0), 0) for one in orders}
    left = amount - sum(kept.values())
    shares = {}
    for one in orders:
        owes = 0 if items[one].order_net is None else taken.get(one, 0) + items[one].to_pay - besides.get(one, 0)
        more = min(left, max(owes - kept[one], 0))
        shares[one] = kept[one] + more
        left -= more
    for one in orders:
        more = min(left, max(items[one].room - shares[one] + taken.get(one, 0) - besides.get(one, 0), 0))
        shares[one] += more
        left -= more
    first_unknown = next((one for one in orders if items[one].order_net is None), None)
    if first_unknown is not None:
        shares[first_unknown] += left
        left = 0
    return shares, left
