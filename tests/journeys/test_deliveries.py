"""Where control passes at delivery: what is sent, delivered in part and stopped on its way, over the whole stack."""

from dataclasses import dataclass

import msgspec
import pytest
from tieout.contracts.gateway import PutSatellite
from tieout.devstack import establish
from tieout.devstack.satellites import key_headers
from tieout.devstack.trading_day import canonical
from tieout.devstack.trading_day.catalogue import AMPLE, CARRIAGE, EU, MICRO
from tieout.devstack.trading_day.sales import part

MAIL = "mail-order"


@dataclass
class MailOrder:
    """A satellite whose customers own nothing before it is delivered."""

    trade: object
    key: str

    async def send(self, *bodies):
        content = b"\n".join(msgspec.json.encode(body) for body in bodies)
        headers = key_headers(self.key, f"mail-{bodies[0]['number']}", "application/x-ndjson")
        return await self.trade.door.send(MAIL, "tieout", content, headers)


@pytest.fixture(scope="module")
async def mail(trade):
    satellite = PutSatellite(MAIL, "Mail order", ("EU",), zone=EU.zone, control_passes="delivery", rotate=True)
    return MailOrder(trade, await establish.admit(trade.client, satellite))


def sold_by_mail(trade, *articles, pieces):
    return trade.sale(*articles, pieces=pieces, company=msgspec.structs.replace(EU, satellite=MAIL))


def delivery(sale, number, lines=()):
    return {
        **canonical.head("delivery", sale.company, number, sale.at),
        "order_source": MAIL,
        "order_number": sale.number,
        "lines": [{"line_no": line_no, "quantity_micro": pieces * MICRO} for line_no, pieces in lines],
    }


def on_account(vouchers, account):
    """Debits minus credits."""
    lines = [line for voucher in vouchers for line in voucher.lines if line.account == account]
    return sum(line.amount_minor if line.side == "debit" else -line.amount_minor for line in lines)


async def test_goods_are_sent_delivered_in_part_and_stopped_on_their_way_and_the_books_agree_all_along(trade, mail):
    sale = sold_by_mail(trade, AMPLE[0], CARRIAGE, pieces=3)
    goods, carriage = sale.lines
    await mail.send(canonical.order(sale))

    shown = await trade.until(lambda: trade.order(sale), lambda found: found.summary.fulfilment == "shipped")
    assert (shown.summary.billing, shown.summary.control_passes) == ("unbilled", "delivery")
    sent = await trade.until(lambda: trade.vouchers(sale), bool)
    assert {voucher.template for voucher in sent} == {"T02"}
    assert on_account(sent, "1406") == 3 * AMPLE[0].cost_minor
    assert (await trade.agreement()).verdict == "agree"

    await mail.send(delivery(sale, f"D1-{sale.number}", [(1, 1)]))
    shown = await trade.until(lambda: trade.order(sale), lambda found: found.summary.billed_minor)
    third = part(goods.net_minor, MICRO, 3 * MICRO) + part(goods.tax_minor, MICRO, 3 * MICRO)
    assert (shown.summary.billing, shown.summary.billed_minor) == ("part_billed", third + carriage.gross_minor)
    assert (await trade.agreement()).verdict == "agree"

    await mail.send(canonical.cancel(sale, f"X-{sale.number}", sale.at))
    shown = await trade.until(lambda: trade.order(sale), lambda found: found.lines[0].cancelled_micro)
    line = shown.lines[0]
    assert (line.cancelled_micro, line.shipped_micro, line.delivered_micro) == (2 * MICRO, MICRO, MICRO)
    assert shown.summary.fulfilment == "closed_short"
    books = await trade.until(lambda: trade.vouchers(sale), lambda found: any(v.template == "T04" for v in found))
    assert on_account(books, "1406") == 0
    assert on_account(books, "6401") == -on_account(books, "1405") == AMPLE[0].cost_minor
    assert on_account(books, "1122") == third + carriage.gross_minor
    assert (await trade.agreement()).verdict == "agree"

    journey = await trade.journey(sale)
    steps = {step.step for step in journey.steps}
    assert steps >= {"shipped", "delivered", "stopped on its way", "on its way", "billed at delivery", "back in stock"}


async def test_money_paid_in_advance_is_applied_at_delivery_and_a_paid_order_is_complete(trade, mail):
    sale = sold_by_mail(trade, AMPLE[1], pieces=2)
    await mail.send(canonical.order(sale))
    await trade.until(lambda: trade.order(sale), lambda found: found.summary.fulfilment == "shipped")
    payment = canonical.payment(sale.company, f"P-{sale.number}", sale.at, 7, sale.gross_minor, [(sale, None)])
    await trade.office(payment)
    await trade.until(lambda: trade.vouchers(sale), lambda found: any(v.template == "T11" for v in found))
    assert (await trade.order(sale)).summary.settled_minor == 0
    await mail.send(delivery(sale, f"D-{sale.number}"))
    shown = await trade.until(lambda: trade.order(sale), lambda found: found.summary.completed)
    assert (shown.summary.fulfilment, shown.summary.payment) == ("delivered", "paid")


async def test_goods_that_come_back_undelivered_are_stopped_and_never_sold(trade, mail):
    sale = sold_by_mail(trade, AMPLE[2], pieces=2)
    await mail.send(delivery(sale, f"D-{sale.number}", [(1, 1)]), canonical.order(sale))  # It overtook its order.
    await trade.until(lambda: trade.order(sale), lambda found: found.summary.billed_minor)
    line = sale.lines[0]
    await mail.send(canonical.credit(sale, f"C-{sale.number}", sale.at, line, line.quantity_micro, "yes"))
    shown = await trade.until(lambda: trade.order(sale), lambda found: found.lines[0].cancelled_micro)
    assert (shown.lines[0].cancelled_micro, shown.lines[0].credited_micro) == (MICRO, MICRO)
    assert shown.summary.owed_minor == 0
    assert (await trade.agreement()).verdict == "agree"
    books = await trade.vouchers(sale)
    assert {account: on_account(books, account) for account in ("1122", "1406", "6401")} == dict.fromkeys(
        ("1122", "1406", "6401"), 0
    )
