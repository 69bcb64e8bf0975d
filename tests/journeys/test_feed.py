"""`tieout feed` on a running stack: the conservation law, and real retail data against independently made tables."""

import csv
import io
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from tieout.contracts.finance import COMPANIES, PUT_COMPANY, ListCompanies, PutCompany
from tieout.contracts.gateway import SATELLITES, ListSatellites, PutSatellite
from tieout.devstack import establish, feed, feed_report, formats
from tieout.devstack.calling import call
from tieout.devstack.conservation import OUTCOMES
from tieout.devstack.failures import CommandFailed
from tieout.devstack.satellites import key_headers
from tieout.devstack.trading_day.catalogue import WEB

REAL_DATA = Path(__file__).parents[3] / "shared/data/orders/uci_online_retail"
MONTH = "2011-02"
HEADING = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"


async def run(trade, name, files, opening="auto", satellite="", company="", rotate=False):
    source = formats.find(name)(files, opening)
    if company:  # A company of its own, so that no other test's figures are in its books.
        source = moved(source, company)
    console = Console(file=io.StringIO())
    return await feed.feed(trade.stack.endpoints(), source, console, satellite=satellite, rotate=rotate)


def moved(source, company):
    def document(known):
        body = msgspec.json.decode(known.body) | {"company": company}
        return msgspec.structs.replace(known, body=msgspec.json.encode(body))

    return msgspec.structs.replace(
        source,
        setup=msgspec.structs.replace(source.setup, company=company),
        opening=tuple(document(known) for known in source.opening),
        documents=[document(known) for known in source.documents],
    )


def outcomes_of(report):
    return {outcome: report.balance.total.outcomes[outcome].documents for outcome in report.balance.total.outcomes}


def rows(folder, *lines):
    file = folder / "rows.csv"
    file.write_text("\n".join((HEADING, *lines)) + "\n")
    return [file]


SALE = "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"
CREDIT = "C536370,85123A,HEART,-2,2010-12-02 08:26:00,2.55,17850.0,United Kingdom"
LOSS = "536371,85123A,lost,-1,2010-12-03 08:26:00,0.0,,United Kingdom"


async def test_everything_booked_is_told_by_the_books(trade, tmp_path):
    report = await run(
        trade, "uci-online-retail", rows(tmp_path, SALE, CREDIT, LOSS), company="FEED1", satellite="feed-1"
    )
    assert report.balance.holds
    total = report.balance.total.outcomes
    assert (total["booked"].amount_minor, total["credited"].amount_minor) == (1530, -510)
    assert total["adjusted"].quantity_micro == -1_000_000
    assert (report.quarantined, report.refused, report.entered) == (0, 0, 3)


async def test_the_same_file_again_is_all_duplicates_and_one_changed_quantity_a_conflict(trade, tmp_path):
    known = {"company": "FEED2", "satellite": "feed-2"}
    await run(trade, "uci-online-retail", rows(tmp_path, SALE, CREDIT, LOSS), **known)
    again = await run(trade, "uci-online-retail", rows(tmp_path, SALE, CREDIT, LOSS), **known)
    assert again.balance.holds
    assert again.balance.total.outcomes["duplicate"].documents == 3
    assert not again.in_vain
    changed = await run(trade, "uci-online-retail", rows(tmp_path, SALE.replace(",6,", ",7,"), CREDIT, LOSS), **known)
    assert changed.balance.holds
    assert outcomes_of(changed)["conflict"] == 1


async def test_a_receipt_and_an_adjustment_of_one_month_come_again_as_duplicates(trade, tmp_path):
    """A receipt that comes again has a value; an adjustment of the same month is a line to weigh all the same."""
    known = {"company": "FEED9", "satellite": "feed-9"}
    files = rows(tmp_path, SALE.replace("12-01", "12-10"), LOSS.replace("12-03", "12-12"))  # Stock opens on the 9th.
    assert (await run(trade, "uci-online-retail", files, **known)).balance.holds
    again = await run(trade, "uci-online-retail", files, **known)
    assert again.balance.holds
    assert again.balance.total.outcomes["duplicate"].documents == 2


async def test_a_satellite_of_somebody_else_is_neither_changed_nor_taken_over(trade, tmp_path):
    made = PutSatellite(
        "feed-own", "My shop", ("FEED7", "EU"), zone="Asia/Tokyo", due_days=7, control_passes="delivery"
    )
    opened = PutCompany(company="FEED7", name="Seven & Co", currency="GBP", zone="Europe/London")
    await call(trade.client, PUT_COMPANY, msgspec.structs.replace(opened, control_passes="delivery"))
    key = await establish.admit(trade.client, made)

    async def own():
        listed = (await call(trade.client, SATELLITES, ListSatellites())).satellites
        (company,) = (await call(trade.client, COMPANIES, ListCompanies("FEED7"))).companies
        kept = next(known for known in listed if known.satellite == "feed-own")
        return msgspec.structs.replace(kept, changed_at=None), company.name, company.control_passes

    async def feed_it(**more):
        return await run(
            trade, "uci-online-retail", rows(tmp_path, SALE), company="FEED7", satellite="feed-own", **more
        )

    before = await own()
    with pytest.raises(CommandFailed, match=r"already.* --rotate"):
        await feed_it()
    assert await own() == before
    with pytest.raises(CommandFailed, match="may speak for FEED7, EU"):
        await run(trade, "uci-online-retail", rows(tmp_path, SALE), satellite="feed-own")
    with pytest.raises(CommandFailed, match="proves itself by shopify"):
        await run(trade, "uci-online-retail", rows(tmp_path, SALE), company="EU", satellite=WEB)

    async def accepted(with_key):
        headers = key_headers(with_key, f"own-{with_key}")
        return (await trade.door.send("feed-own", "tieout", b'{"kind": "nothing"}', headers)).taken

    assert await accepted(key)
    assert (await feed_it(rotate=True)).balance.holds
    assert await own() == before
    assert not await accepted(key)
    assert (await feed_it()).balance.total.outcomes["duplicate"].documents == 1  # The new key was kept.
    await establish.admit(trade.client, PutSatellite("feed-own", rotate=True))
    with pytest.raises(CommandFailed, match=r"changed since.*--rotate"):
        await feed_it()


async def test_without_opening_stock_sales_are_refused_and_still_accounted_for(trade, tmp_path):
    report = await run(
        trade, "uci-online-retail", rows(tmp_path, SALE), opening="none", company="FEED3", satellite="feed-3"
    )
    assert report.balance.holds
    assert report.balance.total.outcomes["refused"].quantity_micro == 6_000_000
    assert report.in_vain


async def test_what_no_book_may_take_is_quarantined_with_its_reason(trade, tmp_path):
    faulty = (
        "A563185,B,Adjust bad debt,1,2010-12-04 14:50:00,11062.06,,United Kingdom",
        "536400,85123A,HEART,6,2010-12-04 08:26:00,-2.55,1.0,United Kingdom",
        "536401,85123A,HEART,-6,2010-12-04 08:26:00,2.55,1.0,United Kingdom",
        "536402,TEST001,TEST,6,2010-12-04 08:26:00,2.55,1.0,United Kingdom",
    )
    report = await run(trade, "uci-online-retail", rows(tmp_path, SALE, *faulty), company="FEED4", satellite="feed-4")
    assert report.balance.holds
    reasons = Counter(term.reason for term in report.terms if term.outcome == "quarantined" and term.documents > 0)
    assert set(reasons) == {"needs_approval", "negative_price", "wrong_sign", "unknown_sku"}


async def test_canonical_lines_that_nobody_can_read_are_accounted_for_too(trade, tmp_path):
    def document(kind, number, **more):
        return {"kind": kind, "company": "FEED5", "number": number, "occurred_at": "2026-01-05T10:00:00Z", **more}

    line = {"line_no": 1, "sku": "POT", "quantity_micro": 1_500_000, "net_minor": 300, "tax_minor": 39}
    order = {"customer": "7", "currency": "CNY"}
    stock = {"line_no": 1, "sku": "POT", "quantity_micro": 9_000_000, "value_minor": 900}
    setup = {"company": "FEED5", "company_name": "Five", "currency": "CNY", "zone": "Asia/Shanghai"}
    lines = [
        {"kind": "setup", "satellite": "feed-5", "articles": [{"sku": "POT", "name": "Pot"}], **setup},
        document("order", "1", lines=[line], **order),
        document("order", "2", lines=[line | {"quantity_micro": "much"}], **order),
        document("receipt", "R", receipt_kind="opening", warehouse="MAIN", currency="CNY", lines=[stock]),
        document("payment", "P", received_minor=-5, **order),
    ]
    file = tmp_path / "day.ndjson"
    file.write_text("\n".join((*(msgspec.json.encode(known).decode() for known in lines), '{"kind": "order", ')))
    report = await run(trade, "tieout-ndjson", [file])
    assert report.balance.holds
    assert report.balance.total.outcomes["booked"].amount_minor == 339
    reasons = {term.reason for term in report.terms if term.outcome == "quarantined" and term.documents > 0}
    assert reasons == {"bad_quantity", "unreadable"}


async def test_a_feed_of_which_nothing_came_into_the_books_says_so(trade, tmp_path):
    lines = [
        {
            "kind": "setup",
            "satellite": "feed-6",
            "company": "FEED6",
            "company_name": "Six",
            "currency": "CNY",
            "zone": "UTC",
        },
        {"kind": "order", "company": "FEED6", "number": "1", "lines": []},
        {"kind": "order", "company": "FEED6", "number": "2", "lines": []},
    ]
    file = tmp_path / "day.ndjson"
    file.write_text("\n".join(msgspec.json.encode(known).decode() for known in lines))
    report = await run(trade, "tieout-ndjson", [file])
    assert report.balance.holds
    assert report.in_vain
    console = Console(file=io.StringIO(), width=200)
    feed_report.render(report.balance, report.terms, report.currency, console, in_vain=report.in_vain)
    feed.warn(report, console)
    assert "Nothing of it came into the books" in console.file.getvalue()
    assert "2 of 2 documents are in quarantine" in console.file.getvalue()


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"the UCI data is not at {REAL_DATA}")
async def test_a_month_of_real_retail_ties_to_the_penny(trade):
    report = await run(trade, "uci-online-retail", [REAL_DATA / f"online_retail_{MONTH}.csv.gz"])
    assert report.balance.holds
    (month,) = (found for found in report.balance.months if found.month == MONTH)
    for outcome in ("booked", "credited", "adjusted"):
        (expected,) = expected_rows("uci_oracle.csv", f"= {outcome}")
        told = month.outcomes[outcome]
        assert told.documents == int(expected["documents"])
        assert told.lines == int(expected["lines"])
        assert told.quantity_micro == int(expected["quantity"]) * 1_000_000
        assert told.amount_minor == int(expected["amount_pence"])
    assert {outcome for outcome in OUTCOMES if outcome in month.outcomes} == {"booked", "credited", "adjusted"}
    opening = int(
        next(iter(expected_rows("uci_oracle.csv", "opening_receipt", f"opening {MONTH}")))["stock_value_pence"]
    )
    told = {}
    for turnover in report.turnovers:
        if (turnover.company, turnover.month) == (report.company, MONTH):
            # The tables write red figures on the other side.
            debit = turnover.debit_minor + turnover.red_debit_minor + turnover.red_credit_minor
            credit = turnover.credit_minor + turnover.red_credit_minor + turnover.red_debit_minor
            told[turnover.account] = (debit, credit)
    first_day_is_opening = told.pop("4104.99", None)
    if first_day_is_opening:
        told["1405"] = (told["1405"][0] - opening, told["1405"][1])
    assert told == {
        row["account"]: (int(row["debit_pence"]), int(row["credit_pence"])) for row in expected_rows("uci_accounts.csv")
    }


def expected_rows(name, kind="", month=MONTH):
    with (REAL_DATA / "expected" / name).open() as stream:
        return [
            row
            for row in csv.DictReader(stream)
            if row["scope"] == "alone" and row["month"] == month and kind in ("", row.get("class"))
        ]
