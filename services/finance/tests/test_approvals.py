"""What one person asks for and others approve: reopening, write-offs, count differences."""

from datetime import date

import asyncpg
import pytest
from tieout.contracts import finance, inventory
from tieout.contracts.period import PERIOD_POSTINGS
from tieout.devstack.plans import rows_touched
from tieout.servicekit import Refused

NOVEMBER = date(2026, 11, 30)


async def decide(desk, who, request, **more):
    return await desk.ask_as(who, finance.DECIDE_REQUEST, request_id=request.request_id, **more)


async def close(desk, period="2026-11"):
    return await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period=period)


async def reopening(desk, who="Li", period="2026-11", reason="invoice 7 is missing"):
    return await desk.ask_as(who, finance.REQUEST_REOPENING, company="C1", period=period, reason=reason)


async def test_two_people_open_a_closed_period_again_and_it_can_be_closed_again(desk):
    await desk.open("C2", "EUR")
    await close(desk)
    asked = await reopening(desk)
    assert (asked.state, asked.requested_by, asked.approvals_needed) == ("waiting", "Li", 1)
    assert (await reopening(desk)).request_id == asked.request_id
    with pytest.raises(Refused, match="Li has asked for it; somebody else must approve") as caught:
        await decide(desk, "Li", asked)
    assert caught.value.problem.code == "same_person"
    await desk.give(desk.shipped(number="1"))
    done = await decide(desk, "Wang", asked, note="seen")
    assert (done.state, [(one.by, one.note) for one in done.verdicts]) == ("done", [("Wang", "seen")])
    assert (await decide(desk, "Wang", asked)).state == "done"
    await desk.give(desk.shipped(number="2"))
    assert await desk.rows("SELECT order_no, period, deferred_from FROM voucher ORDER BY position") == [
        ("1", "2026-12", "2026-11"),
        ("2", "2026-11", ""),
    ]
    assert await desk.rows(
        "SELECT period, closed_through, requested_by, approved_by, reason FROM period_reopening"
    ) == [("2026-11", "2026-10", "Li", "Wang", "invoice 7 is missing")]
    again = await close(desk)
    assert (again.repeated, again.vouchers) == (False, 1)
    told = await desk.announced(finance.PeriodClosed) + await desk.announced(finance.PeriodReopened)
    assert sorted((one.revision, one.first_open) for one in told) == [(1, "2026-12"), (2, "2026-11"), (3, "2026-12")]
    assert (await reopening(desk)).request_id != asked.request_id
    assert await desk.violations() == []


async def test_a_rejected_request_stays_on_record_and_may_be_asked_again(desk):
    await close(desk)
    asked = await reopening(desk)
    assert (await decide(desk, "Wang", asked, approve=False, note="no")).state == "rejected"
    with pytest.raises(Refused, match="rejected already"):
        await decide(desk, "Zhao", asked)
    again = await reopening(desk, reason="now with the paper")
    assert again.request_id != asked.request_id
    listed = await desk.ask(finance.REQUESTS, company="C1", state="rejected")
    assert [one.request_id for one in listed.requests] == [asked.request_id]
    assert [one.state for one in (await desk.ask(finance.REQUESTS)).requests] == ["waiting", "rejected"]
    shown = await desk.ask(finance.REQUESTS, limit=1)
    assert ([one.state for one in shown.requests], shown.found) == (["waiting"], 2)
    with pytest.raises(Refused, match="is open"):
        await reopening(desk, period="2026-12")
    with pytest.raises(Refused, match="Nobody knows who asks"):
        await reopening(desk, who="")


async def test_no_path_opens_a_period_without_two_people(desk, owner):
    await close(desk)
    with pytest.raises(asyncpg.RaiseError, match="by two people only"):
        await owner.execute("UPDATE company SET closed_through = ''")
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute(
            "INSERT INTO period_reopening VALUES ('C1', '2026-11', '2026-10', 'Li', 'Li', 'x', gen_random_uuid(), 99)"
        )
    asked = await reopening(desk)
    with pytest.raises(asyncpg.CheckViolationError):
        await desk.rows("INSERT INTO verdict VALUES ($1, 'Li', 'Li', true, '')", asked.request_id)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await desk.rows("INSERT INTO verdict VALUES ($1, 'Li', 'Wang', true, '')", asked.request_id)
    assert await desk.violations() == []


def write_off(desk, amount, who="Li", number="W1", **more):
    given = {"currency": "CNY", "company": "C1", "business_date": NOVEMBER, "reason": "bankrupt", **more}
    asked = {"number": number, "order_source": "shop", "order_no": "1001", "amount_minor": amount, **given}
    return desk.ask_as(who, finance.REQUEST_WRITE_OFF, **asked)


async def test_a_write_off_needs_two_others_and_closes_the_receivable(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(39, ("1001", 39)))
    asked = await write_off(desk, 300)
    assert asked.approvals_needed == 2
    assert (await decide(desk, "Wang", asked)).state == "waiting"
    assert (await decide(desk, "Wang", asked)).state == "waiting"
    assert len(await desk.vouchers()) == 2
    done = await decide(desk, "Zhao", asked)
    assert (await desk.vouchers())[-1] == ("T15", [("D", "1231", 300), ("C", "1122", 300)])
    voucher = await desk.ask(finance.VOUCHER, company="C1", voucher_no=done.voucher_no)
    assert (voucher.prepared_by, voucher.reviewed_by) == ("Li", "Wang, Zhao")
    told = await desk.announced(finance.OrdersSettled)
    assert [(one.cause, one.items[0].amount_minor) for one in told] == [("payment", 39), ("write_off", 300)]
    assert (await desk.ask(finance.RECEIVABLES, company="C1")).totals == {"CNY": 0}
    assert await desk.violations() == []

    back = await write_off(desk, 100, number="W2", recover=True)
    await decide(desk, "Wang", back)
    assert (await desk.vouchers())[-1] == ("T15r", [("D", "1122", 100), ("C", "1231", 100)])
    await desk.give(desk.pay(100, ("1001", 100), number="P2"))
    assert (await desk.vouchers())[-1] == ("T09", [("D", "1002", 100), ("C", "1122", 100)])
    last = await write_off(desk, 200, number="W3", recover=True)
    await decide(desk, "Wang", last)
    assert await desk.rows("SELECT forgiven, settled FROM open_item WHERE of_order") == [(0, 139)]
    assert await desk.violations() == []


async def test_no_more_is_written_off_than_is_open_when_it_is_approved(desk):
    await desk.give(desk.placed(), desk.shipped())
    asked = await write_off(desk, 300)
    await decide(desk, "Wang", asked)
    await desk.give(desk.pay(100, ("1001", 100)))
    with pytest.raises(Refused, match=r"2\.39 CNY is open, not 3\.00 CNY"):
        await decide(desk, "Zhao", asked)
    with pytest.raises(Refused, match="has asked for this already"):
        await write_off(desk, 200)
    listed = await desk.ask(finance.REQUESTS, state="waiting")
    assert [len(one.verdicts) for one in listed.requests] == [1]
    assert await desk.violations() == []


async def test_a_write_off_in_dollars_takes_the_receivable_at_its_own_rate(desk):
    await desk.open("C2", "EUR", tax_point="payment")
    dollars = {"company": "C2", "currency": "USD", "rate_micro": 920_001}
    await desk.give(desk.shipped(desk.part(cost_minor=0), **{**dollars, "cost_currency": "EUR"}), desk.shipped())
    asked = await write_off(desk, 339, company="C2", currency="USD")
    await decide(desk, "Wang", asked)
    await decide(desk, "Zhao", asked)
    assert await desk.balances("C2", "USD") == {"6001.01": -300, "2221.01.01": -39, "1231": 339}
    found = await desk.rows("SELECT sum(functional_minor)::bigint FROM voucher_line WHERE role = 'allowance'")
    assert found == [(312,)]
    assert await desk.violations() == []


async def test_a_cash_discount_closes_its_part_of_the_receivable(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(332, ("1001", 332)))
    asked = {"company": "C1", "number": "D1", "order_source": "shop", "order_no": "1001", "currency": "CNY"}
    asked |= {"amount_minor": 7, "business_date": NOVEMBER}
    view = await desk.ask_as("Li", finance.TAKE_DISCOUNT, **asked)
    assert (view.open_minor, view.repeated) == (0, False)
    assert (await desk.vouchers())[-1] == ("T14b", [("D", "6001.08", 7), ("C", "1122", 7)])
    assert (await desk.ask_as("Li", finance.TAKE_DISCOUNT, **asked)).repeated
    with pytest.raises(Refused, match="other content"):
        await desk.ask_as("Li", finance.TAKE_DISCOUNT, **{**asked, "amount_minor": 6})
    with pytest.raises(Refused, match=r"0\.00 CNY is open, not 0\.07 CNY"):
        await desk.ask_as("Li", finance.TAKE_DISCOUNT, **{**asked, "number": "D2"})
    await desk.give(desk.credited((300, 39)))
    assert (await desk.balances())["2203"] == -332
    assert (await desk.balances())["1122"] == -7
    assert await desk.violations() == []


@pytest.mark.parametrize(("cause", "account"), [("management", "6602.08"), ("disaster", "6711"), ("person", "1221")])
async def test_a_count_difference_is_approved_before_its_period_closes(desk, cause, account):
    count = desk.moved("adjusted", (-2, -100), (1, 30))
    await desk.give(count)
    with pytest.raises(Refused, match=r"nobody has approved count D1 of source 'wms' \(-0.70 CNY\)") as caught:
        await close(desk)
    assert caught.value.problem.field == "period"
    request = {"company": "C1", "source": "wms", "number": "D1", "cause": cause, "reason": "checked twice"}
    asked = await desk.ask_as("Li", finance.REQUEST_COUNT_APPROVAL, **request)
    await decide(desk, "Wang", asked)
    template, lines = (await desk.vouchers())[-1]
    assert template == "T19b"
    assert lines == [("D", account, 100), ("D", "1901", 30), ("C", "1901", 100), ("C", "6602.08", 30)]
    with pytest.raises(Refused, match="left nothing on 1901"):
        await desk.ask_as("Li", finance.REQUEST_COUNT_APPROVAL, **request)
    assert (await close(desk)).count_difference_minor == 0
    assert await desk.violations() == []


async def test_counts_that_stand_on_1901_are_listed_until_somebody_approves_them(desk):
    async def standing(company="", **chosen):
        return await desk.ask(finance.STANDING_COUNTS, company=company, **chosen)

    assert await standing() == finance.StandingCounts(())
    await desk.give(desk.moved("adjusted", (-2, -100), (1, 30)))
    told = await standing("C1")
    assert told.sums == (finance.StandingSum("CNY", 1, 70, 0, unasked=1),)
    (count,) = told.counts
    period = f"{count.business_date:%Y-%m}"
    assert await standing("C1", period=period) == told
    assert await standing("C1", period="1999-01") == finance.StandingCounts(())
    assert await standing(skip=1) == finance.StandingCounts((), told.sums)  # The sums are of all, listed or not.
    assert (count.company, count.source, count.number, count.left_minor) == ("C1", "wms", "D1", -70)
    assert (count.request_id, count.asked_by, count.rejected) == (None, "", False)
    assert (await standing("C9")).counts == ()
    request = {"company": "C1", "source": "wms", "number": "D1", "cause": "management", "reason": "checked twice"}
    asked = await desk.ask_as("Li", finance.REQUEST_COUNT_APPROVAL, **request)
    told = await standing()
    assert told.sums[0].unasked == 0
    (count,) = told.counts
    assert (count.request_id, count.asked_by, count.approvals, count.approvals_needed) == (asked.request_id, "Li", 0, 1)
    await decide(desk, "Wang", asked, approve=False)
    told = await standing()
    assert told.sums[0].unasked == 1
    (count,) = told.counts
    assert (count.request_id, count.rejected) == (None, True)
    await decide(desk, "Wang", await desk.ask_as("Li", finance.REQUEST_COUNT_APPROVAL, **request))
    assert (await standing()).counts == ()


async def test_what_stands_on_1901_is_found_without_reading_what_was_closed(desk, owner, testbed):
    counts = 500
    evened = [desk.moved("adjusted", (-1, -100), (1, 100)) for _ in range(counts)]
    await desk.give(*evened)
    await close(desk)
    december = {"business_date": date(2026, 12, 10), "period": "2026-12"}
    await desk.give(desk.moved("adjusted", (-1, -70), **december))
    await desk.give(desk.moved("adjusted", (1, 30), **december))
    await owner.execute("ANALYZE")  # As autovacuum does within a minute: without it a plan is luck.
    async with rows_touched(testbed.postgres, desk.database) as touched:
        told = await desk.ask(finance.STANDING_COUNTS, limit=1)
    assert touched.above(counts) == {}
    assert [one.left_minor for one in told.counts] == [-70]
    assert told.sums == (finance.StandingSum("CNY", 2, 70, 30, unasked=2),)


async def test_a_period_that_was_opened_again_shows_what_was_counted_in_it(desk):
    await close(desk)
    await decide(desk, "Wang", await reopening(desk))
    await desk.give(desk.moved("adjusted", (-1, -70)))
    assert [one.left_minor for one in (await desk.ask(finance.STANDING_COUNTS)).counts] == [-70]


async def test_a_revaluation_of_counted_goods_has_no_source_and_keeps_its_number_whatever_it_reads(desk):
    line = inventory.MovedLine(1, "A", 0, -40, "count_difference")
    await desk.give(desk.moved("revalued", cause_no="2 of 3", lines=(line,)))
    (count,) = (await desk.ask(finance.STANDING_COUNTS)).counts
    request = {"company": "C1", "source": "", "number": count.number, "cause": "management", "reason": "checked"}
    asked = await desk.ask_as("Li", finance.REQUEST_COUNT_APPROVAL, **request)
    assert asked.subject == "2 of 3"
    done = await decide(desk, "Wang", asked)
    voucher = await desk.ask(finance.VOUCHER, company="C1", voucher_no=done.voucher_no)
    assert (voucher.template, voucher.document_no) == ("T19b", "2 of 3")
    assert (await desk.ask(finance.STANDING_COUNTS)).counts == ()
    assert await desk.violations() == []


async def test_what_bad_management_lost_takes_its_input_tax_along(desk):
    await desk.give(desk.moved("adjusted", (-2, -100), (1, 30)))
    request = {"company": "C1", "source": "wms", "number": "D1", "cause": "management", "reason": "stolen"}
    for wrong, field in (
        ({"abnormal": True}, "input_tax_minor"),
        ({"input_tax_minor": 13}, "abnormal"),
        ({"abnormal": True, "input_tax_minor": 13, "cause": "disaster"}, "abnormal"),
        ({"abnormal": True, "input_tax_minor": 71}, "input_tax_minor"),
    ):
        with pytest.raises(Refused) as caught:
            await desk.ask_as("Li", finance.REQUEST_COUNT_APPROVAL, **{**request, **wrong})
        assert caught.value.problem.field == field
    asked = await desk.ask_as("Li", finance.REQUEST_COUNT_APPROVAL, **request, abnormal=True, input_tax_minor=13)
    assert (asked.amount_minor, asked.tax_minor) == (-70, 13)
    await decide(desk, "Wang", asked)
    assert (await desk.vouchers())[1:] == [
        ("T19t", [("D", "1901", 13), ("C", "2221.01.04", 13)]),
        ("T19b", [("D", "6602.08", 113), ("D", "1901", 30), ("C", "1901", 113), ("C", "6602.08", 30)]),
    ]
    assert (await close(desk)).count_difference_minor == 0
    assert await desk.violations() == []


async def provide(desk, amount, number="B1", who="Li"):
    content = {"amount_minor": amount, "business_date": NOVEMBER, "reason": "ageing of November"}
    return await desk.ask_as(who, finance.REQUEST_PROVISION, company="C1", number=number, **content)


async def test_bad_debts_are_provided_for_used_up_recovered_and_released(desk):
    await desk.give(desk.placed(), desk.shipped())
    asked = await provide(desk, 300)
    assert (asked.kind, asked.approvals_needed) == ("provision", 1)
    with pytest.raises(Refused, match="somebody else must approve"):
        await decide(desk, "Li", asked)
    done = await decide(desk, "Wang", asked)
    assert (await desk.vouchers())[-1] == ("T15p", [("D", "6702", 300), ("C", "1231", 300)])
    voucher = await desk.ask(finance.VOUCHER, company="C1", voucher_no=done.voucher_no)
    assert (voucher.prepared_by, voucher.reviewed_by, voucher.document_no) == ("Li", "Wang", "B1")
    lost = await write_off(desk, 339)
    await decide(desk, "Wang", lost)
    await decide(desk, "Zhao", lost)
    assert (await close(desk, "2026-10")).allowance_short_minor == 0
    assert (await close(desk)).allowance_short_minor == 39
    back = await write_off(desk, 139, number="W2", recover=True)
    await decide(desk, "Wang", back)
    await desk.give(desk.pay(139, ("1001", 139)))
    assert await desk.balances() == {
        "1002": 139,
        "1231": -100,
        "6702": 300,
        "6001.01": -300,
        "2221.01.01": -39,
        "6401": 300,
        "1405": -300,
    }
    with pytest.raises(Refused, match="1231 of C1 has 100; 101 cannot be released"):
        await decide(desk, "Wang", await provide(desk, -101, "B2"))
    await decide(desk, "Wang", await provide(desk, -100, "B3"))
    assert (await desk.vouchers())[-1] == ("T15p", [("D", "1231", 100), ("C", "6702", 100)])
    with pytest.raises(Refused, match="0 changes nothing"):
        await provide(desk, 0, "B4")
    assert await desk.violations() == []


async def test_a_period_tells_what_was_posted_in_another_one_and_which_count_waits_for_whom(desk):
    """As control asks it: inventory's events up to a position, beside what the ledger holds of them."""

    async def of(period):
        return await desk.ask(PERIOD_POSTINGS, company="C1", period=period, upto=2**62)

    await desk.give(desk.moved("purchase", (10, 1000)), desk.moved("adjusted", (-2, -100), (1, 30)))
    november = await of("2026-11")
    assert (november.value_minor, november.counted_minor, november.deferred) == (930, 0, ())
    (count,) = november.open_counts
    assert (count.document_no, count.left_minor, count.asked_by) == ("D1", -70, "")
    request = {"company": "C1", "source": "wms", "number": "D1", "cause": "management", "reason": "checked twice"}
    asked = await desk.ask_as("Li", finance.REQUEST_COUNT_APPROVAL, **request)
    (count,) = (await of("2026-11")).open_counts
    assert (count.asked_by, count.approvals, count.approvals_needed, count.rejected) == ("Li", 0, 1, False)
    await decide(desk, "Wang", asked)
    november = await of("2026-11")
    assert (november.counted_minor, november.open_counts) == (-70, ())
    await close(desk)
    await desk.give(desk.moved("purchase", (1, 50)))
    november, december = await of("2026-11"), await of("2026-12")
    assert (november.value_minor, november.deferred_out_minor, november.deferred_in_minor) == (930, 50, 0)
    assert (december.value_minor, december.deferred_out_minor, december.deferred_in_minor) == (50, 0, 50)
    (late,) = november.deferred
    assert (late.value_minor, late.deferred_from, late.period) == (50, "2026-11", "2026-12")
    assert late.voucher_no.endswith("-2026-12-000001")
    assert november.closed_through == "2026-11"
    assert december.deferred == november.deferred
    with pytest.raises(Refused, match="no company NONE"):
        await desk.ask(PERIOD_POSTINGS, company="NONE", period="2026-11", upto=0)


async def test_a_claim_that_was_given_up_and_is_recovered_is_told_as_open_again(desk):
    """Of all refunds that make it up again, and of no other; then it may end once more."""
    await desk.give(desk.placed(), desk.refund(50, "1001"), desk.pay(50, ("1001", 50)))
    await desk.give(desk.refund(30, "1001", number="F2"), desk.refund(60, "1001", number="F3", source="psp2"))
    first, *above = [one.document_id for one in await desk.announced(finance.DocumentSettled)]

    given_up = await write_off(desk, 90)
    for who in ("Wang", "Zhao"):
        await decide(desk, who, given_up)
    back = await write_off(desk, 20, number="W2", recover=True)
    await decide(desk, "Wang", back)
    (told,) = await desk.announced(finance.ClaimReopened)
    assert (told.document_no, told.order_no, told.source, told.refunds) == ("W2", "1001", "psp2", (above[1],))

    rest = await write_off(desk, 70, number="W3", recover=True)
    await decide(desk, "Wang", rest)
    (_, told) = await desk.announced(finance.ClaimReopened)
    assert (told.document_no, told.source, told.refunds) == ("W3", "psp", (above[0],))

    await desk.give(desk.pay(90, ("1001", 90), number="P2"))
    ended = await desk.announced(finance.ClaimSettled)
    assert [one.document_no for one in ended] == ["P1", "W1", "P2"]
    assert [one.refunds for one in ended] == [(first,), tuple(sorted(above)), tuple(sorted(above))]
    assert len(await desk.announced(finance.ClaimReopened)) == 2
    assert await desk.violations() == []


async def test_a_recovery_that_opens_no_claim_tells_none(desk):
    await desk.give(desk.placed(), desk.shipped())
    given_up = await write_off(desk, 339)
    for who in ("Wang", "Zhao"):
        await decide(desk, who, given_up)
    await decide(desk, "Wang", await write_off(desk, 339, number="W2", recover=True))
    assert await desk.announced(finance.ClaimReopened) == []
