"""From a satellite's bytes to commands in the gateway's stream."""

import asyncio
from uuid import UUID

import asyncpg
from tieout.contracts.event import event_id, order_id
from tieout.contracts.finance import SubmitPayment, SubmitRefund
from tieout.contracts.inventory import SubmitAdjustment, SubmitConfirmation, SubmitDelivery, SubmitReceipt
from tieout.contracts.operation import TrailRequest
from tieout.contracts.order import SubmitCancel, SubmitCredit, SubmitOrder
from tieout.devstack.patience import until
from tieout.gateway.reads import trail
from tieout.servicekit.settings import secret

ONE = 1_000_000
NO_CHAIN = str(UUID(int=0))


async def test_an_order_goes_from_http_to_the_stream(house):
    document = await house.document(await house.send(house.order(number="1001")))
    assert document["state"] == "mapped"
    (command,) = document["commands"]
    assert (command["kind"], command["number"], command["amount_minor"]) == ("order", "1001", 1413)
    (order,) = await house.commands()
    assert (order.source, order.version, order.zone) == ("till", "1", "Asia/Shanghai")
    assert str(order.intake_id)[:-1] == document["intake_id"][:-1]
    stream_info = house.service.jetstream.stream_info
    await until(lambda: stream_info("GATEWAY"), lambda info: info.state.messages >= 2)


async def test_a_shopify_order_becomes_lines_with_net_tax_and_carriage(house):
    await house.document(await house.webhook("orders/create", house.shopify_order()))
    (order,) = await house.commands(SubmitOrder)
    assert (order.number, order.customer, order.currency, order.due_days) == ("1001", "77", "CNY", 30)
    assert str(order.occurred_at) == "2026-10-31 15:59:59+00:00"
    assert str(order.business_date) == "2026-10-31"
    told = [(line.sku, line.quantity_micro // ONE, line.net_minor, line.tax_minor) for line in order.lines]
    assert told == [("A", 3, 5400, 702), ("B", 1, 4000, 520), ("CARRIAGE", 1, 1090, 140)]
    assert [(line.kind, line.account, line.warehouse) for line in order.lines] == [
        ("goods", "goods", "MAIN"),
        ("goods", "goods", "EAST"),
        ("service", "carriage", "MAIN"),
    ]


async def test_prices_that_include_tax_are_split(house):
    body = house.shopify_order(taxes_included=True, total_price="104.90")
    await house.document(await house.webhook("orders/create", body))
    (order,) = await house.commands(SubmitOrder)
    assert [(line.net_minor, line.tax_minor) for line in order.lines] == [(4698, 702), (3480, 520), (950, 140)]


async def test_a_header_that_differs_by_rounding_stands_and_the_rest_is_reported(house):
    await house.document(await house.webhook("orders/create", house.shopify_order(total_price="118.53")))
    (order,) = await house.commands(SubmitOrder)
    assert sum(line.net_minor + line.tax_minor for line in order.lines) == 11853
    assert [line.rounding_micro for line in order.lines] == [-ONE, 0, 0]


async def test_a_cancelled_order_asks_to_stop_all_that_can_be_stopped(house):
    body = house.shopify_order(cancelled_at="2026-11-01T10:00:00+08:00", cancel_reason="customer")
    await house.document(await house.webhook("orders/cancelled", body))
    (cancel,) = await house.commands()
    assert isinstance(cancel, SubmitCancel)
    assert (cancel.number, cancel.order_number, cancel.lines, cancel.reason) == ("1001", "1001", (), "customer")


def refund(house, lines, **more):
    order = house.shopify_order()
    return {
        "id": 509,
        "order_id": order["id"],
        "created_at": "2026-11-02T10:00:00+08:00",
        "note": "broken",
        "refund_line_items": [
            {
                "line_item_id": order["line_items"][index]["id"],
                "quantity": quantity,
                "restock_type": restock,
                "subtotal": subtotal,
                "total_tax": tax,
                "line_item": order["line_items"][index],
            }
            for index, quantity, restock, subtotal, tax in lines
        ],
        **more,
    }


async def test_a_refund_is_split_by_what_happens_to_the_goods(house):
    await house.document(await house.webhook("orders/create", house.shopify_order()))
    lines = [
        (0, 1, "return", 18.0, 2.34),
        (0, 1, "no_restock", 18.0, 2.34),
        (0, 1, "cancel", 18.0, 2.34),
        (1, 1, "legacy_restock", 40.0, 5.2),
    ]
    money = {"id": 7001, "kind": "refund", "status": "success", "amount": "65.88", "currency": "CNY"}
    body = refund(
        house,
        lines,
        order_adjustments=[
            {"kind": "shipping_refund", "amount": "-10.90", "tax_amount": "-1.40"},
            {"kind": "refund_discrepancy", "amount": "-5.00", "tax_amount": "0.00"},
        ],
        transactions=[{**money, "created_at": "2026-11-02T10:00:00+08:00"}],
    )
    document = await house.document(await house.webhook("refunds/create", body))
    assert [command["kind"] for command in document["commands"]] == ["cancel", "credit", "refund"]
    (cancel,) = await house.commands(SubmitCancel)
    assert [(line.line_no, line.quantity_micro) for line in cancel.lines] == [(1, ONE)]
    (credit,) = await house.commands(SubmitCredit)
    assert [(line.sku, line.quantity_micro // ONE, line.net_minor, line.tax_minor) for line in credit.lines] == [
        ("A", 1, 1800, 234),
        ("A", 1, 1800, 234),
        ("B", 1, 4000, 520),
        ("CARRIAGE", 0, 1090, 140),
        ("ALLOWANCE", 0, 500, 0),
    ]
    assert [(line.order_line_no, line.restock, line.account) for line in credit.lines] == [
        (1, "yes", "goods"),
        (1, "no", "goods"),
        (2, "if_fulfilled", "goods"),
        (3, "no", "carriage"),
        (0, "no", "allowance"),
    ]
    (back,) = await house.commands(SubmitRefund)
    assert (back.number, back.paid_minor, back.order_number) == ("7001", 6588, "1001")
    ids = {cancel.intake_id, credit.intake_id, back.intake_id}
    assert len(ids) == 3  # Each command of a document has an id of its own.


async def test_a_payment_waits_for_the_order_that_it_names_by_the_shops_id(house):
    order = house.shopify_order()
    payment = {
        "id": 9001,
        "order_id": order["id"],
        "kind": "sale",
        "status": "success",
        "amount": "118.52",
        "currency": "CNY",
        "created_at": "2026-11-01T10:00:00+08:00",
        "gateway": "alipay",
    }
    early = await house.webhook("order_transactions/create", payment)
    waiting = await house.document(early)
    assert (waiting["state"], waiting["waits_for"]) == ("waiting", str(order["id"]))
    await house.document(await house.webhook("orders/create", order))
    await until(lambda: house.document(early), lambda found: found["state"] == "mapped")
    (paid,) = await house.commands(SubmitPayment)
    assert (paid.received_minor, paid.customer, paid.method) == (11852, "77", "alipay")
    assert [(share.order_source, share.order_number) for share in paid.allocations] == [("shop", "1001")]


async def test_money_for_a_refused_order_is_not_held_up_and_an_accepted_document_knows_better(house):
    wrong = house.shopify_order(customer={"id": 1})
    wrong["line_items"][0]["sku"] = "NOT-OURS"
    refused = await house.document(await house.webhook("orders/create", wrong))
    assert refused["state"] == "quarantined"
    payment = {"id": 1, "order_id": wrong["id"], "kind": "sale", "amount": "9.00", "currency": "CNY"}
    payment["created_at"] = "2026-11-01T10:00:00+08:00"
    await house.document(await house.webhook("order_transactions/create", payment))
    await house.document(await house.webhook("orders/create", house.shopify_order()))
    await house.document(await house.webhook("order_transactions/create", {**payment, "id": 2}))
    assert [paid.customer for paid in await house.commands(SubmitPayment)] == ["1", "77"]


async def test_what_moves_no_money_is_noted_and_ignored(house):
    await house.document(await house.webhook("orders/create", house.shopify_order()))
    body = {
        "id": 9002,
        "order_id": house.shopify_order()["id"],
        "kind": "authorization",
        "amount": "118.52",
        "currency": "CNY",
        "created_at": "2026-11-01T10:00:00+08:00",
    }
    document = await house.document(await house.webhook("order_transactions/create", body))
    assert (document["state"], "moves no money" in document["ignored"]) == ("ignored", True)


async def test_the_same_content_has_the_same_fingerprint_whatever_surrounds_it(house):
    await house.document(await house.webhook("orders/create", house.shopify_order()))
    await house.document(await house.webhook("orders/create", house.shopify_order(note="call me", updated_at="x")))
    await house.document(await house.webhook("orders/create", house.shopify_order(customer={"id": 78})))
    first, again, other = await house.commands(SubmitOrder)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.intake_id != again.intake_id


async def test_every_kind_of_canonical_document_becomes_its_command(house):
    head = {"company": "C1", "number": "7", "occurred_at": "2026-11-23T08:00:00Z"}
    line = {"line_no": 1, "sku": "A", "quantity_micro": ONE}
    named = {"order_source": "till", "order_number": "1001"}
    documents = [
        {**head, "kind": "cancel", "order_number": "1001"},
        {**head, "kind": "credit", "customer": "17", "currency": "CNY", "lines": [{**line, "net_minor": 5}]},
        {**head, "kind": "payment", "customer": "17", "currency": "CNY", "received_minor": 5, "allocations": [named]},
        {**head, "kind": "refund", "customer": "17", "currency": "CNY", "paid_minor": 5, **named},
        {
            **head,
            "kind": "receipt",
            "receipt_kind": "opening",
            "currency": "CNY",
            "warehouse": "MAIN",
            "lines": [{**line, "value_minor": 5}],
        },
        {**head, "kind": "adjustment", "warehouse": "MAIN", "lines": [{**line, "quantity_micro": -ONE}]},
        {**head, "kind": "confirmation", "warehouse": "MAIN", **named},
        {**head, "kind": "delivery", "shipment": 2, **named},
    ]
    document = await house.document(await house.send(documents))
    assert document["state"] == "mapped"
    await house.quiet()
    assert [type(command) for command in await house.commands()] == [
        SubmitCancel,
        SubmitCredit,
        SubmitPayment,
        SubmitRefund,
        SubmitReceipt,
        SubmitAdjustment,
        SubmitConfirmation,
        SubmitDelivery,
    ]


async def test_when_control_passes_is_the_satellites_rule_else_the_companys(house):
    await house.welcome("carrier-shop", control_passes="delivery")
    body = house.order(number="1001")
    await house.send(body, satellite="carrier-shop")
    await house.send(house.order(number="1002"))
    await house.quiet()
    assert {order.number: order.control_passes for order in await house.commands(SubmitOrder)} == {
        "1001": "delivery",
        "1002": "issue",
    }


async def test_journeys_find_what_arrived_and_what_was_refused(house):
    await house.document(await house.send(house.order(number="1001")))
    await house.document(await house.send({"kind": "cancel", **_head("X1"), "order_number": "1001"}))
    refused = await house.document(await house.send(house.order(number="1001", currency="NIX")))
    chain = str(order_id("C1", "till", "1001"))
    told = (await trail(TrailRequest(chain, "1001"), house.service.database)).entries
    assert [entry.step for entry in told] == ["received", "handed over", "received", "handed over", "quarantined"]
    assert [entry.currency for entry in told] == ["", "CNY", "", "", ""]
    assert [entry.intake_id for entry in told] == [""] * 4 + [refused["intake_id"]]
    (order,) = await house.commands(SubmitOrder)
    assert told[1].event_id == event_id("order.submit.v1", order.intake_id)


async def test_every_decision_stands_at_its_own_time_after_the_quarantine_that_it_ends(house):
    refused = await house.document(await house.send(house.order(number="1001", currency="NIX")))
    path = f"/v1/quarantine/{refused['intake_id']}"
    assert (await house.post(f"{path}/resubmit", note="mended")).status_code == 200
    await house.quiet()
    assert (await house.post(f"{path}/dismiss", note="a test")).status_code == 200
    told = (await trail(TrailRequest(str(order_id("C1", "till", "1001")), "1001"), house.service.database)).entries
    assert [entry.step for entry in told] == ["quarantined", "resubmitted", "quarantined", "dismissed"]
    assert [entry.at for entry in told] == sorted({entry.at for entry in told})
    assert told[1].detail.endswith(": mended")
    assert [entry.intake_id for entry in told] == [""] * 4  # Nobody has to decide any more.


async def test_a_payment_leads_to_the_orders_that_it_names(house):
    money = {"kind": "payment", "customer": "17", "currency": "CNY", "received_minor": 5}
    named = [{"order_source": "till", "order_number": "1001"}]
    await house.document(await house.send({**_head("P-1"), **money, "allocations": named}))
    await house.document(await house.send({**_head("P-2"), **money}))

    async def orders(number, chain=NO_CHAIN):
        told = await trail(TrailRequest(chain, number), house.service.database)
        return [(one.company, one.order_no) for one in told.orders]

    assert await orders("P-1") == [("C1", "1001")]
    assert await orders("P-2") == [("C1", "")]  # Without an order it is a chain of its own.
    assert await orders("1001") == []
    assert await orders("P-1", str(order_id("C1", "till", "1001"))) == []


def _head(number):
    return {"company": "C1", "number": number, "occurred_at": "2026-11-23T08:00:00Z"}


async def test_every_document_is_accounted_for_and_the_books_of_the_gateway_hold(house):
    for _ in range(20):
        await house.send([house.order(), house.order(currency="NIX")])
    await house.quiet()
    (progress,) = (await house.get("/v1/intake-progress", source="till"))["satellites"]
    assert (progress["received"], progress["mapped"], progress["quarantined"]) == (40, 20, 20)
    assert progress["commands"] == {"order": 20}
    found = await house.service.findings.scrub(house.service.database)
    assert found.violations == ()
    assert "document_without_outcome" in found.rules


async def test_a_held_satellite_is_taken_in_and_mapped_later(house):
    await house.client.put("/v1/satellites/till/hold", json={"held": True}, headers=house.admin)
    answer = await house.send(house.order())
    await asyncio.sleep(0.2)
    assert (await house.get(f"/v1/documents/{answer.json()['intake_id']}"))["state"] == "pending"
    await house.client.put("/v1/satellites/till/hold", json={"held": False}, headers=house.admin)
    assert (await house.document(answer))["state"] == "mapped"


async def test_a_document_whose_outcome_is_gone_is_found_and_named(house):
    answer = await house.send(house.order(currency="NIX"))
    await house.document(answer)
    await house.quiet()
    settings = house.service.settings
    owner = await asyncpg.connect(
        settings.owner_url, password=secret(settings.owner_password_file, "TIEOUT_OWNER_PASSWORD_FILE")
    )
    for statement in ("DISABLE TRIGGER USER", "", "ENABLE TRIGGER USER"):
        await owner.execute(f"ALTER TABLE refusal {statement}" if statement else "DELETE FROM refusal")
    await owner.close()
    found = await house.service.findings.scrub(house.service.database)
    assert [(one.rule, one.key) for one in found.violations if one.rule == "document_without_outcome"] == [
        ("document_without_outcome", answer.json()["intake_id"])
    ]
