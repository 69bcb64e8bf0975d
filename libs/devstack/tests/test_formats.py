"""The format plug-ins, without any server: files in, documents out."""

import csv
import gzip
import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tieout.contracts.gateway import DOCUMENT_BYTES_MAX
from tieout.devstack import formats
from tieout.devstack.formats import FormatError, Run, tieout_ndjson, uci_online_retail

HEADING = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
REAL_DATA = Path(__file__).parents[4] / "shared/data/orders/uci_online_retail"


def uci(folder: Path, *rows: str, opening: str = "auto") -> Run:
    file = folder / "rows.csv"
    file.write_text("\n".join((HEADING, *rows)) + "\n")
    return uci_online_retail.read([file], opening)


def bodies(run: Run) -> dict[str, dict[str, Any]]:
    return {document.number: json.loads(document.body) for document in run.documents}


def test_every_format_is_found_by_name() -> None:
    assert formats.names() == ["tieout-ndjson", "uci-online-retail"]
    assert formats.find("uci-online-retail") is uci_online_retail.read


def test_an_unknown_format_is_told_with_those_that_exist() -> None:
    with pytest.raises(FormatError, match=r"no format 'edifact'.*tieout-ndjson, uci-online-retail"):
        formats.find("edifact")


def test_an_interleaved_invoice_is_one_order_dated_by_its_earliest_line(tmp_path: Path) -> None:
    run = uci(
        tmp_path,
        "536365,85123a,HEART,6,2010-12-01 08:27:00,2.55,17850.0,United Kingdom",
        "536366,71053,LANTERN,1,2010-12-01 08:26:00,3.39,17850.0,United Kingdom",
        "536365,85123A,HEART,6,2010-12-01 08:25:00,2.55,17850.0,United Kingdom",
    )
    order = bodies(run)["536365"]
    assert [line["sku"] for line in order["lines"]] == ["85123A", "85123A"]
    assert order["occurred_at"] == "2010-12-01T08:25:00Z"
    assert [document.number for document in run.documents] == ["536365", "536366"]


def test_opening_stock_is_the_gross_outflow_at_half_of_the_lowest_price(tmp_path: Path) -> None:
    run = uci(
        tmp_path,
        "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
        "536366,85123A,HEART,4,2010-12-01 08:27:00,2.95,17850.0,United Kingdom",
        "C536367,85123A,HEART,-4,2010-12-01 08:28:00,2.95,17850.0,United Kingdom",
        "536368,85123A,lost,-3,2010-12-01 08:29:00,0.0,,United Kingdom",
    )
    (opening,) = run.opening
    receipt = json.loads(opening.body)
    assert receipt["business_date"] == "2010-11-30"
    assert [(line["quantity_micro"], line["value_minor"]) for line in receipt["lines"]] == [(13_000_000, 13 * 128)]
    assert uci(tmp_path, "536365,71053,L,1,2010-12-01 08:26:00,3.39,1.0,UK", opening="none").opening == ()


def test_a_credit_takes_a_whole_line_else_a_part_of_the_latest_else_several(tmp_path: Path) -> None:
    run = uci(
        tmp_path,
        "536365,85123A,HEART,6,2010-12-01 08:00:00,2.55,17850.0,UK",
        "536366,85123A,HEART,4,2010-12-02 08:00:00,2.55,17850.0,UK",
        "C536367,85123A,HEART,-6,2010-12-03 08:00:00,2.55,17850.0,UK",
        "C536368,85123A,HEART,-1,2010-12-04 08:00:00,2.55,17850.0,UK",
        "C536369,85123A,HEART,-4,2010-12-05 08:00:00,2.55,17850.0,UK",
        "536370,85123A,HEART,2,2010-12-06 08:00:00,2.55,17850.0,UK",
        "C536371,85123A,HEART,-5,2010-12-07 08:00:00,2.55,17850.0,UK",
    )
    credits = {number: body["lines"] for number, body in bodies(run).items() if number.startswith("C")}

    def links(number: str) -> list[tuple[str, int]]:
        return [(line.get("order_number", ""), line["quantity_micro"] // 10**6) for line in credits[number]]

    assert links("C536367") == [("536365", 6)]
    assert links("C536368") == [("536366", 1)]
    assert links("C536369") == [("", 4)]  # Three are open: all or nothing.
    assert links("C536371") == [("536370", 2), ("536366", 3)]
    assert [(line["line_no"], line.get("part", 1)) for line in credits["C536371"]] == [(1, 1), (2, 2)]
    assert sum(line["net_minor"] for line in credits["C536371"]) == 1275
    assert run.input["2010-12"].lines == 7  # Of the source; the two parts are one of them.


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("X36365,85123A,H,6,2010-12-01 08:26:00,2.55,1.0,UK", "unknown_number"),
        ("536365,TEST001,H,6,2010-12-01 08:26:00,2.55,1.0,UK", "unknown_sku"),
        ("536365,85123A,H,0,2010-12-01 08:26:00,2.55,1.0,UK", "zero_quantity"),
        ("536365,85123A,H,many,2010-12-01 08:26:00,2.55,1.0,UK", "bad_quantity"),
        ("536365,85123A,H,5.5,2010-12-01 08:26:00,2.55,1.0,UK", "bad_quantity"),
        ("536365,85123A,H,,2010-12-01 08:26:00,2.55,1.0,UK", "bad_quantity"),
        ("536365,85123A,H,6,2010-12-01 08:26:00,-2.55,1.0,UK", "negative_price"),
        ("536365,85123A,H,6,2010-12-01 08:26:00,free,1.0,UK", "bad_amount"),
        ("536365,85123A,H,6,2010-12-01 08:26:00,,1.0,UK", "bad_amount"),
        ("536365,85123A,H,6,2010-12-01 08:26:00,0.12345678,1.0,UK", "bad_amount"),
        ("536365,85123A,H,-6,2010-12-01 08:26:00,2.55,1.0,UK", "wrong_sign"),
        ("C536365,85123A,H,6,2010-12-01 08:26:00,2.55,1.0,UK", "wrong_sign"),
        ("C536365,85123A,H,-6,2010-12-01 08:26:00,0.0,1.0,UK", "zero_price_credit"),
        (
            "536365,85123A,H,6,2010-12-01 08:26:00,2.55,1.0,UK\n536365,85123A,H,6,2010-12-01 08:26:00,2.55,2.0,UK",
            "header_differs",
        ),
    ],
)
def test_what_no_book_may_take_is_sent_as_it_stands_with_its_fault(tmp_path: Path, row: str, reason: str) -> None:
    (body,) = bodies(uci(tmp_path, row)).values()
    assert body["fault"]["reason"] == reason
    assert body["fault"]["field"]


def test_a_bad_debt_is_a_write_off_that_waits_for_approval(tmp_path: Path) -> None:
    run = uci(tmp_path, "A563185,B,Adjust bad debt,1,2011-08-12 14:50:00,11062.06,,United Kingdom")
    assert [document.kind for document in run.documents] == ["write_off"]


def test_services_stand_on_accounts_of_their_own_and_tiny_prices_leave_a_rounding(tmp_path: Path) -> None:
    run = uci(
        tmp_path,
        "536365,PADS,PADS,1,2010-12-01 08:26:00,0.001,1.0,UK",
        "536365,POST,POSTAGE,1,2010-12-01 08:26:00,18.0,1.0,UK",
        "536365,gift_0001_20,VOUCHER,1,2010-12-01 08:26:00,16.67,1.0,UK",
        "C536366,D,Discount,-1,2010-12-01 08:27:00,27.5,1.0,UK",
    )
    order, credit = bodies(run)["536365"]["lines"], bodies(run)["C536366"]["lines"]
    assert [line.get("account", "goods") for line in order] == ["goods", "carriage", "gift_voucher"]
    assert (order[0]["net_minor"], order[0]["rounding_micro"]) == (0, 100_000)
    assert (credit[0]["kind"], credit[0]["account"]) == ("service", "allowance")
    assert run.input["2010-12"].rounding_micro == 100_000


def test_a_later_run_gives_the_same_fingerprint_though_it_links_more(tmp_path: Path) -> None:
    credit = "C536367,85123A,HEART,-6,2011-01-03 08:00:00,2.55,17850.0,UK"
    alone = bodies(uci(tmp_path, credit))["C536367"]
    run = bodies(uci(tmp_path, "536365,85123A,HEART,6,2010-12-01 08:00:00,2.55,17850.0,UK", credit))["C536367"]
    assert alone["lines"] != run["lines"]
    assert alone["fingerprint"] == run["fingerprint"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "the first line must be InvoiceNo"),
        (HEADING + "\n536365,85123A\n", "line 2: 2 fields instead of 8"),
        (HEADING + "\n536365,85123A,H,6,yesterday,2.55,1.0,UK\n", "'yesterday' is not like"),
        (HEADING + "\n", "hold no invoice"),
    ],
)
def test_a_file_that_is_no_such_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(FormatError, match=told):
        uci_online_retail.read([tmp_path / "rows.csv"], "auto")
    with pytest.raises(FormatError, match="does not exist"):
        uci_online_retail.read([tmp_path / "none.csv"], "auto")


def test_a_truncated_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(f"{HEADING}\n".encode() * 500)[:40])
    with pytest.raises(FormatError, match="Check that the file is whole"):
        uci_online_retail.read([tmp_path / "rows.csv.gz"], "auto")


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"the UCI data is not at {REAL_DATA}")
@pytest.mark.parametrize("month", ["2011-01"])
def test_one_month_of_the_real_data_equals_the_independent_tables(month: str) -> None:
    run = uci_online_retail.read([REAL_DATA / f"online_retail_{month}.csv.gz"], "auto")
    expected: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    opening = 0
    with (REAL_DATA / "expected/uci_oracle.csv").open() as stream:
        for row in csv.DictReader(stream):
            if row["scope"] == "alone" and row["month"] == f"opening {month}":
                opening = int(row["stock_value_pence"])
            if row["scope"] == "alone" and row["month"] == month:
                numbers = [int(row[name]) for name in ("documents", "lines", "quantity", "amount_pence")]
                expected[row["class"]] = [a + b for a, b in zip(expected[row["class"]], numbers, strict=True)]

    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for document in run.documents:
        body = json.loads(document.body)
        sign = -1 if document.kind == "credit" else 1
        total = totals[document.kind]
        total[0] += 1
        total[1] += sum(line.get("part", 1) == 1 for line in body["lines"])
        total[2] += sign * sum(line["quantity_micro"] for line in body["lines"]) // 10**6
        total[3] += sign * sum(line.get("net_minor", 0) for line in body["lines"])
    assert totals["order"] == expected["= booked"]
    assert totals["credit"] == expected["= credited"]
    assert totals["adjustment"] == expected["= adjusted"]
    measured = run.input[month]
    assert [measured.documents, measured.lines, measured.quantity_micro // 10**6, measured.amount_minor] == expected[
        "INPUT TOTAL"
    ]
    (receipt,) = run.opening
    assert sum(line["value_minor"] for line in json.loads(receipt.body)["lines"]) == opening


def test_canonical_lines_pass_through_and_receipts_go_first(tmp_path: Path) -> None:
    file = tmp_path / "day.ndjson"
    order = {"kind": "order", "number": "1", "business_date": "2020-11-02", "lines": [{"quantity_micro": 5}]}
    receipt = {"kind": "receipt", "number": "R1", "business_date": "2020-11-02", "lines": [{"quantity_micro": 9}]}
    broken = '{"kind": "order", "number": "2", "lines": [{"quantity_micro": "five"}]}'
    file.write_text("\n".join((json.dumps(order), "", json.dumps(receipt), broken, "{not json")))
    run = tieout_ndjson.read([file], "auto")
    assert [document.number for document in run.opening] == ["R1"]
    assert [(document.kind, document.number) for document in run.documents] == [
        ("order", "1"),
        ("order", "2"),
        ("unknown", ""),
    ]
    assert run.input["2020-11"].quantity_micro == 5
    arrived = run.input[f"{datetime.now(UTC):%Y-%m}"]  # They tell no date.
    assert arrived.documents >= 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"number,sku,quantity\n1,A,2\n", r"line 1: 'number,sku,quantity' is no JSON object.*looks like a table"),
        (b'\n[{"kind": "order"},\n', r"line 2: .*Nothing was sent.*on a line of its own"),
        (b'{\n  "kind": "order"\n}\n', "must stand on one"),
        (b"7\n", "is no JSON object"),
        (b"PK\x03\x04\x14\x00\x00\x00\x08\x00\x9a\xf2\xe5", "cannot be read as UTF-8 text"),
    ],
)
def test_a_file_of_another_kind_is_refused_before_anything_of_it_is_sent(
    tmp_path: Path, content: bytes, told: str
) -> None:
    good, other = tmp_path / "day.ndjson", tmp_path / "other"
    good.write_text('{"kind": "order", "number": "1"}')
    other.write_bytes(content)
    with pytest.raises(FormatError, match=told):
        tieout_ndjson.read([good, other], "auto")


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_document(tmp_path: Path) -> None:
    file = tmp_path / "day.ndjson"
    file.write_text('{"kind": "order", "number": "1"}', encoding="utf-8-sig")
    assert [document.number for document in tieout_ndjson.read([file], "auto").documents] == ["1"]


def test_what_the_gateway_refuses_unread_counts_as_it_counts_it(tmp_path: Path) -> None:
    file = tmp_path / "huge.ndjson"
    order = {"kind": "order", "number": "1", "business_date": "2020-11-02", "lines": [{"quantity_micro": 5}]}
    file.write_text(json.dumps({**order, "note": "x" * DOCUMENT_BYTES_MAX}))
    run = tieout_ndjson.read([file], "auto")
    assert len(run.documents) == 1
    (measured,) = run.input.values()
    assert (measured.documents, measured.lines, measured.quantity_micro) == (1, 0, 0)
    assert "2020-11" not in run.input


def test_parts_of_one_credited_canonical_line_count_once(tmp_path: Path) -> None:
    file = tmp_path / "day.ndjson"
    lines = [{"quantity_micro": 5}, {"quantity_micro": 2, "part": 2}, {"quantity_micro": 1, "part": 1}]
    file.write_text(json.dumps({"kind": "credit", "number": "1", "business_date": "2020-11-02", "lines": lines}))
    measured = tieout_ndjson.read([file], "auto").input["2020-11"]
    assert (measured.lines, measured.quantity_micro) == (2, -8)


def test_a_first_line_may_set_the_company_up(tmp_path: Path) -> None:
    file = tmp_path / "day.ndjson"
    setup = {
        "kind": "setup",
        "company": "C1",
        "company_name": "One",
        "currency": "CNY",
        "zone": "Asia/Shanghai",
        "satellite": "shop",
        "articles": [{"sku": "A-1", "name": "Pot", "cost_minor": 250}],
    }
    file.write_text(json.dumps(setup))
    run = tieout_ndjson.read([file], "auto")
    assert run.setup is not None
    assert run.setup.articles[0].cost_minor == 250
    file.write_text('{"kind": "setup", "company": 1}')
    with pytest.raises(FormatError, match="line 1: the setup cannot be used"):
        tieout_ndjson.read([file], "auto")
