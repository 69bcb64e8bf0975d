from uuid import UUID

import pytest
from tieout.contracts import inventory
from tieout.contracts.operation import TrailRequest
from tieout.contracts.order import (
    CancelRequested,
    ListOrders,
    OrderReturned,
    OutcomesRequest,
    ShowOrder,
    SubmissionConflicted,
)
from tieout.order.reads import list_orders, show_order, show_outcomes, trail
from tieout.servicekit import Refused, rehearsal

ONE = 1_000_000


async def sell_ship_credit_and_pay(desk):
    await desk.give(desk.submit(desk.line(1, rounding_micro=250_000), desk.line(2)))
    await desk.give(desk.reserved((1, 3, 0), (2, 2, 1)), desk.shipped((1, 0, 3), (2, 0, 2), held=True))
    await desk.give(desk.credit(), desk.cancel((2, 1)), desk.paid(("1001", 452)))


async def violations(desk):
    return [
        (name, tuple(row))
        for name, statement in desk.service.violations
        for row in await desk.database.pool.fetch(statement)
    ]


async def test_an_order_shows_its_line_sums_and_its_documents(desk):
    await sell_ship_credit_and_pay(desk)
    view = await desk.view()
    assert (view.summary.fulfilment, view.summary.billing, view.summary.payment) == (
        "part_shipped",
        "part_credited",
        "paid",
    )
    assert [(line.shipped_micro, line.back_ordered_micro, line.credited_micro) for line in view.lines] == [
        (3_000_000, 0, 1_000_000),
        (2_000_000, 1_000_000, 0),
    ]
    assert [(document.kind, document.number) for document in view.documents] == [
        ("order", "1001"),
        ("cancel", "X1"),
        ("credit", "R1"),
    ]


async def test_a_number_that_two_companies_use_asks_which_one(desk):
    await desk.give(desk.submit(), desk.submit(company="C2"))
    with pytest.raises(Refused) as refused:
        await show_order.function(ShowOrder("1001"), desk.database)
    assert refused.value.problem.status == 409
    assert "company C2" in refused.value.problem.detail
    with pytest.raises(Refused) as refused:
        await show_order.function(ShowOrder("404", company="C1"), desk.database)
    assert (refused.value.problem.status, refused.value.problem.field) == (404, "order_no")


async def test_the_lines_of_a_long_order_are_shown_in_parts(desk):
    await desk.give(desk.submit(*[desk.line(n, net=1, tax=0) for n in range(1, 1501)]))
    first = await desk.view()
    second = await show_order.function(ShowOrder("1001", after_line=first.next_line), desk.database)
    assert (len(first.lines), first.next_line, len(second.lines), second.next_line) == (1000, 1000, 500, 0)
    assert second.lines[-1].line_no == 1500


async def test_pages_of_orders_follow_each_other_without_gap_or_repeat(desk):
    await desk.give(*[desk.submit(number=str(n)) for n in range(7)])
    await desk.give(desk.refused((1, 3), number="3"))
    found, after = [], 0
    while True:
        page = await list_orders.function(ListOrders(after=after, limit=3), desk.database)
        found += [one.order_no for one in page.orders]
        after = page.next
        if not after:
            break
    assert found == ["6", "5", "4", "3", "2", "1", "0"]
    still_open = await list_orders.function(ListOrders(open_only=True), desk.database)
    assert [one.order_no for one in still_open.orders] == ["6", "5", "4", "2", "1", "0"]


async def test_outcomes_account_for_every_document(desk):
    await sell_ship_credit_and_pay(desk)
    await desk.give(desk.submit(), desk.submit(desk.line(net=999), fingerprint="z" * 64))
    await desk.give(desk.cancel((9, 1), number="X2"))
    told = await show_outcomes.function(OutcomesRequest(), desk.database)
    assert [
        (one.month, one.kind, one.outcome, one.reason, one.documents, one.lines, one.amount_minor, one.rounding_micro)
        for one in told.outcomes
    ] == [
        ("2026-11", "cancel", "accepted", "", 1, 1, 0, 0),
        ("2026-11", "cancel", "conflict", "unknown_line", 1, 1, 0, 0),
        ("2026-11", "credit", "accepted", "", 1, 1, 113, 0),
        ("2026-11", "order", "accepted", "", 1, 2, 678, 250_000),
        ("2026-11", "order", "conflict", "other_content", 1, 1, 1038, 0),
        ("2026-11", "order", "duplicate", "", 1, 1, 339, 0),
    ]


async def test_a_line_that_credits_two_sales_counts_once(desk):
    await desk.give(desk.submit(), desk.submit(number="1002"))
    await desk.give(desk.shipped((1, 0, 3)), desk.shipped((1, 0, 3), number="1002"))
    await desk.give(desk.credit(desk.back(), desk.back(2, order_number="1002", part=2)))
    (returned,) = await desk.announced(OrderReturned)
    assert [(line.order_id, line.part) for line in returned.lines] == [(desk.id(), 1), (desk.id("1002"), 2)]
    assert await desk.rows("SELECT line_no, part FROM credit_line ORDER BY 1") == [(1, 1), (2, 2)]
    told = await show_outcomes.function(OutcomesRequest(), desk.database)
    assert [(one.lines, one.amount_minor) for one in told.outcomes if one.kind == "credit"] == [(1, 226)]


async def test_the_trail_tells_what_happened_to_an_order_in_turn(desk):
    await sell_ship_credit_and_pay(desk)
    await desk.give(desk.submit(desk.line(5), fingerprint="z" * 64))
    told = await trail(TrailRequest(str(desk.id())), desk.database)
    assert [entry.step for entry in told.entries] == [
        "placed",
        "reservation noted",
        "shipment noted",
        "credited",
        "cancellation requested",
        "settlement noted",
        "conflict",
    ]
    assert told.entries[0].amount_minor == 678
    assert (await trail(TrailRequest(str(UUID(int=7))), desk.database)).entries == ()


async def test_the_trail_of_an_order_tells_why_a_credit_of_it_had_no_effect(desk):
    await desk.give(desk.submit())
    await desk.give(desk.shipped((1, 0, 3)))
    await desk.give(desk.credit(desk.back(net=9_999)))
    (conflict,) = [one for one in (await trail(TrailRequest(str(desk.id())), desk.database)).entries if one.detail]
    assert (conflict.step, conflict.document) == ("conflict", "R1")
    assert conflict.detail.startswith("above_billed: ")
    (told,) = await rehearsal.announced(desk.database, SubmissionConflicted)
    assert conflict.event_id == told.envelope.id  # So that it stands at the step which the event is.


async def test_a_placed_order_tells_how_much_of_it_is_carriage(desk):
    await desk.give(desk.submit(desk.line(1), desk.line(2, kind="service")))
    (placed,) = (await trail(TrailRequest(str(desk.id())), desk.database)).entries
    assert placed.detail == "3 of them carriage or another service"


async def test_the_trail_of_an_unlinked_credit_is_found_by_its_own_id(desk):
    await desk.give(desk.credit(desk.back(order_line_no=0), order_number=""))
    (returned,) = await desk.announced(OrderReturned)
    told = await trail(TrailRequest(str(returned.credit_id)), desk.database)
    assert [(entry.step, entry.document, entry.amount_minor) for entry in told.entries] == [("credited", "R1", 113)]


async def test_books_that_nobody_touched_violate_no_rule(desk):
    await sell_ship_credit_and_pay(desk)
    assert await violations(desk) == []


EDITS = (
    ("UPDATE order_line SET net_minor = net_minor + 1 WHERE line_no = 2", "header_is_the_sum_of_its_lines"),
    (
        "UPDATE shipped_line SET net_minor = net_minor - 1 WHERE line_no = 1",
        "billed_is_the_shipped_part_of_its_line",
    ),
    ("UPDATE shipped_line SET to_micro = 4000000 WHERE line_no = 1", "shipped_and_stopped_within_ordered"),
    ("DELETE FROM shipped_line", "credited_within_billed_and_returned_within_shipped"),
    ("DELETE FROM anchor", "anchor_points_at_its_document"),
    ("DELETE FROM submission", "accepted_order_has_its_submission"),
)


async def test_a_row_changed_by_hand_violates_a_rule_that_names_the_order(desk, owner):
    await sell_ship_credit_and_pay(desk)
    for edit, rule in EDITS:
        hand = owner.transaction()
        await hand.start()
        await owner.execute(edit)
        statement = dict(desk.service.violations)[rule]
        assert "1001" in [row["key"] for row in await owner.fetch(statement)], edit
        await hand.rollback()


async def test_the_service_itself_cannot_change_a_fact(desk):
    await desk.give(desk.submit())
    with pytest.raises(Exception, match="permission denied"):
        await desk.database.pool.execute("UPDATE order_line SET net_minor = 0")


async def test_an_order_is_paid_in_advance_by_money_that_is_held_for_it(desk):
    await desk.give(desk.submit())
    await desk.give(desk.paid(("1001", 0, 100)))
    assert (await desk.view()).summary.payment == "part_paid"
    await desk.give(desk.paid(("1001", 0, 239)))
    summary = (await desk.view()).summary
    assert (summary.fulfilment, summary.billing, summary.payment) == ("open", "unbilled", "paid")
    assert (summary.settled_minor, summary.held_minor, summary.completed) == (0, 339, False)
    await desk.give(desk.shipped((1, 0, 3)), desk.paid(("1001", 339, -339), cause="prepayment"))
    summary = (await desk.view()).summary
    assert (summary.payment, summary.held_minor, summary.completed) == ("paid", 0, True)


async def test_a_deposit_paid_back_is_refunded_and_more_than_ever_came_is_not(desk):
    await desk.give(desk.submit(), desk.submit(number="1002"))
    await desk.give(desk.paid(("1001", 0, 339)), desk.paid(("1001", 0, -339), cause="refund"))
    assert (await desk.view()).summary.payment == "refunded"
    await desk.give(desk.paid(("1002", -100), cause="refund"))
    assert (await desk.view("1002")).summary.payment == "unpaid"


async def test_a_line_shows_what_warehouses_took_back_of_it(desk):
    await desk.give(desk.submit(), desk.shipped((1, 0, 3)))
    await desk.give(desk.credit(desk.back()))
    assert (await desk.view()).lines[0].returned_micro == 0
    (credit,) = await desk.announced(OrderReturned)
    await desk.give(
        inventory.GoodsReturned(
            credit_id=credit.credit_id,
            company="C1",
            credit_no=credit.credit_no,
            customer="K1",
            cost_currency="CNY",
            business_date=credit.business_date,
            period="2026-11",
            lines=(inventory.ReturnedLine(1, "A", ONE, 100),),
        )
    )
    line = (await desk.view()).lines[0]
    assert (line.returned_micro, line.credited_micro, line.shipped_micro) == (ONE, ONE, 3 * ONE)


async def test_a_journey_tells_quantities_without_zeros_that_mean_nothing(desk):
    await desk.give(desk.submit(), desk.reserved((1, 1, 2)))
    await desk.give(desk.cancel())
    (asked,) = await desk.announced(CancelRequested)
    await desk.give(desk.decided(asked.cancel_id, (1, 1, 0, 1)))
    told = await trail(TrailRequest(str(desk.id())), desk.database)
    details = [entry.detail for entry in told.entries]
    assert "back-ordered 2" in details
    assert "too late for 1" in details


async def test_outcomes_hold_sums_beyond_64_bits(desk, owner):
    await desk.give(desk.submit())
    columns = (
        "intake_id, document_id, business_date, line_count, kind, outcome, company, source, number, version, currency"
    )
    await owner.execute(
        f"INSERT INTO submission (position, quantity_micro, amount_minor, rounding_micro, {columns})"
        f" SELECT 900 + n, 1::bigint << 62, 1::bigint << 62, 0, {columns} FROM submission, generate_series(1, 10) n"
    )
    (told,) = (await show_outcomes.function(OutcomesRequest(), desk.database)).outcomes
    assert (told.documents, told.quantity_micro > 10 << 62, told.amount_minor > 10 << 62) == (11, True, True)
