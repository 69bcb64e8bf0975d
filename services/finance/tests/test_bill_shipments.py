"""inventory.shipped: one voucher per shipment, posted once, numbered without gaps."""

import pytest
from tieout.contracts import finance

BILLED = {"6001.01": -300, "2221.01.01": -39, "6401": 300, "1405": -300}


async def test_a_shipment_becomes_one_balanced_voucher_and_a_receivable(desk):
    await desk.give(desk.placed(), desk.shipped())
    assert await desk.vouchers() == [
        (
            "T01",
            [
                ("D", "1122", 339),
                ("C", "6001.01", 300),
                ("C", "2221.01.01", 39),
                ("D", "6401", 300),
                ("C", "1405", 300),
            ],
        )
    ]
    (opened,) = await desk.announced(finance.ReceivableOpened)
    assert (opened.amount_minor, opened.voucher_no, opened.order_no) == (339, "记-2026-11-000001", "1001")
    assert opened.due_date.isoformat() == "2026-12-30"
    assert await desk.violations() == []


async def test_a_shipment_that_comes_twice_is_billed_once(desk):
    message = desk.message(desk.shipped())
    await desk.give(message, message)
    await desk.give(message)
    assert len(await desk.vouchers()) == 1
    assert await desk.balances() == {"1122": 339, "6001.01": -300, "2221.01.01": -39, "6401": 300, "1405": -300}


async def test_parts_of_a_line_add_up_to_the_line_in_any_order(desk):
    parts = [desk.part(0, 1, net=100, tax=10), desk.part(1, 2, net=100, tax=10), desk.part(2, 3, net=100, tax=10)]
    for part in reversed(parts):
        await desk.give(desk.shipped(part))
    assert await desk.rows("SELECT net_minor, tax_minor FROM posted_line ORDER BY position") == [
        (33, 3),
        (34, 4),
        (33, 3),
    ]
    assert (await desk.balances())["1122"] == 110
    assert await desk.violations() == []


async def test_services_and_free_goods_go_to_their_own_accounts(desk):
    lines = (
        desk.part(net=200, tax=26, cost_minor=120),
        desk.part(line_no=2, net=10, tax=1, kind="service", account="carriage", cost_minor=0),
        desk.part(line_no=3, net=50, tax=0, kind="service", account="gift_voucher", cost_minor=0),
        desk.part(line_no=4, net=0, tax=0, cost_account="sample", cost_minor=7),
    )
    await desk.give(desk.shipped(*lines))
    assert await desk.balances() == {
        "1122": 287,
        "6001.01": -200,
        "6001.02": -10,
        "2204": -50,
        "2221.01.01": -27,
        "6401": 120,
        "6601.05": 7,
        "1405": -127,
    }
    assert await desk.violations() == []


async def test_what_is_worth_nothing_gets_no_voucher_and_no_number(desk):
    await desk.give(desk.shipped(desk.part(net=0, tax=0, cost_minor=0), number="1000"))
    await desk.give(desk.shipped())
    free, sold = await desk.announced(finance.ReceivableOpened)
    assert (free.voucher_no, free.amount_minor) == ("", 0)
    assert sold.voucher_no == "记-2026-11-000001"
    assert await desk.violations() == []


async def test_a_cost_in_a_foreign_currency_is_refused_with_the_field(desk):
    from tieout.servicekit import Unprocessable

    with pytest.raises(Unprocessable, match=r"other_currency.*cost_currency") as caught:
        await desk.give(desk.shipped(cost_currency="USD"))
    assert caught.value.field == "cost_currency"
    with pytest.raises(Unprocessable, match="line 1: part 0 to 4000000 of 3000000"):
        await desk.give(desk.shipped(desk.part(0, 4)))


async def test_a_shipment_of_an_unknown_company_waits_until_it_is_opened(desk):
    await desk.give(desk.shipped(company="C2"))
    assert await desk.parked() == [("finance-bill-shipments", "company C2")]
    await desk.open("C2")
    from tieout.servicekit import rehearsal

    await rehearsal.run_parked(desk.database, desk.service.flows)
    assert await desk.parked() == []
    assert (await desk.balances("C2"))["1122"] == 339


async def test_foreign_amounts_balance_in_both_currencies(desk):
    await desk.open("C2", "JPY")
    line = desk.part(net=333, tax=77, cost_minor=5)
    await desk.give(desk.shipped(line, company="C2", currency="USD", cost_currency="JPY", rate_micro=151_237_000))
    # 4.10 dollars at 151.237 are 620 yen, whose parts are 504 and 116.
    rows = await desk.rows("SELECT role, amount_minor, functional_minor, currency FROM voucher_line ORDER BY line_no")
    assert rows == [
        ("receivable", 410, 620, "USD"),
        ("line:goods", 333, 504, "USD"),
        ("output_tax", 77, 116, "USD"),
        ("cogs", 5, 5, "JPY"),
        ("stock", 5, 5, "JPY"),
    ]
    assert await desk.violations() == []


@pytest.mark.parametrize(("residual", "side"), [(2, "C"), (-2, "D")])
async def test_what_the_header_differs_from_its_lines_is_no_revenue(desk, residual, side):
    """T23: the header is what the customer owes; the difference stands on 6603.05, once, whatever part comes first."""
    given = {"net": 300 + residual, "residual_minor": residual}
    last = desk.shipped(desk.part(1, 3, **given), ordinal=2)
    await desk.give(desk.placed(net=300 + residual), last, desk.shipped(desk.part(0, 1, **given)))
    found = await desk.balances()
    assert found == {"1122": 339 + residual, "6603.05": -residual, **BILLED}
    sides = {line[:2] for _, lines in await desk.vouchers() for line in lines}
    assert (side, "6603.05") in sides
    assert await desk.violations() == []
    dollars = {"company": "C2", "currency": "USD", "rate_micro": 7_123_456}
    await desk.open("C2")
    await desk.give(desk.shipped(desk.part(**given, cost_minor=0), **dollars))
    assert (await desk.balances("C2", "USD"))["6603.05"] == -residual
    assert await desk.violations() == []
