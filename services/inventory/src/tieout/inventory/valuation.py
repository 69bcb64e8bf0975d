"""What goods are worth. Pure rules: no I/O, no clock, no logging.

One `Stock` is one SKU in one warehouse of one company: its quantity Q and its value V under one lock. Quantities are
millionths of the unit of measure, values minor units of the company's functional currency. What holds always:

* an issue is valued once and never again; whoever hears of it repeats the number;
* Q = 0 means V = 0: the issue that empties the stock takes what is left, so rounding never stays behind;
* V moves only by what is returned from here, so value in stock + value gone = value that came.
"""

from collections.abc import Iterable


def half_up(numerator: int, denominator: int) -> int:
    """numerator / denominator, rounded half away from zero. The denominator is positive."""
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


class Stock:
    """Valued by moving average: an issue of q takes half_up(V*q/Q).

    Below zero (only where the warehouse allows it) goods leave at an estimate and V is minus that estimate; the receipt
    that covers them tells their true cost, and the difference is a revaluation.
    """

    __slots__ = (
        "arrived",
        "auto",
        "back_ordered",
        "company",
        "last_quantity",
        "last_value",
        "on_hand",
        "policy",
        "reserved",
        "seq",
        "sku",
        "standard_quantity",
        "standard_value",
        "stock_id",
        "touched",
        "value",
        "warehouse",
    )

    def __init__(
        self,
        stock_id: int,
        company: str,
        warehouse: str,
        sku: str,
        policy: str = "refuse",
        auto: bool = True,
        on_hand: int = 0,
        reserved: int = 0,
        back_ordered: int = 0,
        value: int = 0,
        last_quantity: int = 0,
        last_value: int = 0,
        seq: int = 0,
    ) -> None:
        self.stock_id = stock_id
        self.company = company
        self.warehouse = warehouse
        self.sku = sku
        self.policy = policy  # refuse, back_order, allow_negative
        self.auto = auto  # Goods leave as soon as they are promised; nobody confirms.
        self.on_hand = on_hand
        self.reserved = reserved
        self.back_ordered = back_ordered
        self.value = value
        self.last_quantity = last_quantity  # Q and V just before the stock last ran out: the last known average.
        self.last_value = last_value
        self.seq = seq  # valuation_seq: counts the valued moves of this stock.
        self.standard_quantity = 0  # The article's standard cost: so much value for so much quantity.
        self.standard_value = 0
        self.touched = False  # Something changed here and must be saved.
        self.arrived = False  # Something became free here: back-orders may be served.

    @property
    def free(self) -> int:
        """What may still be promised. Negative where more is promised than there is."""
        return self.on_hand - self.reserved

    @property
    def uncovered(self) -> int:
        """What is promised though it does not lie there. A warehouse that may go below zero promises without goods."""
        return 0 if self.policy == "allow_negative" else self.reserved - max(self.on_hand, 0)

    def estimate(self, quantity: int) -> int:
        """What `quantity` is worth when nothing better is known: at the present average, else the last one, else the
        article's standard cost, else nothing."""
        if self.on_hand:
            return half_up(self.value * quantity, self.on_hand) if self.on_hand > 0 else self._provisional(quantity)
        if self.last_quantity:
            return half_up(self.last_value * quantity, self.last_quantity)
        if self.standard_quantity:
            return half_up(self.standard_value * quantity, self.standard_quantity)
        return 0

    def _provisional(self, quantity: int) -> int:
        return half_up(-self.value * quantity, -self.on_hand)

    def issue(self, quantity: int) -> int:
        """Goods leave; returns their cost."""
        on_hand = self.on_hand
        if quantity < on_hand:
            cost = self._part(quantity)
        elif on_hand > 0:
            self.last_quantity, self.last_value = on_hand, self.value
            below = quantity - on_hand
            cost = self.value + (self.estimate(below) if below else 0)
            self._emptied()
        else:
            cost = self.estimate(quantity)
        self.on_hand = on_hand - quantity
        self.value -= cost
        self.seq += 1
        self.touched = True
        return cost

    def receive(self, quantity: int, value: int) -> int:
        """Goods come in at a known value. Returns the revaluation: the further change of V, because goods that had
        left below zero turn out to have cost more (negative: V falls, cost of goods sold rises) or less than estimated.
        """
        revaluation = 0
        stored, stored_value = quantity, value
        if self.on_hand < 0:
            covered = min(quantity, -self.on_hand)
            true_cost = half_up(value * covered, quantity)
            estimated = -self.value if covered == -self.on_hand else self._provisional(covered)
            revaluation = estimated - true_cost
            self.last_quantity, self.last_value = quantity, value
            stored, stored_value = quantity - covered, value - true_cost
        if stored:
            self._stored(stored, stored_value)
        self.on_hand += quantity
        self.value += value + revaluation
        self.seq += 1 if not revaluation else 2  # The revaluation is a move of its own.
        self.touched = True
        self.arrived = True
        return revaluation

    def come_back_as_scrap(self) -> int:
        """Goods come back and are thrown away in one breath, at one value: two moves, and Q, V and the average stay.
        Answers the number of the first."""
        self.seq += 2
        self.touched = True
        return self.seq - 1

    # What the methods differ in: which part of V leaves with a part of Q.

    def _part(self, quantity: int) -> int:
        return half_up(self.value * quantity, self.on_hand)

    def _emptied(self) -> None:
        pass

    def _stored(self, quantity: int, value: int) -> None:
        pass


class FifoStock(Stock):
    """First in, first out: the oldest layer leaves first, at its own cost."""

    __slots__ = ("layers",)

    layers: list[int]  # Oldest first: quantity, value, quantity, value …; their sums are Q and V while Q > 0.

    def _part(self, quantity: int) -> int:
        layers, cost, used = self.layers, 0, 0
        while quantity >= layers[used]:
            quantity -= layers[used]
            cost += layers[used + 1]
            used += 2
            if not quantity:
                break
        del layers[:used]
        if quantity:
            part = half_up(layers[1] * quantity, layers[0])
            layers[0] -= quantity
            layers[1] -= part
            cost += part
        return cost

    def _emptied(self) -> None:
        self.layers.clear()

    def _stored(self, quantity: int, value: int) -> None:
        self.layers += (quantity, value)


def value_of_first(quantity: int, issues: Iterable[tuple[int, int]]) -> int:
    """The cost of the first `quantity` of an order line, whose `issues` (quantity, cost) left in this order.

    Cumulative, so returns that come back in parts add up to exactly the cost of what left; and later issues of the
    line change nothing of it, so the order in which shipments and returns alternate does not matter.
    """
    total = 0
    for issued, cost in issues:
        if quantity < issued:
            return total + half_up(cost * quantity, issued)
        total += cost
        quantity -= issued
        if not quantity:
            break
    return total
