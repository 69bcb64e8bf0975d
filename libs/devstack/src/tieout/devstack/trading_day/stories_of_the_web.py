"""What happens in the web shop of company EU: told in Shopify's dialect, confirmed by the warehouse's own system."""

from collections.abc import Sequence
from typing import Any

import msgspec
from tieout.devstack.trading_day import canonical, shopify
from tieout.devstack.trading_day.catalogue import (
    AMPLE,
    CARRIAGE,
    EU,
    MICRO,
    SCARCE,
    WEB,
    WEB_CONFIRMED,
    WEB_WAREHOUSE,
    Article,
)
from tieout.devstack.trading_day.documents import Expected, Fed, Outcome
from tieout.devstack.trading_day.plan import Story, Teller
from tieout.devstack.trading_day.sales import Sale, SoldLine, part, sold_line

CHANNEL = "shopify-orders"
FIRST_NUMBER = 1000
EXAMPLE = str(FIRST_NUMBER + 1)
ORDER_PLACED, CANCELLED, REFUNDED, PAID = (
    "orders/create",
    "orders/cancelled",
    "refunds/create",
    "order_transactions/create",
)


def _sale(
    teller: Teller,
    serial: int,
    at: float,
    warehouse: str = WEB_WAREHOUSE,
    articles: Sequence[Article] | None = None,
    most: int = 4,
    carriage: bool = False,
    discount: bool = False,
) -> Sale:
    chance = teller.random
    chosen = articles or chance.sample(AMPLE, chance.randint(1, 4))
    lines = []
    for line_no, article in enumerate(chosen, 1):
        pieces = chance.randint(1, most)
        off = article.price_minor * pieces // 20 if discount else 0
        lines.append(sold_line(EU, line_no, article, pieces * MICRO, warehouse, off))
    if carriage:
        lines.append(sold_line(EU, len(lines) + 1, CARRIAGE, MICRO, warehouse))
    customer = chance.randint(1, 400)
    return Sale(EU, str(FIRST_NUMBER + serial), serial, customer, teller.clock(at), tuple(lines))


def _say(teller: Teller, at: float, topic: str, number: str, body: dict[str, Any] | bytes, *expected: Expected) -> Fed:
    return teller.tell(at, WEB, CHANNEL, topic, number, body, *expected)


def _place(teller: Teller, at: float, sale: Sale, outcome: Outcome = "accepted") -> Fed:
    return _say(teller, at, ORDER_PLACED, sale.number, shopify.order(sale), Expected("order", outcome))


def _pay(teller: Teller, at: float, sale: Sale, amount_minor: int, ordinal: int = 1) -> Fed:
    body = shopify.transaction(sale, sale.serial * 10 + ordinal, teller.clock(at), amount_minor)
    return _say(teller, at, PAID, sale.number, body, Expected("payment", "accepted"))


def _confirm(teller: Teller, at: float, sale: Sale, ordinal: str, lines: Sequence[tuple[int, int]] = ()) -> None:
    number = f"GI-{sale.number}-{ordinal}"
    teller.office(at, canonical.confirmation(sale, number, teller.clock(at), WEB_CONFIRMED, lines))


def bought_and_paid(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at, carriage=serial == 1 or teller.random.random() < 0.4)
    _place(teller, at, sale)
    _pay(teller, teller.later(at), sale, sale.gross_minor)
    return sale


def bought_on_account(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at, discount=teller.random.random() < 0.3)
    _place(teller, at, sale)
    return sale


def one_article_on_two_lines(teller: Teller, serial: int, at: float) -> Sale:
    article = teller.random.choice(AMPLE)
    sale = _sale(teller, serial, at, articles=(article, teller.random.choice(AMPLE), article))
    _place(teller, at, sale)
    return sale


def shipped_by_hand(teller: Teller, serial: int, at: float) -> Sale:
    """The warehouse confirms, at once or in two parts; a confirmation may overtake the order."""
    sale = _sale(teller, serial, at, WEB_CONFIRMED, most=6)
    _place(teller, at, sale)
    first = sale.lines[0]
    if teller.random.random() < 0.5 or first.pieces < 2:
        every = [(line.line_no, line.quantity_micro) for line in sale.lines]
        _confirm(teller, teller.later(at, 0, 0.05), sale, "1", every)
    else:
        half = first.pieces // 2 * MICRO
        rest = [(first.line_no, first.quantity_micro - half)]
        rest += [(line.line_no, line.quantity_micro) for line in sale.lines[1:]]
        _confirm(teller, teller.later(at, 0, 0.05), sale, "1", [(first.line_no, half)])
        _confirm(teller, teller.later(at, 0.05, 0.1), sale, "2", rest)
    _pay(teller, teller.later(at, 0.02), sale, sale.gross_minor)
    return sale


def paid_beforehand(teller: Teller, serial: int, at: float) -> Sale:
    """The money is there before the order is."""
    sale = _sale(teller, serial, at, WEB_CONFIRMED, carriage=True)
    _pay(teller, at - teller.random.random() * 8, sale, sale.gross_minor)
    _place(teller, at, sale)
    every = [(line.line_no, line.quantity_micro) for line in sale.goods]
    _confirm(teller, teller.later(at), sale, "1", every)
    return sale


def paid_in_part(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at)
    _place(teller, at, sale)
    _pay(teller, teller.later(at), sale, sale.gross_minor // 3 + 1)
    return sale


def paid_too_much(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at)
    _place(teller, at, sale)
    _pay(teller, teller.later(at), sale, sale.gross_minor + 700)
    return sale


def cancelled_in_time(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at, WEB_CONFIRMED)
    _place(teller, at, sale)
    _cancel(teller, teller.later(at, 0.0, 0.05), sale)
    return sale


def cancelled_before_it_came(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at, WEB_CONFIRMED)
    _cancel(teller, at - teller.random.random() * 5, sale)
    _place(teller, at, sale)
    return sale


def cancelled_too_late(teller: Teller, serial: int, at: float) -> Sale:
    """The goods have left: the request is answered `too late` and changes nothing."""
    sale = _sale(teller, serial, at)
    _place(teller, at, sale)
    _cancel(teller, teller.later(at, 0.03), sale)
    return sale


def _cancel(teller: Teller, at: float, sale: Sale) -> None:
    body = shopify.cancelled(sale, teller.clock(at))
    _say(teller, at, CANCELLED, sale.number, body, Expected("cancel", "accepted"))


def sent_back(teller: Teller, serial: int, at: float) -> Sale:
    """Paid, then a part comes back into stock and the money goes back."""
    sale = _sale(teller, serial, at)
    _place(teller, at, sale)
    _pay(teller, teller.later(at, 0.0, 0.03), sale, sale.gross_minor)
    line = sale.lines[-1]
    pieces = teller.random.randint(1, line.pieces)
    _refund(teller, teller.later(at, 0.04), sale, [(line, pieces, "return")], paid_back=True)
    return sale


def kept_but_credited(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at)
    _place(teller, at, sale)
    _refund(teller, teller.later(at), sale, [(sale.lines[0], 1, "no_restock")])
    return sale


def price_cut_afterwards(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at)
    _place(teller, at, sale)
    body = shopify.refund(sale, serial * 10, teller.clock(at), allowance_minor=sale.gross_minor // 10)
    _say(teller, teller.later(at), REFUNDED, sale.number, body, Expected("credit", "accepted"))
    return sale


def carriage_given_back(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at, carriage=True)
    _place(teller, at, sale)
    body = shopify.refund(sale, serial * 10, teller.clock(at), carriage_back=True)
    _say(teller, teller.later(at), REFUNDED, sale.number, body, Expected("credit", "accepted"))
    return sale


def _refund(
    teller: Teller, at: float, sale: Sale, lines: list[tuple[SoldLine, int, str]], paid_back: bool = False
) -> None:
    money = sum(
        part(line.net_minor, pieces * MICRO, line.quantity_micro)
        + part(line.tax_minor, pieces * MICRO, line.quantity_micro)
        for line, pieces, _ in lines
    )
    back = money if paid_back else 0
    body = shopify.refund(sale, sale.serial * 10, teller.clock(at), lines, paid_back_minor=back)
    expected = [Expected("credit", "accepted"), *([Expected("refund", "accepted")] if back else [])]
    _say(teller, at, REFUNDED, sale.number, body, *expected)


def over_sold(teller: Teller, serial: int, at: float) -> Sale:
    """A rare pot, asked for by more people than there are pots: who comes late is refused."""
    sale = _sale(teller, serial, at, articles=(teller.random.choice(SCARCE),), most=2)
    _place(teller, at, sale)
    return sale


def promised_for_later(teller: Teller, serial: int, at: float) -> Sale:
    """The same under the policy `back_order`: a receipt in the afternoon serves those who wait."""
    sale = _sale(teller, serial, at, WEB_CONFIRMED, articles=(teller.random.choice(SCARCE),), most=2)
    _place(teller, at, sale)
    return sale


def delivered_twice(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at)
    teller.again(_place(teller, at, sale), teller.later(at, 0.0, 0.05))
    return sale


def payment_delivered_twice(teller: Teller, serial: int, at: float) -> Sale:
    sale = _sale(teller, serial, at)
    _place(teller, at, sale)
    teller.again(_pay(teller, teller.later(at, 0.0, 0.02), sale, sale.gross_minor), teller.later(at, 0.03, 0.06))
    return sale


def same_number_other_content(teller: Teller, serial: int, at: float) -> Sale:
    """Whichever comes first is the order; the other is a conflict and changes nothing."""
    sale = _sale(teller, serial, at)
    _place(teller, at, sale)
    other = _sale(teller, serial, at, articles=(AMPLE[0],))
    later = at + teller.random.random() * 20
    while other.lines == sale.lines:
        other = _sale(teller, serial, at, articles=(AMPLE[0],))
    _place(teller, later, other, "conflict")
    return sale


def dirty(teller: Teller, serial: int, at: float) -> None:
    """A document that no core database may see."""
    sale = _sale(teller, serial, at)
    body: dict[str, Any] = shopify.order(sale)
    first = body["line_items"][0]
    match serial % 7:
        case 0:
            first["sku"] = "NOT-OURS"
        case 1:
            first["quantity"] = 0
        case 2:
            body["total_price"] = shopify.money(sale.gross_minor + 1000)
        case 3:
            first["price"] = "-1.00"
        case 4:
            body["currency"] = "EURO"
        case 5:
            body["created_at"] = "2207-01-01T00:00:00+01:00"
        case _:
            del body["line_items"]
    _say(teller, at, ORDER_PLACED, sale.number, body, Expected("order", "quarantined"))


def broken_off(teller: Teller, serial: int, at: float) -> None:
    """The body ends in the middle."""
    sale = _sale(teller, serial, at)
    body = msgspec.json.encode(shopify.order(sale))[:-40]
    _say(teller, at, ORDER_PLACED, sale.number, body, Expected("order", "quarantined"))


def forged(teller: Teller, serial: int, at: float) -> None:
    """A signature that is not the shop's: stays outside."""
    sale = _sale(teller, serial, at)
    body = shopify.order(sale)
    expected = Expected("order", "rejected")
    teller.tell(at, WEB, CHANNEL, ORDER_PLACED, sale.number, body, expected, signed=False)


STORIES: tuple[tuple[Story, int], ...] = (
    (bought_and_paid, 360),
    (bought_on_account, 190),
    (shipped_by_hand, 120),
    (one_article_on_two_lines, 30),
    (paid_beforehand, 30),
    (paid_in_part, 20),
    (paid_too_much, 15),
    (cancelled_in_time, 20),
    (cancelled_before_it_came, 8),
    (cancelled_too_late, 12),
    (sent_back, 40),
    (kept_but_credited, 10),
    (price_cut_afterwards, 10),
    (carriage_given_back, 10),
    (over_sold, 30),
    (promised_for_later, 25),
    (delivered_twice, 20),
    (payment_delivered_twice, 10),
    (same_number_other_content, 8),
    (dirty, 24),
    (broken_off, 3),
    (forged, 5),
)
