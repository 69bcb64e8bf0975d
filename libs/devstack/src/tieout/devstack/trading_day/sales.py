"""What a customer bought, before it is written down in any dialect. Amounts are minor units, rounded once, here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from tieout.devstack.trading_day.catalogue import CARRIAGE, MICRO, Article, Company


class SoldLine(Struct, frozen=True):
    line_no: int
    article: Article
    quantity_micro: int
    net_minor: int  # After the discount.
    tax_minor: int
    warehouse: str
    discount_minor: int = 0

    @property
    def kind(self) -> Literal["goods", "service"]:
        return "service" if self.article is CARRIAGE else "goods"

    @property
    def pieces(self) -> int:
        return self.quantity_micro // MICRO

    @property
    def gross_minor(self) -> int:
        return self.net_minor + self.tax_minor


class Sale(Struct, frozen=True):
    company: Company
    number: str
    serial: int
    customer: int
    at: datetime  # UTC.
    lines: tuple[SoldLine, ...]

    @property
    def gross_minor(self) -> int:
        return sum(line.gross_minor for line in self.lines)

    @property
    def goods(self) -> Sequence[SoldLine]:
        return [line for line in self.lines if line.kind == "goods"]


def half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def sold_line(
    company: Company, line_no: int, article: Article, quantity_micro: int, warehouse: str, discount_minor: int = 0
) -> SoldLine:
    """A priced line: net = price x quantity - discount, tax on the net."""
    net = half_up(article.price_minor * quantity_micro, MICRO) - discount_minor
    return SoldLine(
        line_no, article, quantity_micro, net, half_up(net * company.tax_percent, 100), warehouse, discount_minor
    )


def part(amount_minor: int, quantity_micro: int, ordered_micro: int) -> int:
    """The share of a line's amount that belongs to its first `quantity_micro`."""
    return half_up(amount_minor * quantity_micro, ordered_micro)
