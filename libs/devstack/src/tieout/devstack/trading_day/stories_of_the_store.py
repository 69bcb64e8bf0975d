"""What happens in the store of company CN: canonical documents, published to its own leaf node."""

from collections.abc import Sequence
from typing import Any

from tieout.devstack.trading_day import canonical
from tieout.devstack.trading_day.catalogue import (
    AMPLE,
    CN,
    LOOSE,
    MICRO,
    NEGATIVE,
    SCARCE,
    STORE,
    STORE_DEPOT,
    STORE_SHELF,
    Article,
)
from tieout.devstack.trading_day.documents import Expected, Fed, Outcome
from tieout.devstack.trading_day.plan import CANONICAL, Story, Teller
from tieout.devstack.trading_day.sales import Sale, part, sold_line


def _sale(
    teller: Teller,
    serial: int,
    at: float,
    warehouse: str = STORE_SHELF,
    articles: Sequence[Article] | None = None,
    most: int = 3,
) -> Sale:
    chance = teller.random
    lines = []
    for line_no, article in enumerate(articles or chance.sample(AMPLE, chance.randint(1, 3)), 1):
        quantity = chance.randint(1, 40) * 50_000 if article is LOOSE else chance.randint(1, most) * MICRO
        lines.append(sold_line(CN, line_no, article, quantity, warehouse))
    return Sale(CN, f"S{serial:06}", serial, chance.randint(1, 300), teller.clock(at), tuple(lines))


def _say(teller: Teller, at: float, body: dict[str, Any], outcome: Outcome = "accepted") -> Fed:
    expected = Expected(body["kind"], outcome)
    return teller.tell(at, STORE, CANONICAL, body["kind"], body["number"], body, expected)


def _sell(teller: Teller, at: float, sale: Sale) -> Fed:
    return _say(teller, at, canonical.order(sale))


def _cash(teller: Teller, at: float, sale: Sale, amount_minor: int | None = None) -> Fed:
    received = sale.gross_minor if amount_minor is None else amount_minor
    number = f"P{sale.number}"
    body = canonical.payment(CN, number, teller.clock(at), sale.customer, received, [(sale, None)])
    return _say(teller, at, body)


def sold_for_cash(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at)
    _sell(teller, at, sale)
    _cash(teller, at + 0.001, sale)
    return sale


def sold_by_weight(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at, articles=(LOOSE, teller.random.choice(AMPLE)))
    _sell(teller, at, sale)
    _cash(teller, at + 0.001, sale)
    return sale


def sold_on_account(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at)
    _sell(teller, at, sale)
    return sale


def sold_below_zero(teller: Teller, serial: int, at: float) -> Sale:
    """The shelf's book says there is none left, the shelf says otherwise: costed when the receipt comes."""
    sale = _sale(teller, serial, at, articles=(teller.random.choice(NEGATIVE),))
    _sell(teller, at, sale)
    _cash(teller, at + 0.001, sale)
    return sale


def from_the_depot(teller: Teller, serial: int, at: float) -> Sale:
    """One line from the shelf, one from the depot that confirms by hand."""
    mixed = _sale(teller, serial, at, articles=teller.random.sample(AMPLE, 2))
    depot = sold_line(CN, 2, mixed.lines[1].article, mixed.lines[1].quantity_micro, STORE_DEPOT)
    sale = Sale(CN, mixed.number, serial, mixed.customer, mixed.at, (mixed.lines[0], depot))
    _sell(teller, at, sale)
    later = teller.later(at, 0.0, 0.06)
    number = f"GI-{sale.number}"
    lines = [(2, depot.quantity_micro)]
    teller.office(later, canonical.confirmation(sale, number, teller.clock(later), STORE_DEPOT, lines))
    return sale


def part_cancelled(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at, STORE_DEPOT, most=5)
    _sell(teller, at, sale)
    later = teller.later(at, 0.0, 0.06)
    _say(teller, later, canonical.cancel(sale, f"X{sale.number}", teller.clock(later), [(1, MICRO)]))
    return sale


def promised_for_later(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at, STORE_DEPOT, articles=(teller.random.choice(SCARCE),), most=2)
    _sell(teller, at, sale)
    return sale


def brought_back(teller: Teller, serial: int, at: float) -> Sale:
    """Half of the loose tea comes back, and the money with it."""
    sale = _sale(teller, serial, at, articles=(LOOSE,))
    _sell(teller, at, sale)
    _cash(teller, at + 0.001, sale)
    line, later = sale.lines[0], teller.later(at)
    half = line.quantity_micro // 2
    _say(teller, later, canonical.credit(sale, f"C{sale.number}", teller.clock(later), line, half, "yes"))
    back = part(line.net_minor, half, line.quantity_micro) + part(line.tax_minor, half, line.quantity_micro)
    _say(teller, later + 0.001, canonical.refund(sale, f"R{sale.number}", teller.clock(later), back))
    return sale


def brought_back_without_receipt(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at)
    _sell(teller, at, sale)
    line = sold_line(CN, 1, teller.random.choice(AMPLE), MICRO, STORE_SHELF)
    later = teller.later(at)
    body = canonical.unlinked_credit(CN, f"C{sale.number}", teller.clock(later), sale.customer, line)
    _say(teller, later, body)
    return sale


def more_back_than_bought(teller: Teller, serial: int, at: float) -> Sale:
    """A credit that its sale can never bear is told as a conflict."""
    sale = _sale(teller, serial, at)
    _sell(teller, at, sale)
    line, later = sale.lines[0], teller.later(at)
    body = canonical.credit(sale, f"C{sale.number}", teller.clock(later), line, line.quantity_micro * 3, "yes")
    _say(teller, later, body, "conflict")
    return sale


def published_twice(teller: Teller, serial: int, at: float) -> Sale:
    """The till repeats a sale under a new message id, because it missed the first answer."""
    sale = _sale(teller, serial, at)
    teller.again(_sell(teller, at, sale), at + teller.random.random() * 10)
    return sale


def same_number_other_content(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at)
    _sell(teller, at, sale)
    body = canonical.order(sale)
    body["customer"] = f"cust-{sale.customer + 1000}"
    _say(teller, at + teller.random.random() * 10, body, "conflict")
    return sale


def dirty(teller: Teller, serial: int, at: float) -> None:
    sale = _sale(teller, serial, at)
    body = canonical.order(sale)
    match serial % 4:
        case 0:
            body["lines"][0]["quantity_micro"] = -1_000_000
        case 1:
            body["company"] = "NOBODY"
        case 2:
            body["lines"][0]["sku"] = "NOT-OURS"
        case _:
            body["lines"] = []
    _say(teller, at, body, "quarantined")


STORIES: tuple[tuple[Story, int], ...] = (
    (sold_for_cash, 560),
    (sold_by_weight, 120),
    (sold_on_account, 60),
    (sold_below_zero, 40),
    (from_the_depot, 60),
    (part_cancelled, 20),
    (promised_for_later, 20),
    (brought_back, 30),
    (brought_back_without_receipt, 10),
    (more_back_than_bought, 6),
    (published_twice, 20),
    (same_number_other_content, 6),
    (dirty, 16),
)
