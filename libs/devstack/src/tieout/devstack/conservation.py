"""The conservation law of a feed: nothing that went in may be missing in what the books say came of it.

For each business month, and for lines, quantity and amount alike:

    input = booked + credited + adjusted + in transit + reserved + back-ordered + refused + cancelled
            + quarantined + duplicate + conflict

Input is measured from the files before anything is interpreted; its amounts are rounded line by line, and what that
rounding came to is carried beside them as a term of its own. Everything on the right is read from the services' own
books. Pure: no I/O.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from msgspec import Struct
from tieout.devstack.formats import MICRO, Measured

OUTCOMES = (
    "booked",
    "credited",
    "adjusted",
    "in_transit",
    "reserved",
    "back_ordered",
    "refused",
    "cancelled",
    "quarantined",
    "duplicate",
    "conflict",
)


class Term(Struct, frozen=True):
    """What one service's books say became of a part of the input. Signed like the input."""

    month: str
    outcome: str
    service: str  # Whose books say so.
    documents: int = 0
    lines: int = 0
    quantity_micro: int = 0
    amount_minor: int = 0
    rounding_micro: int = 0  # Exact minus rounded amount, in millionths of a minor unit.
    reason: str = ""


class MonthBalance(Struct, frozen=True):
    month: str
    input: Measured
    outcomes: dict[str, Measured]
    missing: Measured  # Input minus all outcomes; all zero if the law holds.

    @property
    def holds(self) -> bool:
        return not (self.missing.lines or self.missing.quantity_micro or self.missing.amount_minor)


class Balance(Struct, frozen=True):
    months: tuple[MonthBalance, ...]
    total: MonthBalance

    @property
    def holds(self) -> bool:
        return all(month.holds for month in self.months)


def balance(fed: Mapping[str, Measured], terms: Iterable[Term]) -> Balance:
    """Weigh what went in against what came of it, for every month that either side names."""
    by_month: dict[str, dict[str, Measured]] = defaultdict(dict)
    for term in terms:
        outcomes = by_month[term.month]
        outcomes[term.outcome] = plus(outcomes.get(term.outcome, Measured()), _measured(term))
    months = [_weigh(name, fed.get(name, Measured()), by_month[name]) for name in sorted({*fed, *by_month})]
    total: dict[str, Measured] = {}
    for month in months:
        for outcome, measured in month.outcomes.items():
            total[outcome] = plus(total.get(outcome, Measured()), measured)
    whole = Measured()
    for measured in fed.values():
        whole = plus(whole, measured)
    return Balance(tuple(months), _weigh("all", whole, total))


def plus(one: Measured, other: Measured, sign: int = 1) -> Measured:
    return Measured(
        one.documents + sign * other.documents,
        one.lines + sign * other.lines,
        one.quantity_micro + sign * other.quantity_micro,
        one.amount_minor + sign * other.amount_minor,
        one.rounding_micro + sign * other.rounding_micro,
    )


def pieces(quantity_micro: int) -> str:
    """A quantity for people: whole pieces without a decimal point."""
    whole, rest = divmod(abs(quantity_micro), MICRO)
    text = f"{whole:,}" + (f".{rest:06}".rstrip("0") if rest else "")
    return f"-{text}" if quantity_micro < 0 else text


def money(amount_minor: int) -> str:
    whole, rest = divmod(abs(amount_minor), 100)
    return f"{'-' if amount_minor < 0 else ''}{whole:,}.{rest:02}"


def _measured(term: Term) -> Measured:
    return Measured(term.documents, term.lines, term.quantity_micro, term.amount_minor, term.rounding_micro)


def _weigh(name: str, fed: Measured, outcomes: Mapping[str, Measured]) -> MonthBalance:
    missing = fed
    for outcome in outcomes.values():
        missing = plus(missing, outcome, -1)
    return MonthBalance(name, fed, dict(outcomes), missing)
