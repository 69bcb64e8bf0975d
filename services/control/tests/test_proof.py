"""The proof on real books: it agrees, says what is in flight, and finds every edit by hand."""

import asyncio
import re
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
from tieout.contracts.agreement import MEASURES, Book, Violation
from tieout.contracts.control import (
    Agreement,
    AgreementRequest,
    Settings,
    SettingsRequest,
    SilentService,
    Status,
    StatusRequest,
)
from tieout.contracts.streams import CORE_SERVICES
from tieout.control.continuous import Continuous
from tieout.control.disagreements import tell
from tieout.control.proof import Prover
from tieout.control.watch import Watch
from tieout.devstack.patience import PATIENCE_SECONDS, ask, until
from tieout.servicekit import Refused
from tieout.servicekit.instants import written
from tieout.servicekit.scrub import Scrub

SHIPPED = replace(MEASURES[3], books=tuple(book for book in MEASURES[3].books if book.service != "order"))
PATIENT = AgreementRequest(wait_seconds=PATIENCE_SECONDS, violations=False)
NO_UTC = "0001-01-01T00:00:00+14:00"  # The year 0 there.
HASTY = AgreementRequest(wait_seconds=0.2, violations=False)


async def prove(trio: Any, request: AgreementRequest = PATIENT) -> Agreement:
    answer: Agreement = await trio.prover.prove(request, trio.control.database)
    return answer


async def test_books_that_hold_the_same_agree_up_to_the_last_event(trio: Any) -> None:
    empty = await prove(trio)
    assert (empty.verdict, empty.measures[0].sides[0].rows) == ("agree", 0)
    positions = await trio.ship("1001", "1002", "1003", lines=3)
    answer = await prove(trio)
    assert answer.verdict == "agree"
    assert answer.sentence.startswith("Orders, stock and books agree; the balances of ")
    assert answer.sentence.endswith("were not checked against their facts since the start.")
    assert [(side.service, side.rows, side.a) for side in answer.measures[0].sides] == [
        ("inventory", 9, 18_000_000),
        ("finance", 9, 18_000_000),
    ]
    assert answer.watermarks[0].agreed == answer.measures[0].watermark == max(positions)
    assert answer.differences == ()


async def test_what_finance_has_yet_to_bill_is_in_flight_and_no_difference(trio: Any) -> None:
    await trio.ship("1001")
    await prove(trio)
    trio.gate.clear()
    positions = await trio.ship("1002") + await trio.ship("1003")  # Two messages; one transaction's events are one.
    await trio.published()
    answer = await prove(trio, HASTY)
    measure = answer.measures[0]
    assert (answer.verdict, measure.state, measure.in_flight) == ("open", "open", 2)
    assert measure.watermark == positions[0] - 1  # It stands where all books had been.
    assert [(flow.durable, flow.waiting + flow.unacked) for flow in answer.flows] == [("finance-bill-shipments", 2)]
    trio.gate.set()
    assert (await prove(trio)).verdict == "agree"


async def test_a_stream_that_somebody_deleted_is_told_beside_books_that_agree(trio: Any, testbed: Any) -> None:
    await trio.ship("1001")
    await prove(trio)
    operator = await testbed.connect()
    try:
        await operator.jetstream().delete_stream("INVENTORY")
    finally:
        await operator.close()
    trio.prover.missing_streams = Watch(trio.colleagues(), 0).missing_streams
    first, second = await prove(trio), await prove(trio)
    gone = {one.stream: one.since for one in second.missing_streams}
    assert (second.verdict, gone["INVENTORY"]) == (
        "agree",
        {s.stream: s.since for s in first.missing_streams}["INVENTORY"],
    )
    assert re.match(
        "Orders, stock and books agree; the hub has no streams? .*INVENTORY.*; the balances", second.sentence
    )
    status = await ask(trio.control.nats, "rpc.control.status", StatusRequest(), Status)
    assert "INVENTORY" in {one.stream for one in status.missing_streams}
    await trio.ship("1002")  # Inventory makes it anew where it has something to announce.
    durables = ("finance-bill-shipments", "control-follow-inventory")
    await until(lambda: trio.colleagues().floors(durables), lambda found: len(found) == len(durables))
    await trio.settled()  # With all that was published again: what earlier tests had shipped must not come later.
    assert "INVENTORY" not in (await prove(trio)).sentence


BY_HAND = (
    "UPDATE billed_line SET quantity_micro = quantity_micro + 1 WHERE order_no = '1001'",
    "DELETE FROM billed_line WHERE order_no = '1002'",
    "INSERT INTO billed_line SELECT position, 9, order_id, order_no, 1 FROM billed_line WHERE order_no = '1003'",
)


async def test_every_edit_by_hand_is_found_and_named_with_both_values(trio: Any) -> None:
    await trio.ship("1001", "1002", "1003", "1004")
    assert (await prove(trio)).verdict == "agree"
    for statement in BY_HAND:
        await trio.by_hand("finance", statement)
    answer = await prove(trio)
    assert (answer.verdict, answer.measures[0].differing) == ("differ", 3)
    assert [(d.order_no, d.cause, tell(d)) for d in answer.differences] == [
        ("1001", "edited_by_hand", "line 1: inventory: quantity_micro 1000000; finance: quantity_micro 1000001"),
        ("1002", "edited_by_hand", "line 1: inventory: quantity_micro 1000000; finance: nothing"),
        ("1003", "edited_by_hand", "line 9: inventory: nothing; finance: quantity_micro 1"),
    ]


async def test_an_edit_is_found_although_newer_events_are_in_flight(trio: Any) -> None:
    await trio.ship("1001", "1002")
    await prove(trio)
    trio.gate.clear()
    await trio.ship("1003")
    await trio.published()
    await trio.by_hand("inventory", "UPDATE shipped_line SET quantity_micro = 5 WHERE order_no = '1001'")
    answer = await prove(trio, HASTY)
    assert (answer.verdict, answer.measures[0].in_flight, answer.measures[0].differing) == ("differ", 1, 1)
    assert [(d.order_no, d.cause) for d in answer.differences] == [("1001", "edited_by_hand"), ("1003", "in_flight")]


async def test_a_proof_in_the_middle_of_a_busy_hour_never_raises_a_false_alarm(trio: Any) -> None:
    random = Random(7)
    numbers = count(1)
    over = asyncio.get_running_loop().time() + 3
    verdicts: list[Any] = []

    def busy() -> bool:  # Longer on a busy machine: without some proofs nothing would be tested.
        return asyncio.get_running_loop().time() < over or len(verdicts) < 6

    async def writer() -> None:
        while busy():
            orders = [f"{random.choice(('', '', '', 'early-'))}{next(numbers)}" for _ in range(random.randrange(1, 30))]
            with suppress(LookupError):
                await trio.ship(*orders, lines=2, hold=random.random() / 5, fail=random.random() < 0.1)

    async def hesitant_finance() -> None:
        while busy():
            trio.gate.clear()
            await asyncio.sleep(random.random() / 4)
            trio.gate.set()
            await asyncio.sleep(random.random() / 4)
            await trio.wake()

    writing = [asyncio.create_task(writer()) for _ in range(3)] + [asyncio.create_task(hesitant_finance())]
    while not all(task.done() for task in writing):
        answer = await prove(trio, AgreementRequest(wait_seconds=random.random() / 5, violations=False))
        verdicts.append((answer.verdict, answer.differences and answer.measures[0].differing))
    await asyncio.gather(*writing)
    trio.gate.set()
    assert {verdict for verdict, _ in verdicts} <= {"agree", "open"}, verdicts
    assert len(verdicts) > 5
    await trio.settled()  # What is early is parked only then, and is woken once.
    await trio.wake()
    answer = await until(lambda: prove(trio), lambda found: found.verdict != "open")
    assert answer.verdict == "agree", answer.sentence


async def test_a_parked_event_is_told_as_waiting_for_its_partner(trio: Any) -> None:
    await trio.ship("1001", "early-1")
    answer = await prove(trio)
    assert (answer.verdict, answer.measures[0].parked) == ("open", 1)
    assert [(d.order_no, d.cause) for d in answer.differences] == [("early-1", "parked")]
    assert "waiting for a partner document" in answer.sentence


async def test_a_dead_letter_is_told_as_such_also_when_it_is_still_on_its_way_to_control(trio: Any) -> None:
    await trio.ship("1001", "poison-1")
    answer = await prove(trio)
    assert (answer.verdict, answer.measures[0].dead, answer.measures[0].differing) == ("differ", 1, 0)
    assert [(d.order_no, d.cause) for d in answer.differences] == [("poison-1", "dead")]


async def test_an_edit_behind_disabled_triggers_is_found_by_the_rows_themselves(trio: Any) -> None:
    await trio.ship("1001", "1002")
    await prove(trio)
    await trio.by_hand(
        "finance",
        "ALTER TABLE billed_line DISABLE TRIGGER USER;"
        "UPDATE billed_line SET quantity_micro = 7 WHERE order_no = '1001'",
    )
    answer = await prove(trio, AgreementRequest(wait_seconds=PATIENCE_SECONDS))
    assert answer.verdict == "differ"
    assert {violation.rule for _, violation in answer.violations} == {"digest_is_rows", "triggers_armed"}
    assert all(isinstance(violation, Violation) for _, violation in answer.violations)


@pytest.mark.parametrize(
    "forged",
    [
        "UPDATE digest SET a = a + 1",
        "UPDATE digest SET a = a + 1; UPDATE digest_branch SET a = a + 1",
    ],
)
async def test_a_forged_digest_is_told_as_one_with_its_service_and_not_as_an_event_of_other_values(
    trio: Any, forged: str
) -> None:
    await trio.ship(*map(str, range(1001, 1601)))  # The last leaf is read from its rows; these fill two before it.
    await trio.settled()
    assert (await prove(trio)).verdict == "agree"
    await trio.finance.evidence.fold()
    await trio.by_hand("finance", forged)
    answer = await prove(trio, AgreementRequest(wait_seconds=PATIENCE_SECONDS))
    assert (answer.verdict, answer.differences) == ("differ", ())
    assert "digest_is_rows" in {violation.rule for _, violation in answer.violations}
    measure = answer.measures[0]
    assert measure.differing == measure.digests >= 2  # Where a leaf ends is the positions' affair.
    assert f"{measure.title}: a digest that is not its rows, in finance (digest_is_rows)" in answer.sentence
    assert "with different values" not in answer.sentence


async def test_an_edit_of_controls_own_tables_is_named_by_the_agreement_as_well(trio: Any) -> None:
    await trio.ship("1001")
    await trio.by_hand("control", "INSERT INTO ticketed (event_id) VALUES (gen_random_uuid())")
    answer = await prove(trio, AgreementRequest(wait_seconds=PATIENCE_SECONDS))
    assert answer.verdict == "differ"
    assert [(service, one.rule) for service, one in answer.violations] == [("control", "touched_by_hand")]
    await trio.by_hand("control", "DELETE FROM ticketed")


async def test_a_disagreement_is_announced_once_and_again_after_it_had_gone(trio: Any) -> None:
    await trio.ship("1001")
    await prove(trio)

    async def announced() -> list[str]:
        async with trio.control.database.read() as connection:
            rows = await connection.fetch("SELECT unnest(subjects) AS subject FROM outbox")
        return [row["subject"] for row in rows if row["subject"].startswith("control.disagreement")]

    for _ in range(2):
        await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = quantity_micro + 1")
        await prove(trio)
    assert len(await announced()) == 1
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = quantity_micro - 2")
    assert (await prove(trio)).verdict == "agree"
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 3")
    await prove(trio)
    assert len(await announced()) == 2


async def test_hundreds_of_differences_are_counted_whole_and_listed_up_to_the_limit(trio: Any) -> None:
    for first in range(0, 1200, 300):
        await trio.ship(*(str(number) for number in range(first, first + 300)), lines=2)
    await prove(trio)
    await trio.by_hand("finance", "UPDATE billed_line SET quantity_micro = 7 WHERE position % 4 = 0 AND line_no = 1")
    answer = await prove(trio, AgreementRequest(wait_seconds=PATIENCE_SECONDS, violations=False, limit=20))
    assert answer.measures[0].differing == 300
    assert len(answer.differences) == 20


async def test_a_difference_is_found_among_more_lines_than_fit_into_one_answer(trio: Any) -> None:
    await trio.ship("1001", "1002", lines=900)
    await trio.ship("1003", lines=4000)
    await prove(trio)
    await trio.by_hand("finance", "DELETE FROM billed_line WHERE order_no = '1003' AND line_no = 3999")
    answer = await prove(trio)
    assert [(d.order_no, d.line_no, d.cause) for d in answer.differences] == [("1003", 3999, "edited_by_hand")]


async def test_a_third_book_that_equals_another_one_is_asked_only_why_it_lacks_rows(trio: Any) -> None:
    measure = replace(SHIPPED, books=(*SHIPPED.books, SHIPPED.books[1]))
    prover = Prover(trio.colleagues(), measures=(measure,))
    await trio.ship("1001", "1002")
    await trio.settled()

    async def asked_by(statement: str, service: str) -> tuple[int, list[str]]:
        await trio.by_hand(service, statement)
        answer = await prover.prove(
            AgreementRequest(wait_seconds=PATIENCE_SECONDS, violations=False), trio.control.database
        )
        assert answer.verdict == "differ"
        return answer.requests, [tell(difference) for difference in answer.differences]

    edited, told = await asked_by("UPDATE shipped_line SET quantity_micro = 5 WHERE order_no = '1001'", "inventory")
    here, there = "inventory: quantity_micro 5", "finance: quantity_micro 1000000"
    assert told == [f"line 1: {here}; {there}; {there}"]
    lacking, told = await asked_by("DELETE FROM billed_line WHERE order_no = '1002'", "finance")
    assert told[1] == "line 1: inventory: quantity_micro 1000000; finance: nothing; finance: nothing"
    assert lacking > edited


async def test_a_service_that_is_away_leaves_the_question_open_and_is_named(trio: Any) -> None:
    await trio.ship("1001")
    absent = Book("order", "shipped_line", ("order-note-inventory",))
    measure = replace(SHIPPED, books=(*SHIPPED.books, absent))
    prover = Prover(trio.colleagues(), measures=(measure,))
    answer = await prover.prove(HASTY, trio.control.database)
    assert (answer.verdict, answer.measures[0].state, answer.unanswered) == ("open", "unanswered", ("order",))
    assert "no answer from order" in answer.sentence
    assert answer.silent == (SilentService("order"),)
    at = datetime(2026, 11, 23, 8, tzinfo=UTC)
    colleagues = trio.colleagues()
    colleagues.heard_at["order"] = at
    answer = await Prover(colleagues, measures=(measure,)).prove(HASTY, trio.control.database)
    assert answer.silent == (SilentService("order", written(at)),)
    assert colleagues.heard_at["finance"] > at  # Who was asked and answered.


async def test_control_answers_over_the_wire_and_names_all_who_are_missing(trio: Any) -> None:
    answer = await ask(trio.control.nats, "rpc.control.agreement", HASTY, Agreement)
    assert answer.verdict == "open"
    assert set(answer.unanswered) >= {"gateway", "order"}


async def test_what_a_scrub_found_is_told_also_by_a_quick_proof_and_by_the_status(trio: Any) -> None:
    await trio.ship("1001")
    await prove(trio)
    scrub = Scrub(trio.finance.findings, trio.finance.database, 0)
    await scrub.look()
    assert (await prove(trio, HASTY)).verdict == "agree"
    await trio.by_hand("finance", "ALTER TABLE billed_line DISABLE TRIGGER digest_update")

    async def found() -> bool:
        await scrub.look()
        return bool(trio.finance.findings.found.violations)

    await until(found)
    answer = await prove(trio, HASTY)
    assert answer.verdict == "differ"
    assert [(service, found.rule) for service, found in answer.violations] == [("finance", "triggers_armed")]
    status = await ask(trio.control.nats, "rpc.control.status", StatusRequest(), Status)
    assert status.findings == 1


async def test_changes_of_settings_are_told_of_all_services_and_of_one(trio: Any) -> None:
    told = await ask(trio.control.nats, "rpc.control.settings", SettingsRequest(), Settings)
    assert {change.table for change in told.changes} == {"team", "ticket_priority", "desk_hours"}  # The toys have none.
    assert set(told.unanswered) == {*CORE_SERVICES} - {"inventory", "finance", "control"}  # Only these were played.
    with pytest.raises(Refused, match="'yesterday' is no time"):
        await ask(trio.control.nats, "rpc.control.settings", SettingsRequest(before="yesterday"), Settings)
    with pytest.raises(Refused, match="too long ago or in the future"):
        await ask(trio.control.nats, "rpc.control.settings", SettingsRequest(before=NO_UTC), Settings)
    asked = SettingsRequest(service="finance", table="nosuch")
    with pytest.raises(Refused, match="no table 'nosuch' of settings; there are: none"):
        await ask(trio.control.nats, "rpc.control.settings", asked, Settings)
    with pytest.raises(Refused, match="no service 'stock'"):
        await ask(trio.control.nats, "rpc.control.settings", SettingsRequest(service="stock"), Settings)


# Whatever a hand may do


PLACES = (-(2**63), -(2**40), -1, 0, 2**31, 2**47, 2**55, 2**63 - 1)


async def furnish(trio: Any, service: str, table: str, rows: list[tuple[int, int, int]]) -> None:
    """Rows as a service with a bug would write them: nobody's hand, so no trigger tells of it."""
    order = uuid.uuid4()
    async with getattr(trio, service).database.transaction() as tx:
        records = [(position, line, order, "1001", quantity) for position, line, quantity in rows]
        await tx.copy(table, columns=("position", "line_no", "order_id", "order_no", "quantity_micro"), records=records)


@pytest.mark.parametrize("seed", range(12))
async def test_books_that_do_not_hold_the_same_never_agree_wherever_their_rows_lie(trio: Any, seed: int) -> None:
    random = Random(seed)
    shipped = await trio.ship(*(f"{n}" for n in range(1001, 1001 + random.randrange(1, 5))))
    await trio.settled()
    near = (*shipped, shipped[-1] + 1, shipped[-1] + 200, shipped[-1] + 70_000)
    drawn = random.sample((*PLACES, *near), random.randrange(1, 5))
    ours = [(p, random.choice((7, 100_004)), random.choice((0, 1, -5))) for p in drawn]
    theirs = [row for row in ours if random.random() < 0.5]
    if random.random() < 0.3:  # Sums that cancel out.
        theirs = [(p, line, -value) for p, line, value in ours]
    await furnish(trio, "inventory", "shipped_line", ours)
    await furnish(trio, "finance", "billed_line", theirs)
    for request in (HASTY, AgreementRequest(wait_seconds=0.2)):
        answer = await prove(trio, request)
        same = sorted(ours) == sorted(theirs) and max(p for p, *_ in ours) <= shipped[-1]
        assert (answer.verdict == "agree") == same, (answer.sentence, ours, theirs, answer.measures[0].note)
        assert answer.verdict in ("agree", "differ")
    continuous = Continuous(trio.colleagues(), trio.prover, 0, (SHIPPED,))
    await continuous.look(trio.control.database)
    assert bool(continuous.proved_at) == same


@pytest.mark.parametrize("value", ["0, 0, 1, 0", "0, 1, 0, 0", "0, 0, 0, 1", "1, 0, 0, 0", "0, 1e30, 0, 0"])
async def test_books_whose_digests_a_hand_has_written_never_agree(trio: Any, value: str) -> None:
    await trio.ship("1001")
    await trio.settled()
    for table in ("digest", "digest_branch"):
        await trio.by_hand("finance", f"INSERT INTO {table} SELECT book, -5, {value} FROM digest_book")
    assert (await prove(trio, HASTY)).verdict != "agree"
    assert (await prove(trio, AgreementRequest(wait_seconds=0.2))).verdict == "differ"


async def test_a_position_set_back_is_told(trio: Any) -> None:
    await trio.ship("1001", "1002")
    await trio.settled()
    await trio.by_hand("inventory", "ALTER SEQUENCE outbox_pos RESTART WITH 1")
    try:
        answer = await prove(trio)
        assert answer.verdict == "differ"
        assert "restored from a backup" in answer.measures[0].note
    finally:
        await trio.by_hand("inventory", "SELECT setval('outbox_pos', (SELECT last FROM mark))")
