"""Documents that no book may take: told with reason and field, kept as they came, corrected by people."""

import asyncio
import base64

import msgspec
from tieout.contracts.inventory import ArticlesListed
from tieout.contracts.order import SubmitCredit, SubmitOrder
from tieout.gateway.channels.registry import CHANNELS
from tieout.gateway.flows import map_documents

ONE = 1_000_000


def line(**more):
    return {"line_no": 1, "sku": "A", "quantity_micro": ONE, "net_minor": 100, **more}


CASES = {
    "a missing field": ({"customer": None}, ("missing", "customer")),
    "an unknown company": ({"company": "C9"}, ("foreign_company", "company")),
    "another satellite's company": ({"company": "C2"}, ("foreign_company", "company")),
    "a badly written company": ({"company": "nobody!"}, ("unknown_company", "company")),
    "an unknown article": ({"lines": [line(sku="Z")]}, ("unknown_sku", "lines[0].sku")),
    "no quantity": ({"lines": [line(quantity_micro=0)]}, ("bad_quantity", "lines[0].quantity_micro")),
    "a negative quantity": ({"lines": [line(quantity_micro=-5)]}, ("bad_quantity", "lines[0].quantity_micro")),
    "a quantity of 4,300 digits": ({"lines": [line(quantity_micro="@")]}, ("bad_quantity", "lines[0].quantity_micro")),
    "a negative price": ({"lines": [line(net_minor=-1)]}, ("bad_amount", "lines[0].net_minor")),
    "a text for an amount": ({"lines": [line(net_minor="12")]}, ("bad_amount", "lines[0].net_minor")),
    "a number of blanks": ({"number": "  "}, ("bad_text", "number")),
    "a number that reads backwards": ({"number": "10\u202e01"}, ("bad_text", "number")),
    "a line break in a number": ({"number": "10\n01"}, ("bad_text", "number")),
    "a number that ends with a blank": ({"number": "1001 "}, ("bad_text", "number")),
    "an SKU that begins with a blank": ({"lines": [line(sku=" A")]}, ("unknown_sku", "lines[0].sku")),
    "a service that ends with a blank": ({"lines": [line(sku="A ", kind="service")]}, ("bad_text", "lines[0].sku")),
    "a zero width space in a number": ({"number": "10\u200b01"}, ("bad_text", "number")),
    "a filler in a customer": ({"customer": "17\u3164"}, ("bad_text", "customer")),
    "a customer of blanks": ({"customer": " "}, ("bad_text", "customer")),
    "no customer": ({"customer": ""}, ("missing", "customer")),
    "a tax of five times the net amount": ({"lines": [line(tax_minor=500)]}, ("bad_amount", "lines[0].tax_minor")),
    "a price that the amount is above": (
        {"lines": [line(unit_price_micro=999)]},
        ("bad_amount", "lines[0].unit_price_micro"),
    ),
    "a misspelt warehouse": ({"lines": [line(warehouse="MAlN")]}, ("unknown_warehouse", "lines[0].warehouse")),
    "a receipt into a misspelt warehouse": (
        {
            "kind": "receipt",
            "receipt_kind": "purchase",
            "warehouse": "MIAN",
            "lines": [{"line_no": 1, "sku": "A", "quantity_micro": ONE, "value_minor": 5}],
        },
        ("unknown_warehouse", "warehouse"),
    ),
    "lines that are null": ({"lines": None}, ("wrong_type", "lines")),
    "no lines": ({"lines": []}, ("missing", "lines")),
    "two lines of one number": ({"lines": [line(), line()]}, ("repeated_line", "lines")),
    "an unknown currency": ({"currency": "XXX"}, ("bad_currency", "currency")),
    "a foreign currency without rate": ({"currency": "EUR"}, ("missing_rate", "rate_micro")),
    "a total that contradicts the lines": ({"total_minor": 1500}, ("total_differs", "total_minor")),
    "a day in the future": ({"occurred_at": "2207-01-01T00:00:00Z"}, ("implausible_date", "occurred_at")),
    "a day long ago": ({"business_date": "0207-01-01"}, ("implausible_date", "business_date")),
    "a time without offset": ({"occurred_at": "2026-11-23T08:00:00"}, ("implausible_date", "occurred_at")),
    "no time": ({"occurred_at": "yesterday"}, ("implausible_date", "occurred_at")),
    "the end of the calendar": ({"occurred_at": "9999-12-31T23:59:59Z"}, ("implausible_date", "occurred_at")),
    "before the calendar": ({"occurred_at": "0001-01-01T00:00:00+14:00"}, ("implausible_date", "occurred_at")),
    "before the calendar, with a day": (
        {"occurred_at": "0001-01-01T00:00:00+14:00", "business_date": "2026-11-23"},
        ("implausible_date", "occurred_at"),
    ),
    "an unknown zone": ({"zone": "Mars/Olympus"}, ("bad_value", "zone")),
    "a file beside the zones": ({"zone": "posixrules"}, ("bad_value", "zone")),
    "what this machine takes for local": ({"zone": "localtime"}, ("bad_value", "zone")),
    "the zone of nowhere": ({"zone": "Factory"}, ("bad_value", "zone")),
    "a zone that counts leap seconds": ({"zone": "right/Europe/Berlin"}, ("bad_value", "zone")),
    "a NUL character": ({"customer": "a\0b"}, ("bad_text", "customer")),
    "a NUL character in a line": ({"lines": [line(sku="A\0")]}, ("bad_text", "lines[0].sku")),
    "a customer of 600 characters": ({"customer": "x" * 600}, ("bad_text", "customer")),
    "an empty number": ({"number": ""}, ("bad_text", "number")),
    "a number of 200 characters": ({"number": "9" * 200}, ("bad_text", "number")),
    "an unknown kind": ({"kind": "wish"}, ("unknown_kind", "kind")),
    "a write-off": ({"kind": "write_off"}, ("needs_approval", "kind")),
    "a field that stands twice": ({}, ("repeated_field", "lines[0].sku")),
    "what its sender found": ({"fault": {"reason": "wrong_sign", "field": "x"}}, ("wrong_sign", "x")),
}


async def test_a_bad_canonical_document_is_refused_with_reason_and_field(house):
    bodies = []
    for case, (change, _) in CASES.items():
        body = house.order(**change)
        if case in ("a missing field", "a receipt into a misspelt warehouse"):
            del body["customer"]
        content = msgspec.json.encode(body).replace(b'"@"', b"9" * 4300)
        bodies.append(
            content.replace(b'"sku":', b'"sku":"B","sku":') if case == "a field that stands twice" else content
        )
    found = await house.refusals(await house.send(b"\n".join(bodies), Content_Type="application/x-ndjson"))
    assert dict(zip(CASES, found, strict=True)) == {case: expected for case, (_, expected) in CASES.items()}
    assert await house.commands() == []


SHOP_CASES = {
    "no line": ({"line_items": []}, ("missing", "line_items")),
    "lines that are no list": ({"line_items": "many"}, ("wrong_type", "line_items")),
    "no name": ({"name": None}, ("missing", "name")),
    "a total that contradicts the lines": ({"total_price": "200.00"}, ("total_differs", "total_price")),
    "a total with too many decimals": ({"total_price": "118.5200001"}, ("bad_amount", "total_price")),
    "a total that is no number": ({"total_price": "NaN"}, ("bad_amount", "total_price")),
    "a total beyond all money": ({"total_price": "1e400"}, ("bad_amount", "total_price")),
    "a currency of four letters": ({"currency": "EURO"}, ("bad_currency", "currency")),
    "a time without offset": ({"created_at": "2026-11-30T10:00:00"}, ("implausible_date", "created_at")),
    "the end of the calendar": ({"created_at": "9999-12-31T23:59:59Z"}, ("implausible_date", "occurred_at")),
    "before the calendar": ({"created_at": "0001-01-01T00:00:00+14:00"}, ("implausible_date", "created_at")),
    "a test order": ({"test": True}, ("test_document", "test")),
}


LINE_CASES = [
    ("quantity", 0, "bad_quantity"),
    ("quantity", "many", "bad_quantity"),
    ("price", "-1.00", "bad_amount"),
    ("price", None, "missing"),
    ("sku", "", "missing"),
    ("sku", "NOT-OURS", "unknown_sku"),
    ("discount_allocations", [{"amount": "1000.00"}], "bad_amount"),
    ("tax_lines", [{"price": "-1"}], "bad_amount"),
    ("fulfillment_service", "no warehouse!", "bad_value"),
]


async def test_a_bad_webhook_is_refused_with_reason_and_field(house):
    bodies = [house.shopify_order(**change) for change, _ in SHOP_CASES.values()]
    found = await house.refusals(await house.webhook("orders/create", bodies))
    assert dict(zip(SHOP_CASES, found, strict=True)) == {case: expected for case, (_, expected) in SHOP_CASES.items()}


async def test_a_bad_line_of_a_webhook_is_named(house):
    bodies = []
    for field, value, _ in LINE_CASES:
        body = house.shopify_order()
        body["line_items"][1][field] = value
        bodies.append(body)
    found = await house.refusals(await house.webhook("orders/create", bodies))
    assert [reason for reason, _ in found] == [reason for _, _, reason in LINE_CASES]
    assert all("[1]." in field for _, field in found), found


async def test_an_unknown_topic_is_refused(house):
    document = await house.document(await house.webhook("orders/whistled", house.shopify_order()))
    assert document["refusals"][-1]["reason"] == "unknown_topic"


async def test_what_cannot_be_read_is_kept_as_it_came(house):
    for body in (b"{", b"not json", b"12", b'"text"', b"\xff\xfe", b"null", b'{"kind": "order"', b"[1, 2"):
        document = await house.document(await house.send(body))
        assert document["refusals"][-1]["reason"] in ("unreadable", "wrong_type", "missing")
        raw = document["content"].encode()
        assert (base64.b64decode(raw) if document.get("content_is_base64") else raw) == body


async def test_a_quarantined_document_is_listed_with_what_could_be_read(house):
    await house.document(await house.send(house.order(number="BAD-1", currency="NIX", business_date="2026-11-20")))
    await house.quiet()
    page = await house.get("/v1/quarantine", satellite="till")
    (entry,) = page["documents"]
    assert (entry["kind"], entry["company"], entry["number"], entry["business_date"]) == (
        "order",
        "C1",
        "BAD-1",
        "2026-11-20",
    )
    assert (entry["lines"], entry["quantity_micro"], entry["amount_minor"]) == (1, 2 * ONE, 1413)
    assert page["open"] == 1
    outcomes = (await house.get("/v1/gateway-outcomes", source="till"))["outcomes"]
    assert [(o["month"], o["outcome"], o["reason"], o["documents"], o["amount_minor"]) for o in outcomes] == [
        ("2026-11", "quarantined", "bad_currency", 1, 1413)
    ]


async def test_a_refused_credit_counts_as_negative(house):
    credit = house.order(kind="credit", lines=[line(sku="Z", quantity_micro=3 * ONE)])
    await house.document(await house.send(credit))
    (outcome,) = (await house.get("/v1/gateway-outcomes"))["outcomes"]
    assert (outcome["kind"], outcome["quantity_micro"], outcome["amount_minor"]) == ("credit", -3 * ONE, -100)


async def test_the_parts_of_one_credited_line_count_as_one_line(house):
    parts = [line(order_number="S1", order_line_no=1), line(line_no=2, order_number="S2", order_line_no=1, part=2)]
    taken = await house.document(await house.send(house.order(kind="credit", number="K1", lines=parts)))
    assert (taken["state"], [command["lines"] for command in taken["commands"]]) == ("mapped", [1])
    (command,) = await house.commands(SubmitCredit)
    assert [(one.line_no, one.part) for one in command.lines] == [(1, 1), (2, 2)]
    parts[1]["sku"] = "Z"
    await house.document(await house.send(house.order(kind="credit", number="K2", lines=parts)))
    (outcome,) = (await house.get("/v1/gateway-outcomes"))["outcomes"]
    assert (outcome["reason"], outcome["lines"], outcome["quantity_micro"]) == ("unknown_sku", 1, -2 * ONE)


async def test_a_part_without_the_one_before_it_is_refused(house):
    for number, parts in enumerate(([2], [1, 3], [1, 2, 2])):
        lines = [line(line_no=line_no, part=part) for line_no, part in enumerate(parts, 1)]
        refused = await house.document(await house.send(house.order(kind="credit", number=f"K{number}", lines=lines)))
        told = refused["refusals"][0]
        assert (told["reason"], told["field"]) == ("bad_value", f"lines[{len(parts) - 1}].part")


async def test_a_correction_takes_the_place_of_the_document_and_the_original_stays(house):
    bad = await house.document(await house.send(house.order(number="7", currency="NIX")))
    path = f"/v1/quarantine/{bad['intake_id']}/correct"
    content = bad["content"].replace("NIX", "CNY")
    answer = await house.post(path, content=content, note="typing error")
    assert answer.status_code == 200, answer.text
    good = await house.settled(answer.json()["intake_id"])
    assert (good["state"], good["corrects"]) == ("mapped", bad["intake_id"])
    before = await house.get(f"/v1/documents/{bad['intake_id']}")
    assert (before["state"], before["content"]) == ("corrected", bad["content"])
    assert before["refusals"][0]["corrected_by"] == good["intake_id"]
    again = await house.post(path, content=content)
    assert again.json() == {"intake_id": good["intake_id"], "repeated": True}
    other = await house.post(path, content=content + " ")
    assert other.status_code == 409
    assert len(await house.commands(SubmitOrder)) == 1
    assert (await house.get("/v1/gateway-outcomes"))["outcomes"] == []


async def test_a_correction_that_is_no_json_object_is_refused_and_the_document_can_still_be_corrected(house):
    bad = await house.document(await house.send(house.order(number="8", currency="NIX")))
    path = f"/v1/quarantine/{bad['intake_id']}/correct"
    for content in ('{"kind":"order"', "", "[]", "null"):
        answer = await house.post(path, content=content)
        assert (answer.status_code, answer.json().get("field")) == (422, "content"), answer.text
    assert (await house.get(f"/v1/documents/{bad['intake_id']}"))["state"] == "quarantined"
    assert (await house.post(path, content=bad["content"].replace("NIX", "CNY"))).status_code == 200
    decided = await house.post(path, content="{}")
    assert decided.status_code == 409
    assert f"./tieout quarantine show {bad['intake_id']}" in decided.json()["detail"]


async def test_documents_are_resubmitted_once_their_article_is_known(house):
    answers = [await house.send(house.order(lines=[line(sku="NEW")])) for _ in range(5)]
    first = await house.document(answers[0])
    await house.quiet()
    again = await house.post(f"/v1/quarantine/{first['intake_id']}/resubmit")
    assert again.status_code == 200
    await house.quiet()
    assert len((await house.document(answers[0]))["refusals"]) == 2  # Refused again, told again.
    await house.hear(ArticlesListed("C1", "l3", ("NEW",)))
    told = await house.post("/v1/quarantine/resubmit", satellite="till", reason="unknown_sku")
    assert told.json() == {"documents": 5}
    await house.quiet()
    assert [(await house.document(answer))["state"] for answer in answers] == ["mapped"] * 5
    assert (await house.get("/v1/quarantine"))["open"] == 0


async def test_documents_are_resubmitted_once_their_warehouse_is_described(house):
    lines = [line(warehouse="NORTH"), line(line_no=2, warehouse="NOWHERE", kind="service", sku="CARRIAGE")]
    first = await house.document(await house.send(house.order(lines=lines)))
    assert (first["state"], first["refusals"][0]["reason"]) == ("quarantined", "unknown_warehouse")
    assert "PUT /v1/companies/C1/warehouses/NORTH" in first["refusals"][0]["detail"]
    await house.hear(ArticlesListed("C1", "warehouse-NORTH", (), ("NORTH",)))
    assert (await house.post("/v1/quarantine/resubmit", reason="unknown_warehouse")).json() == {"documents": 1}
    await house.quiet()
    assert (await house.settled(first["intake_id"]))["state"] == "mapped"


async def test_an_implausible_day_is_told_with_the_days_that_are_taken(house):
    refused = await house.document(await house.send(house.order(business_date="0207-01-01")))
    assert "1990-01-01 to 2" in refused["refusals"][0]["detail"]


async def test_prices_before_and_with_tax_discounts_and_rounding_tie_to_the_line(house):
    priced = {
        "before tax": line(unit_price_micro=1_000_000, tax_minor=13),
        "with tax": line(unit_price_micro=1_130_000, tax_minor=13),
        "less a discount": line(unit_price_micro=2_500_000),
        "a rounded price of thirds": line(unit_price_micro=330_000, quantity_micro=3 * ONE),
        "a free line with tax": line(net_minor=0, tax_minor=13),
    }
    found = await house.refusals(await house.send([house.order(lines=[one]) for one in priced.values()]))
    assert dict(zip(priced, found, strict=True)) == dict.fromkeys(priced, ("", ""))


async def test_a_dismissed_document_stays_out_and_says_why(house):
    bad = await house.document(await house.send(house.order(currency="NIX")))
    path = f"/v1/quarantine/{bad['intake_id']}/dismiss"
    assert (await house.post(path)).status_code == 422
    assert (await house.post(path, note="a test of the till")).status_code == 200
    assert (await house.get(f"/v1/documents/{bad['intake_id']}"))["state"] == "dismissed"
    assert (await house.post(f"/v1/quarantine/{bad['intake_id']}/resubmit")).status_code == 409


async def test_one_bad_document_of_a_thousand_stays_alone(house):
    lines = [msgspec.json.encode(house.order()) for _ in range(1000)]
    lines[700] = b"{broken"
    await house.document(await house.send(b"\n".join(lines), Content_Type="application/x-ndjson"))
    await house.quiet()
    assert len(await house.commands(SubmitOrder)) == 999
    assert (await house.get("/v1/quarantine"))["open"] == 1


async def test_a_mistake_of_ours_is_told_with_a_reference_and_stops_nobody_else(house, monkeypatch):
    real = CHANNELS["tieout"].map

    def broken(document, satellite, known):
        if document[1].number == "odd":
            raise ZeroDivisionError("secret detail")
        return real(document, satellite, known)

    monkeypatch.setattr(CHANNELS["tieout"], "map", broken)
    answer = await house.send([house.order(), house.order(number="odd"), house.order()])
    await house.document(answer)
    await house.quiet()
    (entry,) = (await house.get("/v1/quarantine"))["documents"]
    assert (entry["reason"], "secret" in entry["detail"]) == ("mapping_failed", False)
    assert len(await house.commands()) == 2


async def test_a_row_that_the_database_refuses_costs_one_document_only(house, monkeypatch):
    real = map_documents._announce

    def odd(tx, paper, verdict, position):
        row = real(tx, paper, verdict, position)
        return row if verdict.command.number != "odd" else (*row[:-1], "\0")

    monkeypatch.setattr(map_documents, "_announce", odd)
    await house.document(await house.send([house.order(), house.order(number="odd"), house.order()]))
    await house.quiet()
    (entry,) = (await house.get("/v1/quarantine"))["documents"]
    assert entry["reason"] == "mapping_failed"
    assert len(await house.commands()) == 2


async def test_a_choice_that_nothing_can_match_is_refused(house):
    for name, value, told in (("satellite", "nosuch", "GET /v1/satellites"), ("reason", "nosuch", "unknown_sku")):
        for answer in (
            await house.client.get("/v1/quarantine", params={name: value}, headers=house.admin),
            await house.post("/v1/quarantine/resubmit", **{name: value}),
        ):
            assert (answer.status_code, answer.json()["field"]) == (404, name)
            assert told in answer.json()["detail"]
    answer = await house.client.get("/v1/documents", params={"satellite": "nosuch"}, headers=house.admin)
    assert answer.status_code == 404
    assert (await house.get("/v1/quarantine", satellite="till", reason="unknown_sku"))["documents"] == []
    await house.document(await house.send(house.order(fault={"reason": "theirs"})))
    assert len((await house.get("/v1/quarantine", reason="theirs"))["documents"]) == 1


async def test_the_quarantine_is_summed_up_and_dismissed_by_satellite_reason_and_field(house):
    bad = [house.order(lines=[line(), line(line_no=2, sku="Z")]), house.order(lines=[line(sku="Z")])]
    await house.document(await house.send([*bad, house.order(currency="NIX")]))
    await house.quiet()
    page = await house.get("/v1/quarantine", limit=1)
    assert [(group["satellite"], group["reason"], group["field"], group["documents"]) for group in page["groups"]] == [
        ("till", "unknown_sku", "lines[].sku", 2),
        ("till", "bad_currency", "currency", 1),
    ]
    assert (await house.get("/v1/quarantine", after=page["next"]))["groups"] == []
    assert (await house.get("/v1/quarantine", field="lines[1].sku"))["open"] == 1
    chosen = await house.get("/v1/quarantine", satellite="till", field="lines[].sku")
    assert (chosen["open"], len(chosen["documents"])) == (2, 2)
    late = await house.document(await house.send(house.order(lines=[line(sku="Z")])))
    asked = {"field": "lines[].sku", "note": "articles of the old range", "upto": chosen["newest"]}
    for count in (2, 0):  # What was refused after somebody looked stays open.
        assert (await house.post("/v1/quarantine/dismiss", **asked)).json() == {"documents": count}
    left = await house.get("/v1/quarantine")
    assert (left["open"], late["intake_id"] in [entry["intake_id"] for entry in left["documents"]]) == (2, True)
    first = await house.get(f"/v1/documents/{chosen['documents'][0]['intake_id']}")
    assert (first["state"], first["refusals"][0]["note"]) == ("dismissed", "articles of the old range")


async def test_all_documents_of_every_kind_are_never_dismissed_at_once(house):
    await house.document(await house.send(house.order(currency="NIX")))
    for body, field in (({}, "satellite"), ({"field": "nosuch"}, "field"), ({"reason": "nosuch"}, "reason")):
        answer = await house.post("/v1/quarantine/dismiss", note="tests", upto=1, **body)
        assert answer.json()["field"] == field, answer.text
    assert (await house.get("/v1/quarantine"))["open"] == 1


async def test_documents_are_resubmitted_by_field(house):
    bodies = [house.order(lines=[line(sku="NEW")]), house.order(lines=[line(), line(line_no=2, sku="NEW")])]
    await house.document(await house.send(bodies))
    await house.quiet()
    await house.hear(ArticlesListed("C1", "l3", ("NEW",)))
    told = await house.post("/v1/quarantine/resubmit", field="lines[0].sku")
    assert told.json() == {"documents": 1}


async def test_one_document_and_many_may_be_resubmitted_at_the_same_moment(house):
    """Who is second hears that it was decided already, and not that the database is away."""
    answers = [await house.send(house.order(lines=[line(sku="NEW")])) for _ in range(12)]
    documents = [await house.document(answer) for answer in answers]
    paths = [f"/v1/quarantine/{one['intake_id']}/resubmit" for one in documents]
    many = [house.post("/v1/quarantine/resubmit", satellite="till", reason="unknown_sku") for _ in range(6)]
    told = await asyncio.gather(*(house.post(path) for path in paths), *many)
    assert {one.status_code for one in told} <= {200, 409}, [one.text for one in told]


async def test_many_who_admit_one_new_satellite_hear_one_secret(house):
    body, path = {"companies": ["C1"]}, "/v1/satellites/race"
    told = await asyncio.gather(*(house.client.put(path, json=body, headers=house.admin) for _ in range(8)))
    assert {one.status_code for one in told} == {200}, [one.text for one in told]
    assert len({one.json().get("secret", "") for one in told} - {""}) == 1
