"""Everything again from the first day changes nothing; what a service never got is booked, and the books agree."""

import asyncio
from dataclasses import replace
from pathlib import Path

import asyncpg
from nats.js.api import DeliverPolicy
from tieout.contracts.event import order_id
from tieout.contracts.inventory import Article as ListedArticle
from tieout.contracts.replay import (
    FREEZE_REPLAY,
    REHEARSE_REPLAY,
    RUN_REPLAY,
    SHOW_REPLAY,
    FreezeReplay,
    RehearseReplay,
    RunReplay,
    Selection,
    ShowReplay,
)
from tieout.devstack import establish
from tieout.devstack.calling import call
from tieout.devstack.trading_day import shopify
from tieout.devstack.trading_day.catalogue import AMPLE, WEB, WEB_CONFIRMED, Article

CREATED, CANCELLED, REFUNDED, PAID = "orders/create", "orders/cancelled", "refunds/create", "order_transactions/create"
WHY = "to see that it changes nothing"
EVERYTHING = Selection(since="1970-01-01T00:00:00Z")
HOLD_ORDER = """
INSERT INTO open_item (item_id, currency, company, customer, source, order_no, of_order, rate_micro)
VALUES ($1, $2, '', '', '', '', true, 1000000)"""
# Who has it in hand would park it again with a time of his own.
NOT_SOON = "UPDATE parked SET due_at = now() + interval '1 hour' WHERE order_no = $1 AND claims = 0 RETURNING true"
BILLING = "finance-bill-shipments"
WAITING = "SELECT durable FROM parked WHERE order_no = $1"
# Kept balances and queues may be written again with the same content; what they hold counts, not where it lies.
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
CONTENT = "SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {table} t"
# Not what was booked: marks, how far digests are folded, what the front door notes of who asked for the replay and
# how often a satellite sends, and how much memory a process has.
BESIDE_THE_BOOKS = {"mark", "digest", "digest_branch", "digest_delta", "audit", "process_run", "rhythm"}


async def content(trade) -> dict[tuple[str, str], str]:
    """What stands in the books of every service that books."""
    found = {}
    for service in ("gateway", "order", "inventory", "finance"):
        where = trade.stack.endpoints().databases[service]
        password = Path(where.owner_password_file).read_text().strip()
        connection = await asyncpg.connect(where.owner_dsn, password=password)
        for (table,) in await connection.fetch(TABLES):
            if table not in BESIDE_THE_BOOKS:
                found[service, table] = await connection.fetchval(CONTENT.format(table=table))
        await connection.close()
    return found


async def replayed(trade, selection):
    view = await call(trade.client, FREEZE_REPLAY, FreezeReplay(selection, WHY))
    shown = ShowReplay(view.replay)
    await call(trade.client, REHEARSE_REPLAY, RehearseReplay(view.replay))
    rehearsed = await trade.until(
        lambda: call(trade.client, SHOW_REPLAY, shown), lambda found: found.state == "rehearsed", 60
    )
    await call(trade.client, RUN_REPLAY, RunReplay(view.replay, WHY))
    ended = await trade.until(
        lambda: call(trade.client, SHOW_REPLAY, shown), lambda found: found.state in ("succeeded", "unproved"), 60
    )
    return rehearsed, ended


async def test_everything_again_from_the_first_day_changes_nothing(trade):
    paid, gone, back = trade.sale(), trade.sale(warehouse=WEB_CONFIRMED), trade.sale(AMPLE[5], pieces=3)
    for sale in (paid, gone, back):
        await trade.shop(CREATED, shopify.order(sale))
    await trade.shop(PAID, shopify.transaction(paid, paid.serial, paid.at, paid.gross_minor))
    await trade.shop(CANCELLED, shopify.cancelled(gone, gone.at))
    await trade.shop(REFUNDED, shopify.refund(back, back.serial, back.at, [(back.lines[0], 1, "return")]))
    await trade.until(lambda: trade.order(gone), lambda found: all(line.cancelled_micro for line in found.lines))
    await trade.until(lambda: trade.vouchers(back), lambda found: len(found) >= 2)
    await trade.quiet()
    assert (await trade.agreement()).verdict == "agree"
    before = await content(trade)
    rehearsed, ended = await replayed(trade, EVERYTHING)
    assert {one.outcome for one in rehearsed.rehearsed} == {"already_there"}, rehearsed.rehearsed
    assert {one.outcome for one in ended.outcomes} == {"already_there"}, ended.outcomes
    assert ended.state == "succeeded", ended.sentence
    assert await content(trade) == before
    assert (await trade.agreement()).verdict == "agree"


async def test_what_is_on_its_way_while_everything_runs_again_is_booked_by_the_replay_and_told_of_nothing_else(trade):
    """Finance hears that an order was cancelled before it has noted the order: that waits, and nobody else does."""
    gone, late = trade.sale(warehouse=WEB_CONFIRMED), trade.sale(warehouse=WEB_CONFIRMED)

    async def cancelled(sale):
        await trade.shop(CREATED, shopify.order(sale))
        await trade.shop(CANCELLED, shopify.cancelled(sale, sale.at))
        await trade.until(lambda: trade.order(sale), lambda found: all(line.cancelled_micro for line in found.lines))

    await cancelled(gone)
    await trade.quiet()
    where = trade.stack.endpoints().databases["finance"]
    connection = await asyncpg.connect(where.owner_dsn, password=Path(where.owner_password_file).read_text().strip())
    holding = connection.transaction()
    await holding.start()
    await connection.execute(HOLD_ORDER, order_id(late.company.code, WEB, late.number), late.company.currency)
    await cancelled(late)
    somebody = await asyncpg.connect(where.owner_dsn, password=Path(where.owner_password_file).read_text().strip())
    await trade.until(lambda: somebody.fetch(NOT_SOON, late.number), bool)
    await somebody.execute("CALL trust_touched('parked', 'a test')")  # The hand was ours.
    await somebody.close()
    await holding.rollback()
    await trade.until(trade.under_way, lambda left: left == ["finance: 1 parked, 0 in the outbox"])
    rehearsed, ended = await replayed(trade, EVERYTHING)
    booked = [("finance-release-deposits", "booked", 1)]
    for outcomes in (rehearsed.rehearsed, ended.outcomes):
        assert [(one.flow, one.outcome, one.items) for one in outcomes if one.outcome != "already_there"] == booked
    await trade.quiet()
    assert await connection.fetch(WAITING, late.number) == []
    await connection.close()
    assert (await trade.agreement()).verdict == "agree"


async def test_what_a_satellite_sent_is_found_by_its_name(trade):
    sale = trade.sale(AMPLE[3])
    await trade.shop(CREATED, shopify.order(sale))
    await trade.until(lambda: trade.vouchers(sale), bool)
    selection = Selection(satellite=WEB, order_nos=(sale.number,))
    view = await trade.until(  # Submitted, placed, shipped, to each who hears it, once control has heard of all that.
        lambda: call(trade.client, FREEZE_REPLAY, FreezeReplay(selection, WHY)), lambda found: found.items >= 4
    )
    assert view.documents == 1
    assert view.frozen_by == "admin"


async def test_a_refused_document_is_mapped_again_as_the_first_step_of_all(trade):
    unknown = Article(f"NEW-{trade.sale().number}", "Not listed yet", 1000, 400)
    sale = trade.sale(unknown)
    await trade.shop(CREATED, shopify.order(sale))

    async def refused():
        view = await call(trade.client, FREEZE_REPLAY, FreezeReplay(intake, WHY))
        await call(trade.client, REHEARSE_REPLAY, RehearseReplay(view.replay))
        shown = ShowReplay(view.replay)
        return await trade.until(
            lambda: call(trade.client, SHOW_REPLAY, shown), lambda found: found.state == "rehearsed"
        )

    intake = Selection(order_nos=(sale.number,), step="intake")
    view = await trade.until(refused, lambda found: [one.outcome for one in found.rehearsed] == ["failed"])
    assert [(one.flow, one.reason) for one in view.rehearsed] == [("intake", "unknown_sku")]
    await establish.list_articles(trade.client, sale.company.code, [ListedArticle(sku=unknown.sku, name=unknown.name)])
    await establish.wait_until_learned(trade.client)
    rehearsed, ended = await replayed(trade, intake)
    assert [one.outcome for one in rehearsed.rehearsed] == ["booked"]
    assert ([one.outcome for one in ended.outcomes], ended.state) == (["booked"], "succeeded"), ended
    _, again = await replayed(trade, intake)
    assert [one.outcome for one in again.outcomes] == ["already_there"]


async def sold_and_missed_by_finance(trade, count):
    """Orders that are shipped, and that finance's consumer confirmed without ever seeing them."""
    await trade.quiet()
    await trade.stack.stop_service("finance")
    sales = [trade.sale(AMPLE[index % len(AMPLE)], pieces=1) for index in range(count)]
    for sale in sales:
        await trade.shop(CREATED, shopify.order(sale))
    for sale in sales:
        await trade.until(
            lambda sale=sale: trade.order(sale), lambda found: all(line.shipped_micro for line in found.lines)
        )
    js = (await trade.stack.operator()).jetstream()
    config = (await js.consumer_info("INVENTORY", BILLING)).config
    await js.delete_consumer("INVENTORY", BILLING)
    await js.add_consumer("INVENTORY", replace(config, deliver_policy=DeliverPolicy.NEW))
    trade.stack.start_service("finance")
    await trade.quiet()
    return sales


async def test_a_replay_goes_on_by_itself_when_control_was_killed_in_the_middle_and_books_nothing_twice(trade):
    sales = await sold_and_missed_by_finance(trade, 40)
    assert [await trade.vouchers(sale) for sale in sales[:2]] == [[], []]
    selection = Selection(order_nos=tuple(sale.number for sale in sales), step=BILLING)
    view = await call(trade.client, FREEZE_REPLAY, FreezeReplay(selection, WHY))
    shown = ShowReplay(view.replay)

    async def show():
        return await call(trade.client, SHOW_REPLAY, shown)

    await call(trade.client, REHEARSE_REPLAY, RehearseReplay(view.replay))
    await trade.until(show, lambda found: found.state == "rehearsed")
    await call(trade.client, RUN_REPLAY, RunReplay(view.replay, WHY, per_second=4))
    half = await trade.until(show, lambda found: found.done >= 4)
    assert (half.state, half.done < 40) == ("running", True)
    trade.stack.kill_service("control")
    await asyncio.sleep(0.2)  # Whoever asks it in this moment is never answered.
    stands = await trade.until(show, bool)
    assert (stands.done >= half.done, stands.items) == (True, 40)
    ended = await trade.until(show, lambda found: found.state in ("succeeded", "unproved"))
    assert (ended.state, ended.done) == ("succeeded", 40), ended
    outcomes = {one.outcome: one.items for one in ended.outcomes}
    assert sum(outcomes.values()) == 40
    assert outcomes.keys() <= {"booked", "already_there"}  # Of what it had in hand when it died, the latter.
    assert outcomes["booked"] >= 40 - 10
    assert [one.action for one in ended.log] == ["frozen", "rehearsed", "ended", "run", "taken_over", "ended"]
    assert [len(await trade.vouchers(sale)) for sale in sales] == [1] * 40
    await trade.quiet()
    assert (await trade.agreement()).verdict == "agree"
