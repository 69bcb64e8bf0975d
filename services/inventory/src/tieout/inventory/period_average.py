"""月末一次加权平均: what a month's issues cost on average. Pure rules: no I/O, no clock, no logging.

During the month goods leave at the moving average, which is only provisional. When the month is over, everything that
left is worth quantity x (opening value + value that came) / (opening quantity + quantity that came), and the difference
from what was announced is announced once. What always holds, as everywhere: Q = 0 means V = 0.
"""

from collections.abc import Sequence

from tieout.inventory.valuation import Stock, half_up

COGS = "cogs"


class Month:
    """One SKU in one warehouse over one posting period. Quantities in millionths, values in minor units.

    What lay below zero at the opening has left without a cost that anybody knew: it counts as gone in this month, and
    gets this month's average.
    """

    __slots__ = ("came", "came_value", "gone", "opening", "opening_value", "ordinal", "period")

    def __init__(self, period: str, opening: int = 0, opening_value: int = 0) -> None:
        self.period = period
        self.ordinal = 0  # How often it has been valued.
        self.opening = opening
        self.opening_value = opening_value
        self.came = 0
        self.came_value = 0
        self.gone: dict[str, tuple[int, int]] = {}  # By account: quantity, and the value announced for it.
        if opening < 0:
            self.opening = self.opening_value = 0
            self.left(COGS, -opening, -opening_value)

    def arrived(self, quantity: int, value: int) -> None:
        self.came += quantity
        self.came_value += value

    def left(self, account: str, quantity: int, value: int) -> None:
        """Goods, or only value (quantity 0): an earlier correction of what goods had cost that left this month."""
        before = self.gone.get(account, (0, 0))
        self.gone[account] = before[0] + quantity, before[1] + value

    @property
    def closing(self) -> int:
        return self.opening + self.came - sum(quantity for quantity, _ in self.gone.values())

    @property
    def closing_value(self) -> int:
        return self.opening_value + self.came_value - sum(value for _, value in self.gone.values())

    def value(self) -> dict[str, int]:
        """Give what left the month's average. Answers by account how much more it costs (negative: less) than was
        announced so far; asked again without anything new in between, it answers nothing."""
        self.ordinal += 1
        accounts = sorted(self.gone)
        quantities = [self.gone[account][0] for account in accounts]
        announced = [self.gone[account][1] for account in accounts]
        cost = self._cost(sum(quantities), sum(announced))
        shares = announced if cost is None else spread(cost, quantities)
        for account, quantity, share in zip(accounts, quantities, shares, strict=True):
            self.gone[account] = quantity, share
        return {
            account: share - before
            for account, share, before in zip(accounts, shares, announced, strict=True)
            if share != before
        }

    def _cost(self, quantity: int, announced: int) -> int | None:
        """Of all that left; None: nothing came, so there is no average, and what was announced stands."""
        available, worth = self.opening + self.came, self.opening_value + self.came_value
        if quantity == available:
            return worth
        if available:
            return half_up(worth * quantity, available)
        return 0 if announced < 0 else None


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """`total`, which is not negative, in integer parts by weight; the largest remainders are rounded up."""
    whole = sum(weights)
    if not whole:
        return [total if i == 0 else 0 for i in range(len(weights))]
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def settle(stock: Stock) -> int:
    """After V was corrected for a month that is over, goods that have left since may have taken too much or too little
    with them: nothing on hand is worth something then, or something less than nothing. What V must change by for that
    is applied and returned; it is cost of what left since (positive: V rises, that cost falls)."""
    if stock.on_hand == 0:
        rest = -stock.value
    elif stock.on_hand > 0:
        rest = max(0, -stock.value)
    else:
        rest = min(0, -stock.value)  # Below zero V is minus an estimate.
    stock.value += rest
    return rest
