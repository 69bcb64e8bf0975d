"""One ticket per cause: counted, reopened, resolved; with its history and what has to be told outside."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from msgspec.structs import replace
from tieout.contracts.finance import ClaimReopened, ClaimSettled
from tieout.contracts.finance import DocumentSettled as FinanceSettled
from tieout.contracts.inventory import CancelDecided, StoppedLine
from tieout.contracts.operation import Health, Replica
from tieout.contracts.order import SubmissionConflicted
from tieout.contracts.ticket import (
    ChangeTicket,
    DeadLetterRequest,
    Money,
    TicketChanged,
    TicketOpened,
    TicketRequest,
    TicketResolved,
    TicketsRequest,
)
from tieout.control import ticket_reads, tickets
from tieout.control.colleagues import Colleagues
from tieout.control.desk import Desk
from tieout.control.domain import checks
from tieout.control.flows import report_facts
from tieout.control.flows.change_ticket import change_ticket
from tieout.control.flows.collect_dead import collect_dead
from tieout.control.rebuilding import Rebuilding
from tieout.control.tickets import Affected, Opening
from tieout.servicekit import ACTOR, Database, Letter, Received, Refused
from tieout.servicekit.letters import write_letter
from tieout.servicekit.lost_part import Announced
from tieout.servicekit.rebuilding import Recovery
from tieout.servicekit.received import Reader
from tieout.servicekit.rehearsal import announced, received

STALL = "stall:finance-bill-shipments"


async def opened(database: Database, fingerprint: str = STALL, **more: object) -> int:
    async with database.transaction() as tx:
        return await tickets.open_ticket(
            tx, "stall", fingerprint, "Bills stand still", "开票停滞", service="finance", **more
        )


async def rows(database: Database, statement: str) -> list[tuple[object, ...]]:
    async with database.read() as connection:
        return [tuple(row) for row in await connection.fetch(statement)]


async def test_the_same_cause_is_counted_on_one_ticket(database: Database) -> None:
    numbers = {await opened(database, detail=f"try {n}", count=n) for n in (1, 2, 3)}
    assert len(numbers) == 1
    assert await rows(database, "SELECT count, state, owner, priority, detail, times FROM ticket") == [
        (6, "open", "finance", 1, "try 3", 1)
    ]
    assert await rows(database, "SELECT what, actor FROM ticket_history") == [("opened", "control")]
    (event,) = await announced(database, TicketOpened)
    assert (event.data.fingerprint, event.data.title_zh, event.data.times) == (STALL, "开票停滞", 1)


async def test_a_resolved_ticket_opens_again_when_its_cause_returns_and_its_clock_starts_anew(
    database: Database,
) -> None:
    number = await opened(database)
    async with database.transaction() as tx:
        assert await tickets.settle_ticket(tx, STALL, "it goes on")
    async with database.transaction() as tx:
        assert not await tickets.settle_ticket(tx, STALL, "it goes on")  # It is resolved already.
    assert await opened(database) == number
    assert await rows(
        database, "SELECT state, times, count, resolved_at, due_at - opened_at > '59 min' FROM ticket"
    ) == [("open", 2, 2, None, True)]
    assert await rows(database, "SELECT what FROM ticket_history ORDER BY number") == [
        ("opened",),
        ("resolved",),
        ("reopened",),
    ]
    assert await rows(database, "SELECT what FROM notification ORDER BY number") == [
        ("opened",),
        ("resolved",),
        ("reopened",),
    ]
    assert [event.data.times for event in await announced(database, TicketOpened)] == [1, 2]
    assert len(await announced(database, TicketResolved)) == 1


async def test_an_order_counts_once_with_its_largest_amount(database: Database) -> None:
    one = Affected("C1", "1001", "CNY", 500)
    await opened(database, orders=[one, Affected("C1", "1001", "CNY", 900), Affected("C2", "1001")])
    await opened(database, orders=[one])
    assert await rows(database, "SELECT company, order_no, amount_minor FROM ticket_order ORDER BY 1") == [
        ("C1", "1001", 900),
        ("C2", "1001", 0),
    ]


async def test_replicas_that_notice_the_same_at_once_open_one_ticket_and_tell_it_once(database: Database) -> None:
    async def notice(order: tuple[str, str]) -> None:
        async with database.transaction() as tx:
            await tickets.open_tickets(
                tx, [Opening(kind="stall", fingerprint=name, title_en=name, title_zh=name) for name in order]
            )

    await asyncio.gather(*(notice(order) for order in [("stall:a", "stall:b"), ("stall:b", "stall:a")] * 4))
    assert await rows(database, "SELECT fingerprint, count FROM ticket ORDER BY 1") == [("stall:a", 8), ("stall:b", 8)]
    assert await rows(database, "SELECT what, count(*) FROM ticket_history GROUP BY 1") == [("opened", 2)]


async def test_the_history_of_a_ticket_cannot_be_changed(database: Database) -> None:
    await opened(database)
    with pytest.raises(Exception, match="permission denied"):
        await rows(database, "UPDATE ticket_history SET note = 'x' RETURNING 1")


def dead(number: int, **more: object) -> Received[Letter]:
    """A letter of finance as control receives it."""
    service, durable, subject = "finance", "finance-bill-shipments", "inventory.shipped.v1"
    given = {
        "body": b'{"data":{"currency":"CNY","net_minor":100}}',
        "reason": "unknown_article",
        "field": "lines[0].sku",
        "detail": f"There is no article A-{number}.",
        "order_no": str(number),
        "company": "C1",
    }
    _, subject, content = write_letter(
        service=service,
        version="1",
        durable=durable,
        subject=subject,
        stream="INVENTORY",
        sequence=number,
        attempts=1,
        **{**given, **more},  # type: ignore[arg-type]
    )
    return Reader(collect_dead.types[0]).read(
        content, subject=subject, attempts=1, stream="DEAD", stream_sequence=number, durable=collect_dead.durable
    )


async def change(database: Database, action: str, number: int = 1, **more: object) -> TicketChanged:
    return await change_ticket(ChangeTicket(number, action, **{"reason": "why", **more}), database)  # type: ignore[arg-type]


async def test_letters_of_one_cause_are_one_ticket_with_its_orders_and_their_money(database: Database) -> None:
    letters = [dead(number) for number in range(1, 31)]
    await collect_dead(letters, database)
    await collect_dead(letters[:10], database)  # The relay published them twice.
    await collect_dead([dead(31, order_no="30")], database)  # The same order once more.
    (ticket,) = (await ticket_reads.list_tickets(TicketsRequest(), database)).tickets
    assert (ticket.count, ticket.orders, ticket.money) == (31, 30, (Money("CNY", 3000),))
    assert ticket.title_en == "Billing shipments: an article that is not set up (field lines[0].sku)"
    story = await ticket_reads.show_ticket(TicketRequest(ticket.number), database)
    assert [letter.number for letter in story.letters] == sorted((one.number for one in story.letters), reverse=True)
    assert len(story.letters) == 20
    told = await ticket_reads.show_dead_letter(DeadLetterRequest(story.letters[-1].number), database)
    assert (told.ticket, told.subject) == (ticket.number, "inventory.shipped.v1")
    assert "net_minor" in told.body
    found = await ticket_reads.list_tickets(TicketsRequest(order_no="7", owner="@finance"), database)
    assert [one.number for one in found.tickets] == [ticket.number]


async def test_a_message_that_is_given_up_once_more_opens_its_ticket_again(database: Database) -> None:
    first = dead(1)
    await collect_dead([first], database)
    await change(database, "resolve")
    await collect_dead([first], database)  # Published twice: nothing new.
    assert await rows(database, "SELECT state FROM ticket") == [("resolved",)]
    await collect_dead([dead(1)], database)  # Its replay failed.
    assert await rows(database, "SELECT state, count, times FROM ticket") == [("open", 2, 2)]
    assert await rows(database, "SELECT count(*) FROM dead_letter") == [(1,)]


async def test_a_flow_that_finds_a_new_cause_for_each_message_does_not_flood_people_with_tickets(
    database: Database,
) -> None:
    words = ["".join(chr(97 + (n // 26**k) % 26) for k in range(3)) for n in range(60)]
    await collect_dead([dead(n, detail=word) for n, word in enumerate(words[:40], 1)], database)
    await collect_dead([dead(n, detail=word) for n, word in enumerate(words[40:], 50)], database)
    found = await rows(database, "SELECT count, fingerprint FROM ticket ORDER BY count DESC")
    assert len(found) == 21
    assert found[0] == (40, "dead_letter:finance-bill-shipments:other")


async def test_a_letter_about_a_nul_character_is_kept_and_names_its_order(database: Database) -> None:
    await collect_dead([dead(1, order_no="10\00001", detail="\0", field="a\0b")], database)
    assert await rows(database, "SELECT order_no FROM ticket_order") == [("10\u240001",)]


async def test_people_take_tickets_and_the_history_says_who_and_why(database: Database) -> None:
    ACTOR.set("Li Lei")
    await opened(database)
    assert (await change(database, "acknowledge", reason="")).ticket.assignee == "Li Lei"
    assert (await change(database, "acknowledge")).repeated
    assert (await change(database, "wait", reason="the vendor mends it")).ticket.state == "waiting"
    await change(database, "comment", reason="called them")
    assert (await change(database, "resolve", reason="mended")).ticket.state == "resolved"
    assert (await change(database, "reopen", reason="it was not")).ticket.times == 2
    story = await ticket_reads.show_ticket(TicketRequest(1), database)
    assert [(step.what, step.note) for step in story.history[1:]] == [
        ("acknowledged", ""),
        ("waiting", "the vendor mends it"),
        ("commented", "called them"),
        ("resolved", "mended"),
        ("reopened", "it was not"),
    ]
    assert {step.actor for step in story.history} == {"Li Lei"}
    ACTOR.set("")


async def test_a_resolved_ticket_is_not_listed_among_those_that_stand(database: Database) -> None:
    await opened(database)
    await opened(database, "stall:x", priority=3)
    await change(database, "resolve")
    told = await ticket_reads.list_tickets(TicketsRequest(), database)
    assert ([one.number for one in told.tickets], told.found, told.total) == ([2], 1, 1)
    everything = await ticket_reads.list_tickets(TicketsRequest("all", limit=1), database)
    rest = await ticket_reads.list_tickets(TicketsRequest("all", after=everything.next_after), database)
    assert [one.number for one in (*everything.tickets, *rest.tickets)] == [1, 2]


@pytest.mark.parametrize(
    ("action", "more", "field"),
    [
        ("mute", {"until": "tomorrow"}, "until"),
        ("mute", {"until": "2026-11-30T08:00:00"}, "until"),
        ("mute", {"until": "0001-01-01T00:00:00+14:00"}, "until"),
        ("mute", {"until": "9999-12-31T23:59:59-12:00"}, "until"),
        ("resolve", {"reason": ""}, "reason"),
        ("assign", {}, "to"),
        ("assign", {"to": "@nosuchteam"}, "to"),
        ("acknowledge", {"number": 99}, "number"),
    ],
)
async def test_a_change_that_cannot_be_is_refused_with_the_field(
    database: Database, action: str, more: dict[str, object], field: str
) -> None:
    await opened(database)
    with pytest.raises(Refused) as refused:
        await change(database, action, **more)
    assert refused.value.problem.field == field


async def test_a_ticket_goes_to_a_team_that_there_is_and_a_refusal_names_all(database: Database) -> None:
    await opened(database)
    with pytest.raises(Refused, match=r"no team @nosuchteam; there are: @control, @finance, .*@order"):
        await change(database, "assign", to="@nosuchteam")
    assert (await change(database, "assign", to="@order")).ticket.owner == "order"
    asked = ChangeTicket(number=1, action="assign", to="@night-shift")
    assert (await change_ticket(asked, database, {"night-shift"})).ticket.owner == "night-shift"  # A channel's.
    await database.pool.execute("UPDATE team SET team = 'books' WHERE service = 'finance'")
    assert (await change(database, "assign", to="@books")).ticket.owner == "books"
    assert (await change(database, "assign", to="Li Lei")).ticket.assignee == "Li Lei"


def health(*, stopped: str = "", done: int = 0, waited: float = 0.0) -> Health:
    durable = "finance-bill-shipments"
    return Health(
        service="finance",
        version="1",
        pid=1,
        ready=True,
        memory_bytes=1,
        started_at="",
        stopped={durable: stopped} if stopped else {},
        parked_oldest_seconds=waited,
        flows={durable: {"done": done}},
    )


@pytest.fixture
def desk() -> Desk:
    return Desk(Colleagues(lambda: None), 0, parked_hours_max=24)  # type: ignore[arg-type, return-value]


async def test_a_flow_that_stopped_has_one_ticket_until_it_has_handled_something(
    database: Database, desk: Desk
) -> None:
    for told in (health(stopped="KeyError in bill"), health(stopped="KeyError in bill"), health()):
        await desk.look(database, [told])  # The last one: its process has been started again, and proves nothing yet.
    found = await rows(database, "SELECT kind, count, state, priority, owner FROM ticket")
    assert found == [("flow_stopped", 1, "open", 1, "finance")]
    await desk.look(database, [health(done=1)])
    assert await rows(database, "SELECT state FROM ticket") == [("resolved",)]
    await desk.look(database, [health(stopped="KeyError in bill")])
    assert await rows(database, "SELECT state, times FROM ticket") == [("open", 2)]


async def test_a_message_that_waits_too_long_for_its_partner_has_a_ticket(database: Database, desk: Desk) -> None:
    await desk.look(database, [health(waited=23 * 3600)])
    assert await rows(database, "SELECT kind FROM ticket") == []
    await desk.look(database, [health(waited=25 * 3600)])
    assert await rows(database, "SELECT kind, state FROM ticket") == [("deadline", "open")]
    await desk.look(database, [health(waited=60)])
    assert await rows(database, "SELECT kind, state FROM ticket") == [("deadline", "resolved")]


async def test_rules_that_are_not_checked_have_a_ticket_until_every_process_checks_them(
    database: Database, desk: Desk
) -> None:
    whole = replace(health(), scrubbed_at="2026-11-23T10:00:00Z")
    short = replace(whole, unchecked=("stock_account_is_the_sum_of_its_moves",))
    await desk.look(database, [whole, short])
    await desk.look(database, [short, whole])  # Each process looks by itself, and either may answer first.
    query = "SELECT fingerprint, state, count, priority, owner, runbook FROM ticket"
    assert await rows(database, query) == [("finding:unchecked:finance", "open", 1, 2, "finance", "BooksDiffer")]
    ((detail,),) = await rows(database, "SELECT detail FROM ticket")
    assert "stock_account_is_the_sum_of_its_moves" in str(detail)
    await desk.look(database, [health()])  # It has just started, and has looked at nothing.
    assert await rows(database, "SELECT state FROM ticket") == [("open",)]
    await desk.look(database, [whole])
    assert await rows(database, "SELECT state FROM ticket") == [("resolved",)]


async def test_a_ticket_that_is_overdue_is_more_urgent_and_told_once(database: Database, desk: Desk) -> None:
    await opened(database, priority=2)
    async with database.transaction() as tx:
        await tx.execute("UPDATE ticket SET due_at = now() - interval '1 second'")
    await desk.look(database, [])
    await desk.look(database, [])
    assert await rows(database, "SELECT priority FROM ticket") == [(1,)]
    assert await rows(database, "SELECT what FROM notification ORDER BY number") == [("opened",), ("overdue",)]


async def test_a_mute_ends_by_itself_and_is_told_only_if_it_struck_meanwhile(database: Database, desk: Desk) -> None:
    for fingerprint in ("stall:quiet", "stall:loud"):
        await opened(database, fingerprint)
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await change(database, "mute", 1, until=ahead)
    await change(database, "mute", 2, until=ahead)
    await opened(database, "stall:loud")
    async with database.transaction() as tx:
        await tx.execute("UPDATE ticket SET muted_until = now()")
    await desk.look(database, [])
    assert await rows(database, "SELECT state FROM ticket") == [("open",), ("open",)]
    assert await rows(database, "SELECT ticket FROM notification WHERE what = 'reopened'") == [(2,)]


async def test_goods_that_left_although_cancelled_and_conflicts_are_tickets_counted_once(database: Database) -> None:
    late = CancelDecided(uuid4(), uuid4(), "C1", "1001", (StoppedLine(1, too_late_micro=5),))
    in_time = CancelDecided(uuid4(), uuid4(), "C1", "1002", (StoppedLine(1, reserved_micro=5),))
    conflict = SubmissionConflicted(uuid4(), uuid4(), "C1", "shop", "1003", "order", "other_content", orders=("1003",))
    by_durable = {flow.durable: flow for flow in report_facts.flows()}
    cancels = [received(event, position=n) for n, event in enumerate((late, in_time), 1)]
    for _ in range(2):
        await by_durable["control-report-inventory"](cancels, database)
        await by_durable["control-report-order"]([received(conflict)] * 2, database)
    assert await rows(database, "SELECT kind, count, owner FROM ticket ORDER BY kind") == [
        ("cancelled_but_shipped", 1, "inventory"),
        ("conflict", 1, "order"),
    ]
    assert await rows(database, "SELECT order_no FROM ticket_order ORDER BY 1") == [("1001",), ("1003",)]


async def test_processes_and_tickets_are_told_as_metrics_and_a_stop_of_another_replica_opens_its_ticket(
    database: Database,
) -> None:
    beside = Replica("b", 7, "2", "2026-11-23T08:00:00Z", 60, ready=True, stopped={"finance-bill-shipments": "here"})
    silent = Replica("c", 8, "2", "2026-11-23T08:00:00Z", 60, ready=True, unseen_seconds=300)
    mine = Replica("a", 1, "2", "2026-11-23T08:00:00Z", 60, ready=True)
    health = Health("finance", "2", 1, True, 60, "", flows={"finance-bill-shipments": {"done": 5}})
    health = replace(health, replicas=(mine, beside, silent))
    desk = Desk(Colleagues(lambda: None), 0, 24)  # type: ignore[arg-type,return-value]
    for _ in range(2):  # The one that works does not settle what the other one has opened.
        await desk.look(database, [health])
        assert await rows(database, "SELECT kind, state FROM ticket") == [("flow_stopped", "open")]
    await desk.look(database, [health])
    assert desk.readings()["tieout.tickets"]() == {"1": 1, "2": 0, "3": 0, "4": 0}
    await desk.look(database, [replace(health, replicas=(mine, replace(beside, stopped={}), silent))])
    assert await rows(database, "SELECT kind, state FROM ticket") == [("flow_stopped", "resolved")]
    check = checks.replicas([health])
    assert (check.state, check.found) == ("look", "Not heard of: finance 8 on c (5 minutes).")
    fine = checks.replicas([replace(health, replicas=(mine, beside))])
    assert (fine.state, fine.found) == ("ok", "Processes: finance 2.")


async def test_a_ticket_is_found_by_the_number_of_its_document_and_by_the_orders_that_this_names(
    database: Database,
) -> None:
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    conflict = FinanceSettled(
        uuid4(), uuid4(), "C1", "psp", "R-1", "refund", "conflict", "above_received", booked=True, orders=("1001",)
    )
    await report([received(conflict)], database)
    await opened(database)
    for number in ("1001", "R-1"):
        told = await ticket_reads.list_tickets(TicketsRequest(order_no=number), database)
        assert ([one.kind for one in told.tickets], told.found, told.total) == (["conflict"], 1, 2)
        assert told.tickets[0].orders == 1
    assert (await ticket_reads.list_tickets(TicketsRequest(order_no="1002"), database)).tickets == ()


def above(number: str, order_no: str = "1001") -> FinanceSettled:
    return FinanceSettled(
        uuid4(), uuid4(), "C1", "psp", number, "refund", "conflict", "above_received", booked=True, orders=(order_no,)
    )


def ended(*refunds: FinanceSettled, by: str = "P-1") -> ClaimSettled:
    return ClaimSettled(uuid4(), by, "C1", "CNY", refunds[0].orders[0], tuple(one.document_id for one in refunds))


async def test_a_refund_above_what_came_needs_nobody_any_more_once_all_its_ticket_counted_are_settled(
    database: Database,
) -> None:
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    first, second = above("F-1"), above("F-2", "1002")
    await report([received(first, position=1), received(second, position=2)], database)
    end = received(ended(first), position=6)
    await report([end, end], database)
    assert await rows(database, "SELECT state, count FROM ticket") == [("open", 2)]
    assert await rows(database, "SELECT what, note FROM ticket_history WHERE what <> 'opened'") == [
        ("commented", "Order 1001: settled by P-1")
    ]
    await report([end], database)  # Once more is no news.
    await report([received(ended(second, by="P-2"), position=7)], database)
    assert await rows(database, "SELECT state, times FROM ticket") == [("resolved", 1)]
    (told,) = await announced(database, TicketResolved)
    assert (told.data.actor, told.data.reason) == (
        "control",
        "Order 1002: settled by P-2. Nothing is left to claim.",
    )
    third = above("F-3")
    await report([received(third, position=3)], database)
    assert await rows(database, "SELECT state, times FROM ticket") == [("open", 2)]
    await report([received(ended(first, third, by="P-3"), position=8)], database)
    assert await rows(database, "SELECT state, times FROM ticket") == [("resolved", 2)]


@pytest.mark.parametrize("together", [True, False])
async def test_a_refund_that_is_settled_before_its_ticket_hears_of_it_asks_nobody(
    database: Database, *, together: bool
) -> None:
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    refund = above("F-1")
    batch = [received(ended(refund), position=9), received(refund, position=4)]
    for part in [batch] if together else [batch[:1], batch[1:]]:
        await report(part, database)
    assert await rows(database, "SELECT 1 FROM ticket") == []
    other = above("F-2")
    await report([received(other, position=5)], database)
    await report([received(ended(refund, other), position=10)], database)
    assert await rows(database, "SELECT state FROM ticket") == [("resolved",)]


async def test_a_claim_whose_ticket_somebody_resolved_does_not_hold_up_its_next_opening(database: Database) -> None:
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    first, second = above("F-1"), above("F-2", "1002")
    await report([received(first, position=1)], database)
    await change(database, "resolve", reason="the customer keeps it")
    await report([received(second, position=2)], database)
    await report([received(ended(second, by="P-2"), position=3)], database)
    assert await rows(database, "SELECT state, times FROM ticket") == [("resolved", 2)]


async def test_a_ticket_that_somebody_opens_again_waits_for_all_that_it_counted(database: Database) -> None:
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    first, second = above("F-1"), above("F-2", "1002")
    await report([received(first, position=1), received(second, position=2)], database)
    await change(database, "resolve", reason="the customer keeps it")
    await change(database, "reopen", reason="he does not")
    await report([received(ended(first), position=3)], database)
    assert await rows(database, "SELECT state FROM ticket") == [("open",)]
    await report([received(ended(second), position=4)], database)
    assert await rows(database, "SELECT state FROM ticket") == [("resolved",)]


async def test_tickets_that_are_opened_and_ended_together_are_locked_in_one_order(database: Database) -> None:
    """Else two replicas, of which one opens what the other ends, wait for each other."""
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    ends, opens = above("F-1"), replace(above("F-2"), source="shop")
    await report([received(ends, position=1), received(opens, position=2)], database)
    again = replace(above("F-3"), source="shop")
    locked = "SELECT FROM ticket WHERE fingerprint LIKE $1 FOR UPDATE SKIP LOCKED"
    async with database.transaction() as tx:
        assert await tx.fetch(locked, "%:psp:%")
        both = asyncio.create_task(report([received(again, position=3), received(ended(ends), position=4)], database))
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while not await rows(database, waits):
            assert not both.done()
            await asyncio.sleep(0.01)
        assert await tx.fetch(locked, "%:shop:%")  # Nobody holds the later one and waits for the earlier one.
    await both
    assert await rows(database, "SELECT state, count FROM ticket ORDER BY fingerprint") == [
        ("resolved", 1),
        ("open", 2),
    ]


def again(*refunds: FinanceSettled, by: str = "W-2") -> ClaimReopened:
    source = refunds[0].source
    refunded = tuple(one.document_id for one in refunds)
    return ClaimReopened(uuid4(), by, "C1", "CNY", refunds[0].orders[0], source, refunded)


async def test_a_claim_that_is_open_again_opens_its_ticket_again(database: Database) -> None:
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    refund = above("F-1")
    await report([received(refund, position=1)], database)
    await report([received(ended(refund, by="W-1"), position=2)], database)
    reopened = received(again(refund), position=3)
    await report([reopened, reopened], database)
    assert await rows(database, "SELECT state, times, count FROM ticket") == [("open", 2, 2)]
    told = await ticket_reads.list_tickets(TicketsRequest(order_no="W-2"), database)
    assert told.tickets[0].detail.startswith("W-2: What was written off of order 1001 is recovered")
    await report([reopened], database)
    await report([received(ended(refund), position=4)], database)
    assert await rows(database, "SELECT state, times, count FROM ticket") == [("resolved", 2, 2)]


@pytest.mark.parametrize("together", [True, False])
async def test_what_is_told_of_a_claim_ends_the_same_in_whatever_order_it_comes(
    database: Database, *, together: bool
) -> None:
    """A redelivery from an outbox has no order. Finance draws its positions in order; the last one stands."""
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    states = []
    for number, order in enumerate(itertools.permutations(range(4))):
        refund = replace(above(f"F-{number}", f"{number}"), source=f"psp{number}")
        told = [received(refund, position=10 * number + 1)]
        for step, one in enumerate((ended(refund), again(refund), ended(refund, by="P-2")), 2):
            told.append(received(one, position=10 * number + step))
        for last in (3, 4):  # Up to the reopening, and with the end of it.
            played = [told[step] for step in order if step < last]
            for part in [played] if together else [[one] for one in played]:
                await report(part, database)
            query = f"SELECT state FROM ticket WHERE fingerprint LIKE '%:psp{number}:%'"
            states.append((last, *(await rows(database, query) or [("none",)])[0]))
    assert {state for last, state in states if last == 3} == {"open"}
    assert {state for last, state in states if last == 4} <= {"resolved", "none"}


async def openings_announced(database: Database) -> list[Announced]:
    query = (
        "SELECT subject, body FROM outbox, unnest(subjects, bodies) AS e (subject, body)"
        f" WHERE subject = '{TicketOpened.SUBJECT}' ORDER BY batch"
    )
    found = enumerate(await rows(database, query), 1)
    return [Announced(str(place), place, subject, "", "", "", place, body) for place, (subject, body) in found]


async def forget_tickets(database: Database) -> None:
    """As a backup from before; the outbox is brought back from the stream."""
    async with database.transaction() as tx:
        for table in ("refund_claim", "ticketed", "ticket"):
            await tx.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("backup", ["before all", "after the first refund", "between the openings"])
async def test_two_openings_of_a_ticket_that_one_recovery_brings_back_leave_none_standing(
    database: Database, backup: str
) -> None:
    """A person resolved the first one without its refund: no end of that is ever told."""
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    first, second, third = above("F-1"), above("F-2", "1002"), above("F-3", "1003")
    told = [received(one, position=position) for position, one in enumerate((first, second, third), 1)]
    for one in told:
        await report([one], database)
        if one is not told[-1]:
            number = await database.pool.fetchval("SELECT number FROM ticket")
            await change(database, "resolve", number, reason="the customer keeps it")
    assert await rows(database, "SELECT state, times FROM ticket") == [("open", 3)]
    lost = await openings_announced(database)
    await forget_tickets(database)
    if backup != "before all":
        await report(told[:1], database)
        told, lost = told[1:], lost[1:]
    if backup == "between the openings":
        number = await database.pool.fetchval("SELECT number FROM ticket")
        await change(database, "resolve", number, reason="the customer keeps it")

    work = Rebuilding(database, None)
    async with database.pool.acquire() as connection, connection.transaction():
        await work.rebuild(connection, lost)
    for one in told:
        await report([one], database)
    await work.finish(Recovery("control"))
    assert await rows(database, "SELECT state, times FROM ticket") == [("open", 3)]
    await report([received(ended(third, by="P-3"), position=4)], database)
    assert await rows(database, "SELECT state, times FROM ticket") == [("resolved", 3)]


async def test_an_end_that_only_a_recovery_plays_ends_its_ticket(database: Database) -> None:
    """It had been delivered, and the database was lost before it was committed."""
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    refund = above("F-1")
    await report([received(refund, position=1)], database)
    lost = await openings_announced(database)
    await forget_tickets(database)
    work = Rebuilding(database, None)
    async with database.pool.acquire() as connection, connection.transaction():
        await work.rebuild(connection, lost)
    for position, one in ((1, refund), (2, ended(refund))):
        await report([received(one, position=position)], database)
    await work.finish(Recovery("control"))
    assert await rows(database, "SELECT state, times FROM ticket") == [("resolved", 1)]


@pytest.mark.parametrize("backup", ["before all", "after the first refund"])
async def test_a_ticket_that_a_recovery_brought_back_is_not_ended_by_the_claims_of_an_earlier_opening(
    database: Database, backup: str
) -> None:
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    first, second = above("F-1"), above("F-2", "1002")
    told = [received(first, position=1), received(ended(first), position=2), received(second, position=3)]
    for one in told:
        await report([one], database)
    assert await rows(database, "SELECT state, times FROM ticket") == [("open", 2)]
    lost = await openings_announced(database)
    await forget_tickets(database)
    if backup == "after the first refund":
        await report(told[:1], database)
        told, lost = told[1:], lost[1:]

    work = Rebuilding(database, None)
    async with database.pool.acquire() as connection, connection.transaction():
        await work.rebuild(connection, lost)
    for one in told:
        await report([one], database)
    assert await rows(database, "SELECT state, times FROM ticket") == [("open", 2)]
    await work.finish(Recovery("control"))
    assert await rows(database, "SELECT state, times FROM ticket") == [("open", 2)]
    await report([received(ended(second, by="P-2"), position=4)], database)
    assert await rows(database, "SELECT state, times FROM ticket") == [("resolved", 2)]


async def test_a_recovery_that_was_interrupted_still_resolves_what_an_earlier_attempt_brought_back(
    database: Database,
) -> None:
    ended, returned = await opened(database), await opened(database, "stall:again")
    for fingerprint in (STALL, "stall:again"):
        async with database.transaction() as tx:
            await tickets.settle_ticket(tx, fingerprint, "it goes on")
    await opened(database, "stall:again")
    async with database.transaction() as tx:  # The earlier attempt has the openings and the outbox, and died.
        await tx.execute("UPDATE ticket SET state = 'open', resolved_at = NULL")

    await Rebuilding(database, None).finish(Recovery("control"))

    assert await rows(database, "SELECT number, state FROM ticket ORDER BY number") == [
        (ended, "resolved"),
        (returned, "open"),
    ]


async def test_documents_of_the_same_number_are_told_apart_in_a_tickets_history(database: Database) -> None:
    """A payment of one source, a credit note, a write-off: each gives its numbers anew."""
    (report,) = [flow for flow in report_facts.flows() if flow.durable == "control-report-finance"]
    refunds = [above(f"F-{n}", f"100{n}") for n in range(3)]
    await report([received(one, position=place) for place, one in enumerate(refunds, 1)], database)
    ends = [ended(refunds[0], by="1"), ended(refunds[1], by="1")]
    await report([received(one, position=place) for place, one in enumerate(ends, 11)], database)
    assert await rows(database, "SELECT what, note FROM ticket_history WHERE what <> 'opened'") == [
        ("commented", "Order 1000: settled by 1; Order 1001: settled by 1")
    ]
