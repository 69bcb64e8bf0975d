"""Each cause is planted and named; each repair is previewed, done, noted, and proved."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from tieout.contracts.agreement import MEASURES, HeldLine, Rebooked, RebookRequest, Row
from tieout.contracts.control import Agreement, AgreementRequest
from tieout.contracts.repair import RepairPreviewRequest, RepairRequest, RepairResult, RepairResults, RepairsRequest
from tieout.contracts.replay import FREEZE_REPLAY
from tieout.control.causes import Causes
from tieout.control.continuous import Continuous
from tieout.control.domain.agreement import BookRows
from tieout.control.domain.repairs import SHOWN
from tieout.control.proof import Prover
from tieout.control.repairs import Repairs
from tieout.control.replay.asking import Asking, read_view
from tieout.control.replay.mending import Mending
from tieout.devstack.patience import PATIENCE_SECONDS, ask, until
from tieout.servicekit import Refused

SHIPPED = replace(MEASURES[3], books=tuple(book for book in MEASURES[3].books if book.service != "order"))
PATIENT = AgreementRequest(wait_seconds=PATIENCE_SECONDS, violations=False)


async def prove(trio: Any, request: AgreementRequest = PATIENT) -> Agreement:
    answer: Agreement = await trio.prover.prove(request, trio.control.database)
    return answer


async def causes(trio: Any) -> list[tuple[str, str]]:
    return [(d.order_no, d.cause) for d in (await prove(trio)).differences]


@pytest.fixture(autouse=True)
def of_the_toys(trio: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toys have the books of one measure; replays are proved by that."""
    monkeypatch.setattr(replays(trio)._runner, "_prover", trio.prover)


def replays(trio: Any) -> Asking:
    (freezing,) = [one for one in trio.control.operations if one.operation is FREEZE_REPLAY]
    found: Asking = freezing.function.__self__
    return found


def repairs_of(trio: Any) -> Repairs:
    colleagues = trio.colleagues()
    return Repairs(colleagues, trio.prover, Mending(colleagues, replays(trio)), (SHIPPED,))


async def repaired(trio: Any, **asked: Any) -> tuple[RepairResult, ...]:
    repairs = repairs_of(trio)
    preview = await repairs.preview(RepairPreviewRequest(**asked), trio.control.database)
    request = RepairRequest(token=preview.token, reason="a test", **asked)
    return (await repairs.run(request, trio.control.database)).results


async def repair(trio: Any, **asked: Any) -> list[tuple[str, str, str]]:
    return [(result.cause, result.repair, result.state) for result in await repaired(trio, **asked)]


async def lose(trio: Any, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    """The broker acknowledged a message, lost its tail, and gave the sequence to another one."""
    outbox, audit = trio.inventory.database.outbox, trio.inventory.auditing.audit

    async def no_look() -> int:
        return 0

    monkeypatch.setattr(audit, "look", no_look)  # It would mend this by itself within seconds.
    outbox.open.clear()
    (position,) = await trio.ship(number)
    outbox._left.clear()
    taken = "SELECT first_seq FROM outbox WHERE first_seq IS NOT NULL ORDER BY batch LIMIT 1"
    async with trio.inventory.database.transaction() as tx:  # By its own role: no hand.
        await tx.execute(
            f"UPDATE outbox SET first_seq = ({taken}), last_seq = ({taken}) + 1 WHERE {position} = ANY (pos)"
        )
    outbox.open.set()


# Planted in real books


async def test_an_edit_by_hand_is_named_with_who_and_reversed_by_facts_of_its_own(trio: Any) -> None:
    await trio.ship("1001", "1002", "1003")
    await prove(trio)
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 7 WHERE order_no = '1001'")
    await trio.by_hand("finance", "DELETE FROM billed_line WHERE order_no = '1002'")
    await trio.by_hand("finance", "INSERT INTO billed_line SELECT position, 9, order_id, order_no, 1 FROM billed_line "
                       "WHERE order_no = '1003'")  # fmt: skip
    answer = await prove(trio)
    assert [(d.order_no, d.cause, d.service) for d in answer.differences] == [
        ("1001", "edited_by_hand", "finance"),
        ("1002", "edited_by_hand", "finance"),
        ("1003", "edited_by_hand", "finance"),
    ]
    assert answer.differences[0].why.startswith("UPDATE in finance by finance_owner at 20")
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "proved")]
    whole = await prove(trio, AgreementRequest(wait_seconds=PATIENCE_SECONDS))
    assert (whole.verdict, whole.violations) == (
        "agree",
        (),
    )  # The touched rows are settled, and the digests their sum.
    async with trio.finance.database.read() as connection:
        assert await connection.fetchval("SELECT quantity_micro FROM billed_line WHERE order_no = '1001'") == 7
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 8 WHERE order_no = '1001'")
    assert await causes(trio) == [("1001", "edited_by_hand")]  # A later touch is found again,
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "proved")]  # and mended again.


async def test_a_row_that_changed_after_the_preview_is_left_alone_and_told(trio: Any) -> None:
    """Between the run's own look and its booking somebody edits the row once more."""
    await trio.ship("1001", "1002")
    await prove(trio)
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 7")
    one, other = (await prove(trio)).differences
    held = tuple(
        HeldLine(d.position, d.line_no, side.present, side.a, side.b)
        for d in (one, other)
        for side in d.sides
        if side.service == "finance"
    )
    assert [line.a for line in held] == [7, 7]
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 8 WHERE order_no = '1002'")
    asked = RebookRequest(4, "billed_quantity", (one.position, other.position), str(uuid4()), "Li", "a test", held)
    told = await ask(trio.control.nats, "rpc.finance.rebook", asked, Rebooked)
    assert (told.rows, told.changed) == (2, (other.position,))
    assert await causes(trio) == [("1002", "edited_by_hand")]
    again = await ask(trio.control.nats, "rpc.finance.rebook", asked, Rebooked)
    assert (again.rows, again.changed) == (0, (one.position, other.position))  # Mended now, so no longer as previewed.
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "proved")]
    assert await causes(trio) == []


async def test_two_repairs_of_one_difference_at_once_book_it_once(trio: Any) -> None:
    await trio.ship("1001")
    await prove(trio)
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 7")
    repairs = repairs_of(trio)
    token = (await repairs.preview(RepairPreviewRequest(), trio.control.database)).token
    asked = RepairRequest(token=token, reason="a test")
    ended = await asyncio.gather(*(repairs.run(asked, trio.control.database) for _ in range(2)), return_exceptions=True)
    refused = [one for one in ended if isinstance(one, Refused)]  # Where the other one was done before it looked.
    done = [one for one in ended if isinstance(one, RepairResults)]
    assert (len(refused) + len(done), len(refused) < 2) == (2, True)
    assert {result.state for one in done for result in one.results} == {"proved"}
    async with trio.finance.database.read() as connection:
        booked = await connection.fetchval("SELECT count(*) FROM correction")
    assert booked == 2  # Out what the hand left, in what stood there.
    assert await causes(trio) == []


async def test_a_deleted_row_that_was_corrected_and_then_booked_again_does_not_count_twice(trio: Any) -> None:
    """Its event comes again (a replay, a stream that is published anew), and no key keeps it out: the row is gone."""
    await trio.ship("1001", "1002")
    await prove(trio)
    async with trio.finance.database.read() as connection:
        row = await connection.fetchrow("SELECT * FROM billed_line WHERE order_no = '1001'")
    await trio.by_hand("finance", "DELETE FROM billed_line WHERE order_no = '1001'")
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "proved")]
    async with trio.finance.database.transaction() as tx:  # As the flow does, and with the service's own role.
        await tx.copy("billed_line", columns=tuple(row.keys()), records=[tuple(row.values())])
    assert await causes(trio) == [("1001", "edited_by_hand")]
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "proved")]
    assert await causes(trio) == []
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 7 WHERE order_no = '1001'")
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "proved")]
    await trio.by_hand(
        "finance", f"UPDATE billed_line SET quantity_micro = {row['quantity_micro']} WHERE order_no = '1001'"
    )
    assert await causes(trio) == [("1001", "edited_by_hand")]  # Put back beside its correction: one too many.
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "proved")]
    assert await causes(trio) == []


async def test_what_was_taken_out_with_its_owners_word_is_not_put_in_again_by_a_repair_beside_it(trio: Any) -> None:
    (position,) = await trio.ship("1001")
    await prove(trio)
    line = "INSERT INTO billed_line SELECT position, 9, order_id, order_no, 1 FROM billed_line WHERE position = $1"
    async with trio.finance.database.transaction() as tx:  # With the service's own role: no log holds it.
        await tx.execute(line, position)
    await trio.by_hand("finance", "DELETE FROM billed_line WHERE position = $1 AND line_no = 9", position)
    await trio.by_hand("finance", "CALL trust_touched('billed_line', 'no event has it')")
    assert (await prove(trio, AgreementRequest(wait_seconds=PATIENCE_SECONDS))).verdict == "agree"
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 7 WHERE position = $1", position)
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "proved")]
    assert await causes(trio) == []


async def test_what_the_broker_lost_is_named_and_published_again(trio: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await trio.ship("1001")
    await lose(trio, monkeypatch, "1002")
    await trio.ship("1003")
    answer = await prove(trio)
    assert [(d.order_no, d.cause, d.repair) for d in answer.differences] == [
        ("1002", "lost_by_broker", "publish_again")
    ]
    assert await repair(trio) == [("lost_by_broker", "publish_again", "proved")]


async def test_the_continuous_audit_publishes_again_without_anybody_asking(
    trio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await trio.ship("1001")
    look = trio.inventory.auditing.audit.look
    await lose(trio, monkeypatch, "1002")
    assert await causes(trio) == [("1002", "lost_by_broker")]
    await until(look)
    await trio.settled()
    assert (await prove(trio)).verdict == "agree"


async def wrote_nothing(trio: Any, number: str) -> None:
    """As a flow with a bug leaves it: confirmed, and no row. No hand, so no trigger sees it."""
    await trio.ship(number)
    await trio.settled()
    await trio.by_hand(
        "finance",
        f"ALTER TABLE billed_line DISABLE TRIGGER tamper_delete; DELETE FROM billed_line WHERE order_no = '{number}'; "
        "ALTER TABLE billed_line ENABLE ALWAYS TRIGGER tamper_delete",
    )


async def test_what_a_consumer_did_not_write_is_unknown_rehearsed_replayed_and_proved(trio: Any) -> None:
    await wrote_nothing(trio, "1001")
    assert await causes(trio) == [("1001", "unknown")]
    (step,) = (await repairs_of(trio).preview(RepairPreviewRequest(), trio.control.database)).steps
    assert (step.repair, step.runs, step.flow) == ("replay", True, "finance-bill-shipments")
    assert [(count.flow, count.outcome, count.items) for count in step.would] == [(step.flow, "booked", 1)]
    assert [(e.service, e.figure, e.rows, e.a) for e in step.effects] == [("finance", "billed_quantity", 1, 1_000_000)]
    assert await rows_of(trio, "control", "replay") == await rows_of(trio, "finance", "billed_line") == 0  # Only shown.
    (done,) = await repaired(trio)
    assert (done.repair, done.state) == ("replay", "proved")
    assert done.told == f"replay {done.replay}: 1 booked. The books agree on every document that it touched."
    log = (await read_view(done.replay, trio.control.database)).log
    assert [entry.action for entry in log] == ["frozen", "rehearsed", "ended", "run", "ended"]
    assert {entry.note for entry in log if entry.action == "frozen"} == {"repair: a test"}
    assert (await prove(trio)).verdict == "agree"


async def test_a_dead_letter_is_replayed_once_its_cause_is_mended_and_its_ticket_is_resolved(trio: Any) -> None:
    await trio.ship("poison-1")
    await trio.settled()
    assert await causes(trio) == [("poison-1", "dead")]
    (step,) = (await repairs_of(trio).preview(RepairPreviewRequest(), trio.control.database)).steps
    assert (step.runs, step.would[0].outcome, step.would[0].reason) == (False, "failed", "toy_poison")
    assert step.words == "mend the cause first, it would fail again: toy_poison in finance-bill-shipments"
    assert await repair(trio) == [("dead", "replay", "failed")]  # It says so, instead of trying.
    trio.partners.add("antidote")
    assert await repair(trio) == [("dead", "replay", "proved")]
    async with trio.control.database.read() as connection:
        tickets = await connection.fetch("SELECT state FROM ticket WHERE kind = 'dead_letter'")
    assert [row["state"] for row in tickets] == ["resolved"]


async def rows_of(trio: Any, service: str, table: str) -> int:
    async with getattr(trio, service).database.read() as connection:
        found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
    return found


async def test_what_the_source_does_not_have_is_missing_there_and_a_second_booking_is_a_duplicate(trio: Any) -> None:
    await trio.ship("1001")
    announced_only = await trio.announce_only("1002", ordinal=1)
    again = await trio.announce_only("1001", ordinal=2)
    await trio.settled()
    answer = await prove(trio)
    assert [(d.position, d.cause, d.repair) for d in answer.differences] == [
        (announced_only, "missing_at_source", "resubmit"),
        (again, "duplicate", "reverse_and_rebook"),
    ]


async def test_a_copy_is_looked_for_where_two_services_call_their_book_the_same(trio: Any) -> None:
    """Such a fact, which its source does not hold, once ended the whole agreement with an error."""
    measure = next(one for one in MEASURES if one.number == 9)
    assert len({book.name for book in measure.books}) == 1
    row = Row(94, 1, str(uuid4()), "1001", 17124, 0)
    source, other = (BookRows(book, {94: {1: row}} if book.durables else {}) for book in measure.books)
    causes = Causes(trio.colleagues(), dict)
    assert await causes._copies(measure, [94], [source, other], trio.control.database) == {}


async def test_what_waits_is_told_with_its_reason_and_what_is_dead_with_its_letter(trio: Any) -> None:
    await trio.ship("early-1", "poison-1")
    answer = await prove(trio)
    told = {d.order_no: d for d in answer.differences}
    assert (told["early-1"].cause, told["early-1"].repair) == ("parked", "wait")
    assert "waits for its order" in told["early-1"].why
    assert (told["poison-1"].cause, told["poison-1"].repair) == ("dead", "replay")
    assert "toy_poison (field order_no)" in told["poison-1"].why
    assert {(count.cause, count.events) for count in answer.causes} == {("parked", 1), ("dead", 1)}


async def test_a_backlog_is_in_flight_with_its_lag_and_stalled_once_its_consumer_stands_still(trio: Any) -> None:
    await trio.ship("1000")
    await prove(trio)
    trio.gate.clear()
    await trio.ship("1001")
    await trio.published()
    hasty = AgreementRequest(wait_seconds=0.2, violations=False)
    answer = await prove(trio, hasty)
    assert [(c.cause, c.flow, c.lag, c.repair) for c in answer.causes] == [
        ("in_flight", "finance-bill-shipments", 1, "wait")
    ]
    trio.prover.stalled = lambda: {"finance-bill-shipments": 20.0}
    try:
        answer = await prove(trio, hasty)
    finally:
        trio.prover.stalled = dict
    (stalled,) = answer.differences
    assert (answer.verdict, stalled.cause, stalled.repair) == ("open", "stalled", "restart_flow")
    assert stalled.why == "finance-bill-shipments has stood still for 20 s with 1 messages to go"
    trio.gate.set()
    await trio.settled()


async def test_what_people_must_approve_and_goods_that_come_back_have_names_of_their_own(trio: Any) -> None:
    await trio.ship("early-1", "early-approval-1")
    assert sorted(await causes(trio)) == [("early-1", "parked"), ("early-approval-1", "waiting_approval")]
    returned = replace(SHIPPED, name="returned")  # As that measure's books would park it.
    prover = Prover(trio.colleagues(), measures=(returned,))
    answer = await prover.prove(PATIENT, trio.control.database)
    told = {d.order_no: (d.cause, d.repair) for d in answer.differences}
    assert told == {"early-1": ("goods_in_return", "wait"), "early-approval-1": ("waiting_approval", "wait")}
    assert answer.verdict == "open"  # Whoever waits for his partner or for people is no disagreement.


# Repairs


async def test_a_repair_does_only_what_was_previewed_and_its_reason_is_kept(trio: Any) -> None:
    await trio.ship("1001", "1002")
    await trio.settled()
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 7 WHERE order_no = '1001'")
    repairs = repairs_of(trio)
    preview = await repairs.preview(RepairPreviewRequest(), trio.control.database)
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 7 WHERE order_no = '1002'")
    with pytest.raises(Refused, match="not those that were previewed"):
        await repairs.run(RepairRequest(token=preview.token, reason="why not"), trio.control.database)
    noted = (await repairs.list(RepairsRequest(), trio.control.database)).results
    assert await repair(trio, order_no="1001") == [("edited_by_hand", "reverse_and_rebook", "proved")]
    assert await causes(trio) == [("1002", "edited_by_hand")]  # Nobody asked for that one.
    newest, *older = (await repairs.list(RepairsRequest(), trio.control.database)).results
    assert tuple(older) == noted  # A repair that was refused is none.
    assert (newest.order_nos, newest.reason, newest.actor, newest.state) == (("1001",), "a test", "control", "proved")
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "proved")]


async def test_a_token_of_other_values_is_refused_though_it_names_the_same_events(trio: Any) -> None:
    """More events than a preview shows: the last one is edited again, and the new value was never shown."""
    numbers = [f"{number}" for number in range(1001, 1001 + SHOWN + 1)]
    await trio.ship(*numbers)
    await trio.settled()
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = quantity_micro + 100")
    repairs = repairs_of(trio)
    preview = await repairs.preview(RepairPreviewRequest(), trio.control.database)
    (step,) = preview.steps
    assert numbers[-1] not in {one.order_no for one in step.differences}
    assert (await repairs.preview(RepairPreviewRequest(), trio.control.database)).token == preview.token
    again = "UPDATE billed_line SET quantity_micro = quantity_micro + 5 WHERE order_no = $1"
    await trio.by_hand("finance", again, numbers[-1])
    noted = (await repairs.list(RepairsRequest(), trio.control.database)).results
    with pytest.raises(Refused, match="Preview again") as refused:
        await repairs.run(RepairRequest(token=preview.token, reason="a test"), trio.control.database)
    assert refused.value.problem.status == 409
    assert (await repairs.list(RepairsRequest(), trio.control.database)).results == noted
    assert await rows_of(trio, "finance", "correction") == 0
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "proved")]


async def test_a_repair_is_not_called_proved_while_a_rule_of_the_service_is_broken(trio: Any) -> None:
    await trio.ship("1001")
    await trio.settled()
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 7")
    await trio.by_hand("finance", "ALTER TABLE billed_line DISABLE TRIGGER digest_update")
    assert await repair(trio) == [("edited_by_hand", "reverse_and_rebook", "not_proved")]
    assert await causes(trio) == []  # The books agree again; the trigger is still disabled.


async def test_a_flow_that_stands_still_is_asked_anew(trio: Any) -> None:
    from tieout.contracts.agreement import RestartedFlow, RestartFlowRequest

    request = RestartFlowRequest("finance-bill-shipments", "anna", "it stands still")
    done = await ask(trio.control.nats, "rpc.finance.restart_flow", request, RestartedFlow)
    assert done == RestartedFlow("finance-bill-shipments", stopped=False)
    with pytest.raises(Refused, match="has no flow 'finance-x'"):
        await ask(trio.control.nats, "rpc.finance.restart_flow", replace(request, flow="finance-x"), RestartedFlow)


async def test_a_source_that_heard_nothing_of_an_order_is_not_asked_again(trio: Any) -> None:
    await trio.announce_only("2001", ordinal=1)
    await trio.settled()
    (step,) = (await repairs_of(trio).preview(RepairPreviewRequest(), trio.control.database)).steps
    assert (step.cause, step.repair, step.runs) == ("missing_at_source", "resubmit", False)
    assert step.words == "inventory has heard nothing of 2001; from its source: tieout census SATELLITE FILE --fetch"
    assert await repair(trio) == [("missing_at_source", "resubmit", "failed")]


# Without anybody asking


async def test_the_continuous_proof_finds_an_edit_below_a_backlog_and_opens_one_ticket(trio: Any) -> None:
    database = trio.control.database
    continuous = Continuous(trio.colleagues(), trio.prover, 0, (SHIPPED,))
    assert continuous.proved_at == ""
    _, counted = await ticket(trio)
    await trio.ship("1001", "1002")
    await trio.settled()
    while not continuous.proved_at:
        await continuous.look(database)
    trio.gate.clear()
    await trio.ship("1003")  # A backlog: the newest mark is out of reach.
    assert [finding.result.state for finding in await continuous.look(database)] == []
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = quantity_micro + 1")
    for _ in range(2):
        (finding,) = await continuous.look(database)
        assert [(d.order_no, d.cause) for d in finding.differences] == [
            ("1001", "edited_by_hand"),
            ("1002", "edited_by_hand"),
        ]
    assert await ticket(trio) == ("open", counted + 2)
    before, proved_at = continuous.age_seconds, continuous.proved_at
    await asyncio.sleep(0.05)
    assert continuous.age_seconds > before  # The proof gets older,
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = quantity_micro - 1 WHERE order_no < '1003'")
    trio.gate.set()
    await trio.settled()
    await continuous.look(database)
    assert continuous.proved_at > proved_at  # and there is a new one once all is well.
    assert await ticket(trio) == ("resolved", counted + 2)


async def ticket(trio: Any) -> tuple[str, int]:
    async with trio.control.database.read() as connection:
        row = await connection.fetchrow(
            "SELECT state, count FROM ticket WHERE fingerprint = 'disagreement:shipped:edited_by_hand'"
        )
    return (row["state"], row["count"]) if row else ("", 0)


@pytest.mark.parametrize("asked", [{}, {"order_no": "2991"}, {"measure": "shipped"}])
async def test_a_preview_says_who_is_silent_and_never_that_nothing_differs_meanwhile(
    trio: Any, asked: dict[str, str]
) -> None:
    await trio.ship("2991")
    await trio.settled()
    with_order = MEASURES[3]  # Nobody plays the order service.
    colleagues = trio.colleagues()
    prover = Prover(colleagues, measures=(with_order,))
    repairs = Repairs(colleagues, prover, Mending(colleagues, replays(trio)), (with_order,))
    told = await repairs.preview(RepairPreviewRequest(**asked), trio.control.database)
    assert (told.steps, told.verdict, told.unanswered) == ((), "open", ("order",))
    assert "no answer from order" in told.sentence


async def test_a_preview_of_books_that_agree_says_so_and_one_of_another_order_that_it_does_not_differ(
    trio: Any,
) -> None:
    (position,) = await trio.ship("2992")
    await trio.settled()
    agreed = await repairs_of(trio).preview(RepairPreviewRequest(), trio.control.database)
    assert (agreed.steps, agreed.verdict) == ((), "agree")
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 7 WHERE position = $1", position)
    other = await repairs_of(trio).preview(RepairPreviewRequest(order_no="other"), trio.control.database)
    assert (other.verdict, other.sentence) == ("agree", "Nothing of what was asked for differs.")
    whole = await repairs_of(trio).preview(RepairPreviewRequest(), trio.control.database)
    assert (len(whole.steps), whole.verdict) == (1, "differ")
