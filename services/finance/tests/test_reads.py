"""Questions about the books."""

from datetime import date
from uuid import UUID

import msgspec
import pytest
from msgspec import structs
from tieout.contracts import event, finance
from tieout.contracts.operation import TrailRequest
from tieout.finance.reads import trail
from tieout.servicekit import Refused


async def test_a_trial_balance_has_opening_turnover_and_closing(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(339, ("1001", 339), business_date=date(2026, 12, 2)))
    found = await desk.ask(finance.TRIAL_BALANCE, company="C1", from_period="2026-12")
    lines = {
        line.account: (line.opening_minor, line.debit_minor, line.credit_minor, line.closing_minor)
        for line in found.lines
    }
    assert lines["1122"] == (339, 0, 339, 0)
    assert lines["1002"] == (0, 339, 0, 339)
    assert lines["6001.01"] == (-300, 0, 0, -300)
    assert (found.balanced, found.debit_minor, found.credit_minor) == (True, 339, 339)
    with pytest.raises(Refused, match="no company C9"):
        await desk.ask(finance.TRIAL_BALANCE, company="C9")


async def test_vouchers_are_found_by_order_account_and_number_in_pages(desk):
    for n in range(5):
        await desk.give(desk.shipped(number=f"A{n}"))
    await desk.give(desk.pay(20, ("A1", 10), ("A2", 10)))
    page = await desk.ask(finance.VOUCHERS, company="C1", limit=4)
    rest = await desk.ask(finance.VOUCHERS, company="C1", limit=4, after=page.next)
    assert [len(page.vouchers), len(rest.vouchers), rest.next] == [4, 2, 0]
    assert [template for template, _ in await desk.vouchers(order_no="A1")] == ["T01", "T09"]
    assert [template for template, _ in await desk.vouchers(account="1002")] == ["T09"]
    assert await desk.vouchers(order_no="A1", account="1405", period="2026-10") == []
    one = await desk.ask(finance.VOUCHER, company="C1", voucher_no="记-2026-11-000002")
    assert (one.order_no, one.total_minor, one.functional_currency) == ("A1", 639, "CNY")
    assert one.lines[0].account_name_zh == "应收账款"
    for wrong, code in (("记-2026-11-000099", "not_found"), ("hello", "invalid")):
        with pytest.raises(Refused) as caught:
            await desk.ask(finance.VOUCHER, company="C1", voucher_no=wrong)
        assert caught.value.problem.code == code


async def test_receivables_age_by_due_date_and_equal_the_control_account(desk):
    await desk.give(desk.placed(), desk.placed("1002"))
    await desk.give(desk.shipped(desk.part(0, 1), due_days=5), desk.shipped(desk.part(1, 3), due_days=45))
    await desk.give(desk.shipped(number="1002"))
    await desk.give(desk.pay(100, ("1001", 100), business_date=date(2026, 12, 10)))
    await desk.give(desk.credited((10, 1), number=None, business_date=date(2026, 12, 1)))
    now = await desk.ask(finance.RECEIVABLES, company="C1", as_of=date(2026, 12, 20))
    by_order = {one.order_no: one for one in now.receivables}
    first = by_order["1001"]
    assert (first.open_minor, first.not_due_minor, first.overdue_30_minor) == (239, 226, 13)
    assert first.oldest_due == date(2026, 12, 5)
    assert by_order[""].open_minor == by_order[""].not_due_minor == -11
    assert now.totals == {"CNY": 239 + 339 - 11} == {"CNY": sum(one.open_minor for one in now.receivables)}
    before = await desk.ask(finance.RECEIVABLES, company="C1", as_of=date(2026, 12, 9), order_no="1001")
    assert (before.receivables[0].open_minor, before.totals) == (339, {"CNY": 339})
    assert (await desk.ask(finance.RECEIVABLES, company="C1", as_of=date(2026, 11, 1))).receivables == ()
    paged = await desk.ask(finance.RECEIVABLES, company="C1", limit=2)
    assert len(paged.receivables) == 2
    rest = await desk.ask(finance.RECEIVABLES, company="C1", limit=2, after=paged.next)
    assert (len(rest.receivables), rest.next) == (1, "")


async def test_outcomes_count_each_document_and_line_once(desk):
    lines = (desk.part(0, 2), desk.part(line_no=2, net=10, tax=0, kind="service", account="carriage", cost_minor=0))
    await desk.give(desk.placed(net=310), desk.shipped(*lines), desk.shipped(desk.part(2, 3)))
    credit = desk.credited((100, 13))
    await desk.give(
        credit, desk.returned(credit_id=credit.credit_id), desk.pay(5, number="P1"), desk.pay(5, number="P1")
    )
    found = (await desk.ask(finance.FINANCE_OUTCOMES, company="C1")).outcomes
    shown = {
        (one.outcome, one.account): (
            one.documents,
            one.lines,
            one.quantity_micro,
            one.net_minor,
            one.tax_minor,
            one.value_minor,
        )
        for one in found
    }
    assert shown == {
        ("booked", ""): (1, 2, 6_000_000, 310, 39, -300),
        ("booked", "goods"): (1, 1, 3_000_000, 300, 39, -300),
        ("booked", "carriage"): (1, 1, 3_000_000, 10, 0, 0),
        ("credited", ""): (1, 1, -1_000_000, -100, -13, 100),
        ("credited", "goods"): (1, 1, -1_000_000, -100, -13, 100),
        ("payment", ""): (1, 0, 0, 5, 0, 0),
        ("duplicate", ""): (1, 0, 0, 5, 0, 0),
    }
    assert {one.month for one in found} == {"2026-11"}


async def test_a_credited_line_that_came_in_parts_counts_once(desk):
    await desk.give(desk.placed(), desk.shipped())
    credit = desk.credited((100, 13), (50, 6), (20, 3))
    first, second, other = credit.lines
    await desk.give(structs.replace(credit, lines=(first, structs.replace(second, part=2), other)))
    found = (await desk.ask(finance.FINANCE_OUTCOMES, company="C1")).outcomes
    assert {(one.account, one.lines, one.net_minor) for one in found if one.outcome == "credited"} == {
        ("", 2, -170),
        ("goods", 2, -170),
    }


async def test_a_trail_tells_what_the_books_know_of_an_order(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.shipped(number="1002"))
    await desk.give(desk.pay(400, ("1001", 339), ("1002", 61)), desk.credited((100, 13)))
    entries = (await trail(TrailRequest(str(desk.id())), desk.database)).entries
    assert [(entry.step, entry.voucher_no, entry.amount_minor) for entry in entries] == [
        ("billed", "记-2026-11-000001", 339),
        ("paid", "记-2026-11-000003", 400),
        ("credited", "记-2026-11-000004", -113),
        ("released", "记-2026-11-000005", 113),
    ]
    assert (await trail(TrailRequest("00000000-0000-0000-0000-000000000000"), desk.database)).entries == ()


async def test_money_that_names_an_order_and_stays_with_its_customer_is_in_the_journey_of_that_order(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(339, "1001"))
    await desk.give(desk.pay(50, "1001", number="P2"))  # Nothing is open any more.
    entries = (await trail(TrailRequest(str(desk.id())), desk.database)).entries
    assert (entries[-1].step, entries[-1].document, entries[-1].amount_minor) == ("paid", "P2", 50)
    assert (await desk.balances())["2203"] == -50
    assert await desk.violations() == []


async def test_money_for_several_orders_says_which_others_it_was_for(desk):
    await desk.give(desk.placed("1"), desk.placed("2"), desk.shipped(number="1"), desk.shipped(number="2"))
    await desk.give(desk.pay(678, "1", "2"))
    entries = (await trail(TrailRequest(str(desk.id("1"))), desk.database)).entries
    assert [entry.detail for entry in entries if entry.step == "paid"] == ["template T09, also for 2"]


async def test_the_chart_names_accounts_in_two_languages_with_their_roles(desk):
    chart = (await desk.ask(finance.CHART, company="C1")).accounts
    (receivable,) = [account for account in chart if account.code == "1122"]
    assert (receivable.name, receivable.name_zh, receivable.roles) == (
        "Accounts receivable",
        "应收账款",
        ("receivable",),
    )
    companies = (await desk.ask(finance.COMPANIES)).companies
    assert [one.company for one in companies] == ["C1"]


async def test_a_trail_tells_money_documents_of_the_order_that_changed_nothing(desk):
    await desk.give(desk.placed(), desk.pay(339, ("1001", 339)))
    await desk.give(desk.pay(339, ("1001", 339)))  # Each in a transaction of its own, or both are of one moment.
    await desk.give(desk.pay(300, ("1001", 300), fingerprint="b" * 64))
    entries = (await trail(TrailRequest(str(desk.id())), desk.database)).entries
    assert [(entry.step, entry.document) for entry in entries] == [
        ("paid", "P1"),
        ("duplicate", "P1"),
        ("conflict", "P1"),
    ]
    assert entries[2].detail.startswith("other_content: ")


async def test_reports_of_a_company_hold_sums_beyond_64_bits(desk, owner):
    """Each amount has 64 bits. Ten such shipments of one customer, month and account are added up as they are."""
    most = 2**62
    await desk.give(desk.placed(), desk.shipped())
    for table in ("posted_line", "voucher_line"):
        await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for n in range(10, 110, 10):
        await owner.execute(
            "INSERT INTO voucher_line SELECT position, $1, $1, NULL, line_no + $2, side, account, role, currency"
            " FROM voucher_line WHERE line_no IN (1, 2)",
            most,
            n,
        )
        await owner.execute(
            "INSERT INTO posted_line SELECT position, $1, $1, $1, $1, chain_id, line_no + $2, kind, account, starts,"
            " document_no, currency FROM posted_line WHERE line_no = 1",
            most,
            n,
        )
    balance = await desk.ask(finance.TRIAL_BALANCE, company="C1")
    assert {line.account: line.closing_minor for line in balance.lines}["1122"] == 339 + 10 * most
    assert balance.debit_minor == balance.credit_minor
    encoded = msgspec.json.encode(balance)
    assert msgspec.json.decode(encoded, type=finance.TrialBalance) == balance
    told = (await desk.ask(finance.FINANCE_OUTCOMES, company="C1")).outcomes
    assert {one.net_minor for one in told if one.outcome == "booked"} == {300 + 10 * most}
    totals = (await desk.ask(finance.RECEIVABLES, company="C1")).totals
    assert totals == {"CNY": 339 + 10 * most}
    turnovers = (await desk.ask(finance.ACCOUNTS, company="C1")).turnovers
    assert max(one.debit_minor for one in turnovers) == 339 + 10 * most


async def test_a_trail_has_the_money_of_its_order_to_the_minor_unit(desk):
    await desk.give(desk.placed(), desk.shipped(desk.part(0, 2)), desk.placed("1002"))
    await desk.give(desk.pay(400, ("1001", 339), ("1002", 61)))
    await desk.give(desk.credited((100, 13)), desk.refund(50, "1001"))
    told = await trail(TrailRequest(str(desk.id())), desk.database)
    (money,) = told.money
    assert (money.currency, money.received_minor, money.refunded_minor) == ("CNY", 339, 50)
    assert money.received_minor == money.applied_minor + money.held_minor + money.refunded_minor
    assert money.open_minor == money.billed_minor - money.credited_minor - money.forgiven_minor - money.applied_minor
    assert (money.billed_minor, money.credited_minor, money.applied_minor, money.open_minor) == (226, 113, 113, 0)
    assert [(one.kind, one.number, one.amount_minor, one.whole_minor) for one in money.papers] == [
        ("payment", "P1", 339, 400),
        ("refund", "F1", -50, 0),
    ]
    other = (await trail(TrailRequest(str(desk.id("1002"))), desk.database)).money[0]
    assert (other.received_minor, other.applied_minor, other.held_minor, other.customer) == (61, 0, 61, "")


async def test_money_without_an_order_is_its_customers_and_what_was_applied_to_one_is_that_orders(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(500, number="P1"), desk.pay(7, number="P2"))
    applied = {"company": "C1", "number": "A1", "customer": "K1", "currency": "CNY", "amount_minor": 339}
    where = {"order_source": "shop", "order_no": "1001", "business_date": date(2026, 11, 30)}
    await desk.ask_as("Li", finance.APPLY_MONEY, **applied, **where)
    chain = event.document_id("payment", "C1", "psp", "P1")
    told = await trail(TrailRequest(str(chain)), desk.database)
    (money,) = told.money
    assert (money.customer, money.received_minor, money.held_minor, told.orders) == ("K1", 507, 168, ())
    assert (money.applied_minor, money.refunded_minor) == (339, 0)
    assert [(one.number, one.amount_minor) for one in money.papers] == [("P1", 500)]
    (money,) = (await trail(TrailRequest(str(desk.id())), desk.database)).money
    assert [(one.kind, one.number, one.amount_minor) for one in money.papers] == [("application", "A1", 339)]
    assert (money.received_minor, money.applied_minor, money.open_minor) == (339, 339, 0)


async def test_a_voucher_leads_to_the_orders_whose_items_it_moves(desk):
    await desk.open("C2")
    await desk.give(desk.placed(), desk.shipped(), desk.placed("1002"))
    await desk.give(desk.pay(400, ("1001", 339), ("1002", 61)), desk.credited((100, 13)))
    await desk.give(desk.moved("purchase", (5, 50)), desk.moved("purchase", (5, 50), company="C2"))

    async def led(number):
        told = await trail(TrailRequest(str(UUID(int=0)), number), desk.database)
        assert (told.entries, told.money) == ((), ())
        return [(one.company, one.order_no, one.chain_id) for one in told.orders]

    first, second = (("C1", number, str(desk.id(number))) for number in ("1001", "1002"))
    page = await desk.ask(finance.VOUCHERS, company="C1")
    of_paper = {voucher.document_no: voucher.voucher_no for voucher in page.vouchers}
    assert await led(of_paper["P1"]) == [first, second]
    assert await led(of_paper["R1"]) == [first]
    sold = await led("记-2026-11-1")  # Each company has a first voucher, and zeros may be left out.
    assert [one[:2] for one in sold] == [("C1", "1001"), ("C2", "D1")]
    assert sold[0] == first
    for unknown in ("记-2026-11-000999", "转-2026-11-000001", "1001", "记-2026-11-x", ""):
        assert await led(unknown) == []
    paid = event.document_id("payment", "C1", "psp", "P1")
    told = await trail(TrailRequest(str(paid)), desk.database)
    assert [(one.order_no, one.chain_id) for one in told.orders] == [first[1:], second[1:]]
