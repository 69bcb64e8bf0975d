"""Which months can be closed, and what stands against it."""

from datetime import date

import pytest
from tieout.contracts import finance
from tieout.devstack.plans import rows_touched
from tieout.finance.domain.periods import listed
from tieout.finance.flows import close_period
from tieout.servicekit import Refused

OCTOBER = {"business_date": date(2026, 10, 31), "period": "2026-10"}


async def months(desk, **wanted):
    return {(one.company, one.period): one for one in (await desk.ask(finance.PERIODS, **wanted)).periods}


def close(desk, period, who="Li", **more):
    return desk.ask_as(who, finance.CLOSE_PERIOD, company="C1", period=period, **more)


@pytest.mark.parametrize(
    ("closed_through", "current", "known", "shown"),
    [
        ("", "2026-11", [], ["2026-11"]),
        ("", "2026-11", ["2026-08"], ["2026-08", "2026-11"]),
        ("2026-08", "2026-11", ["2026-07"], ["2026-07", "2026-08", "2026-09", "2026-10", "2026-11"]),
        ("2026-12", "2026-11", ["2027-02"], ["2026-11", "2026-12", "2027-02"]),
        ("2026-10", "2026-11", [f"2025-{m:02d}" for m in range(1, 13)], ["2025-11", "2025-12", "2026-10", "2026-11"]),
    ],
)
def test_open_months_are_listed_with_the_latest_closed_ones(closed_through, current, known, shown):
    assert listed(closed_through, current, known, 3) == shown


async def test_a_month_tells_what_it_is_open_for_and_who_closed_it(desk, monkeypatch):
    monkeypatch.setattr(close_period, "today", lambda zone: date(2026, 12, 1))
    await desk.open("C2", "EUR")
    await desk.give(desk.shipped(**OCTOBER), desk.shipped(number="1002"))
    await desk.give(desk.moved("adjusted", (-1, -70), **OCTOBER))
    await desk.give(desk.moved("adjusted", (1, 30)))
    found = await months(desk)
    assert list(found) == [("C1", "2026-10"), ("C1", "2026-11"), ("C1", "2026-12"), ("C2", "2026-12")]
    october, november, december = (found["C1", f"2026-{month}"] for month in (10, 11, 12))
    assert (october.state, october.ended, october.vouchers, october.last_day) == ("open", True, 2, date(2026, 10, 31))
    assert (october.counts, october.missing_minor, october.found_minor, october.currency) == (1, 70, 0, "CNY")
    assert (november.counts, november.counts_unasked, november.missing_minor, november.found_minor) == (2, 2, 70, 30)
    assert (december.ended, december.vouchers, december.counts) == (False, 0, 2)
    assert found["C2", "2026-12"].counts == 0

    for count in (await desk.ask(finance.STANDING_COUNTS)).counts:
        asked = {"company": "C1", "source": count.source, "number": count.number}
        request = await desk.ask_as(
            "Li", finance.REQUEST_COUNT_APPROVAL, cause="management", reason="recounted", **asked
        )
        november = (await months(desk, company="C1"))["C1", "2026-11"]
        assert november.counts_unasked == november.counts - 1
        await desk.ask_as("Wang", finance.DECIDE_REQUEST, request_id=request.request_id)
    assert (await months(desk))["C1", "2026-11"].counts == 0
    await desk.ask_as(
        "Li",
        finance.REQUEST_PROVISION,
        company="C1",
        number="B1",
        amount_minor=9,
        business_date=date(2026, 10, 31),
        reason="late",
    )
    found = await months(desk)
    assert (found["C1", "2026-10"].waiting, found["C1", "2026-11"].waiting, found["C2", "2026-12"].waiting) == (1, 1, 0)

    await close(desk, "2026-11", reason="all papers are in")
    found = await months(desk)
    for period in ("2026-10", "2026-11"):  # A close is one of all months before it.
        closed = found["C1", period]
        assert (closed.state, closed.closed_by, closed.reason) == ("closed", "Li", "all papers are in")
        assert (closed.closed_at is not None, closed.waiting) == (True, 0)
    assert list(await months(desk, company="C1", closed=1)) == [("C1", "2026-11"), ("C1", "2026-12")]
    with pytest.raises(Refused, match="no company C9"):
        await months(desk, company="C9")


async def test_a_month_that_was_opened_again_tells_by_whom(desk):
    await close(desk, "2026-11")
    asked = await desk.ask_as(
        "Li", finance.REQUEST_REOPENING, company="C1", period="2026-11", reason="invoice 7 is missing"
    )
    found = (await months(desk))["C1", "2026-11"]
    assert (found.state, found.reopening_id, found.reopening_asked_by) == ("closed", asked.request_id, "Li")
    await desk.ask_as("Wang", finance.DECIDE_REQUEST, request_id=asked.request_id)
    found = await months(desk)
    (again, later) = (found["C1", period] for period in ("2026-11", "2031-01"))
    assert (again.state, again.reopened_by, again.reopening_approved_by) == ("open", "Li", "Wang")
    assert (again.closed_by, again.reopening_id, later.reopened_by) == ("", None, "")
    assert (again.reopening_reason, again.reason, again.closed_at) == ("invoice 7 is missing", "", None)
    await close(desk, "2026-11", who="Zhao")
    assert (await months(desk))["C1", "2026-11"].closed_by == "Zhao"


async def test_opening_a_month_again_and_closing_it_leaves_the_close_of_the_one_before_it(desk, monkeypatch):
    monkeypatch.setattr(close_period, "today", lambda zone: date(2026, 12, 1))
    await close(desk, "2026-10", who="Li", reason="October is done")
    await close(desk, "2026-11", who="Li", reason="November is done")
    asked = await desk.ask_as("Li", finance.REQUEST_REOPENING, company="C1", period="2026-11", reason="invoice 7")
    await desk.ask_as("Wang", finance.DECIDE_REQUEST, request_id=asked.request_id)
    repeated = await close(desk, "2026-10", who="Zhao")
    assert (repeated.closed_by, repeated.first_open) == ("Li", "2026-11")  # Closed still, and November is open now.
    again = await close(desk, "2026-11", who="Zhao", reason="invoice 7 is in")
    assert (again.closed_by, again.first_open) == ("Zhao", "2026-12")
    found = await months(desk)
    october, november = (found["C1", period] for period in ("2026-10", "2026-11"))
    assert (october.closed_by, october.reason) == ("Li", "October is done")
    assert (november.closed_by, november.reason, november.reopening_reason) == ("Zhao", "invoice 7 is in", "")
    assert (await close(desk, "2026-10", who="Zhao")).first_open == "2026-12"


async def test_the_vouchers_of_closed_months_are_not_looked_at(desk, owner, testbed, monkeypatch):
    monkeypatch.setattr(close_period, "today", lambda zone: date(2026, 12, 1))
    closed = 300
    await desk.give(*(desk.shipped(number=str(number), **OCTOBER) for number in range(closed)))
    await close(desk, "2026-10")
    await desk.give(desk.moved("adjusted", (-1, -70)))
    await owner.execute("ANALYZE")  # As autovacuum does within a minute: without it a plan is luck.
    async with rows_touched(testbed.postgres, desk.database) as touched:
        found = await months(desk)
    assert [one.counts for one in found.values()] == [0, 1, 1]
    own = {name: rows for name, rows in touched.most.items() if " " not in name}  # Others are the driver's own.
    assert own["open_counts"] > 0
    assert max(own.values()) < closed
