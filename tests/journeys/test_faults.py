"""Things break in the middle; afterwards the books agree and nothing is missing or there twice."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from tieout.contracts.repair import PREVIEW_REPAIR, RUN_REPAIR, RepairPreviewRequest, RepairRequest
from tieout.devstack.calling import call
from tieout.devstack.trading_day import canonical, shopify
from tieout.devstack.trading_day.catalogue import AMPLE, EU, MICRO, WEB_CONFIRMED, WEB_WAREHOUSE

CREATED, CANCELLED = "orders/create", "orders/cancelled"
ORDER_NET = "UPDATE open_item SET order_net = $2 WHERE item_id = $1"
DUE_NOW = "UPDATE parked SET due_at = now() WHERE order_no = $1"
# Who has it in hand would park it again with a time of his own.
PUT_OFF = "UPDATE parked SET due_at = now() + interval '1 hour' WHERE order_no = $1 AND claims = 0 RETURNING true"
AT_THE_LOCK = "SELECT FROM pg_locks WHERE NOT granted"
UNSENT = """SELECT o.batch, o.bodies FROM outbox o JOIN command c ON c.position = ANY (o.pos)
            WHERE c.number = $1 AND o.first_seq IS NULL AND o.stream = 'GATEWAY'"""
# What a process has in hand at its first attempt is free for others so soon, if it says no more.
FREE_SOON = "SELECT due_at <= now() + interval '6 seconds' FROM parked WHERE order_no = $1"

SURPLUS = """INSERT INTO shipped_line (position, order_position, from_micro, to_micro, net_minor, tax_minor, line_no,
                                       from_reserved)
             SELECT position, order_position, 0, 1000000, 0, 0, 99, from_reserved FROM shipped_line
             WHERE order_id_at(order_position)::text = $1::text LIMIT 1 RETURNING position"""


@asynccontextmanager
async def owner_of(trade, service):
    """A connection behind the service's back."""
    where = trade.stack.endpoints().databases[service]
    connection = await asyncpg.connect(where.owner_dsn, password=Path(where.owner_password_file).read_text().strip())
    try:
        yield connection
    finally:
        await connection.close()


async def sell(trade, count):
    sales = [trade.sale(AMPLE[index % len(AMPLE)], pieces=1) for index in range(count)]
    for start in range(0, count, 10):
        await asyncio.gather(*(trade.shop(CREATED, shopify.order(sale)) for sale in sales[start : start + 10]))
    return sales


async def vouchers_of(trade, sales):
    return [len(found) for found in await asyncio.gather(*(trade.vouchers(sale) for sale in sales))]


@pytest.mark.parametrize("service", ["gateway", "order", "inventory", "finance", "control"])
async def test_a_service_killed_under_load_loses_and_doubles_nothing(trade, service):
    selling = asyncio.create_task(sell(trade, 60))
    await asyncio.sleep(0.1)
    trade.stack.kill_service(service)
    sales = await selling
    await trade.until(lambda: vouchers_of(trade, sales), lambda counts: counts == [1] * len(sales))
    agreement = await trade.agreement()
    assert agreement.verdict == "agree", agreement.sentence


async def test_a_broker_killed_under_load_loses_and_doubles_nothing(trade):
    selling = asyncio.create_task(sell(trade, 60))
    await asyncio.sleep(0.1)
    trade.stack.restart_hub(kill=True)
    sales = await selling
    await trade.until(lambda: vouchers_of(trade, sales), lambda counts: counts == [1] * len(sales))
    assert (await trade.agreement()).verdict == "agree"


async def test_a_parked_message_is_tried_again_soon_when_its_process_was_killed_in_the_middle(trade):
    """A cancellation waits in finance for its order, runs again, and hangs at a lock when finance is killed."""
    sale = trade.sale(warehouse=WEB_CONFIRMED)
    await trade.shop(CREATED, shopify.order(sale))
    await trade.quiet()
    chain = (await trade.order(sale)).summary.order_id
    async with owner_of(trade, "finance") as owner, owner_of(trade, "finance") as holder:
        terms = await owner.fetchval("SELECT order_net FROM open_item WHERE item_id = $1", chain)
        await owner.execute(ORDER_NET, chain, None)  # As if order.placed had not been heard of yet.
        await trade.shop(CANCELLED, shopify.cancelled(sale, sale.at))
        await trade.until(lambda: owner.fetch(PUT_OFF, sale.number), bool)
        await owner.execute(ORDER_NET, chain, terms)
        async with holder.transaction():
            await holder.execute("SELECT FROM open_item WHERE item_id = $1 FOR UPDATE", chain)
            await owner.execute(DUE_NOW, sale.number)
            await trade.until(lambda: owner.fetch(AT_THE_LOCK), bool)
            trade.stack.kill_service("finance")
            assert await owner.fetchval(FREE_SOON, sale.number)
        stopped = "SELECT FROM stopped_line WHERE item_id = $1"
        await trade.until(lambda: owner.fetch(stopped, chain), bool)
        for table in ("open_item", "parked"):  # The hand was ours.
            await owner.execute(f"CALL trust_touched('{table}', 'a test')")
    await trade.quiet()
    assert (await trade.agreement()).verdict == "agree"


CHANGES = {
    "order": "UPDATE order_line SET net_minor = net_minor + $2 WHERE order_id_at(position) = $1::text",
    "inventory": "UPDATE move SET quantity_micro = quantity_micro + $2 WHERE chain_id = $1::uuid",
    "finance": "UPDATE posted_line SET net_minor = net_minor + $2 WHERE chain_id = $1::uuid",
}


@pytest.mark.parametrize("service", CHANGES)
async def test_a_row_changed_by_hand_is_found_and_named_and_a_repair_is_believed(trade, service):
    (sale,) = await sell(trade, 1)
    await trade.until(lambda: trade.vouchers(sale), bool)
    assert (await trade.agreement()).verdict == "agree"
    order_id = str((await trade.order(sale)).summary.order_id)
    async with owner_of(trade, service) as connection:
        try:
            await connection.execute(CHANGES[service], order_id, 7)
            found = await trade.agreement()
            assert found.verdict == "differ"
            assert (EU.code, sale.number) in {(one.company, one.order_no) for one in found.differences}
            assert service in {owner for owner, _ in found.violations}
        finally:
            await connection.execute(CHANGES[service], order_id, -7)
    assert (await trade.agreement()).verdict == "agree"


async def test_a_row_that_no_event_has_is_reversed_though_the_service_itself_wrote_it(trade):
    (sale,) = await sell(trade, 1)
    await trade.until(lambda: trade.vouchers(sale), bool)
    assert (await trade.agreement()).verdict == "agree"
    order_id = (await trade.order(sale)).summary.order_id
    where = trade.stack.endpoints().databases["order"]
    itself = await asyncpg.connect(where.dsn, password=Path(where.password_file).read_text().strip())
    async with owner_of(trade, "order") as owner:
        try:
            await itself.fetchval(SURPLUS, str(order_id))
            found = await trade.agreement()
            told = [(one.name, one.cause, one.service, one.line_no, one.surplus) for one in found.differences]
            both = [(name, "edited_by_hand", "order", 99, True) for name in ("shipped", "billed")]
            assert told == both, found.sentence  # One row, in the books of two measures; the second has only two books.
            assert {(one.cause, one.events) for one in found.causes} == {("edited_by_hand", 1)}
            states = {(one.measure, one.state) for one in await repaired(trade)}
            assert states == {("shipped", "proved"), ("billed", "proved")}
            assert (await trade.agreement()).verdict == "agree"
            still = await itself.fetchval("SELECT count(*) FROM shipped_line WHERE line_no = 99")
            assert still == 1  # No fact is edited.
            assert (await call(trade.client, PREVIEW_REPAIR, RepairPreviewRequest())).steps == ()
        finally:
            await itself.close()
            await owner.execute("DELETE FROM shipped_line WHERE line_no = 99")
        # Whoever takes it out all the same leaves its reversal alone there: the next repair takes that out as well.
        assert {one.cause for one in (await trade.agreement()).differences} == {"edited_by_hand"}
        assert {one.state for one in await repaired(trade)} == {"proved"}
        left = await trade.agreement()
        assert left.differences == ()
        if left.violations:
            await owner.execute("CALL trust_touched('shipped_line', 'a test')")
    assert (await trade.agreement()).verdict == "agree"


async def repaired(trade):
    preview = await call(trade.client, PREVIEW_REPAIR, RepairPreviewRequest())
    assert all(step.runs for step in preview.steps)
    return (await call(trade.client, RUN_REPAIR, RepairRequest(preview.token, "a test"))).results


async def test_what_an_outbox_lost_or_had_altered_before_it_was_published_is_named_document_by_document(trade_apart):
    """The hub is away; meanwhile somebody with all rights takes a payment and a receipt out of the gateway's outbox,
    and alters the amount of another payment and the quantity of another receipt."""
    at = datetime.now(UTC) - timedelta(minutes=5)
    async with trade_apart() as trade:
        stack = trade.stack
        await trade.quiet()
        await asyncio.to_thread(stack.hub.stop)
        async with owner_of(trade, "gateway") as owner:
            for name, share in (("LOST", 1_000), ("ALTERED", 2_001), ("LEFT", 3_000)):  # Each in a row of its own.
                payment = canonical.payment(EU, f"PAY-{name}", at, 7, share, ())
                receipt = canonical.receipt(EU, f"GR-{name}", at, WEB_WAREHOUSE, "purchase", [(AMPLE[0], 13 * MICRO)])
                for body in (payment, receipt):
                    await trade.office(body)
                    mapped = "SELECT FROM command WHERE number = $1"
                    await trade.until(lambda: owner.fetch(mapped, body["number"]), bool)  # noqa: B023
            await stack.stop_service("gateway")  # So that only what stands in the table can be published.
            for name, said, forged in (
                ("PAY-ALTERED", b'"received_minor":2001', b'"received_minor":2002'),
                ("GR-ALTERED", b'"quantity_micro":13000000', b'"quantity_micro":31000000'),
            ):
                row = await owner.fetchrow(UNSENT, name)
                bodies = [body.replace(said, forged) for body in row["bodies"]]
                assert bodies != row["bodies"]
                await owner.execute("UPDATE outbox SET bodies = $2 WHERE batch = $1", row["batch"], bodies)
            for name in ("PAY-LOST", "GR-LOST"):
                row = await owner.fetchrow(UNSENT, name)
                await owner.execute("DELETE FROM outbox WHERE batch = $1", row["batch"])
        await asyncio.to_thread(stack.hub.start)
        stack.start_service("gateway")
        await stack.wait_until_ready()
        await trade.quiet()
        found = await trade.agreement()
        assert found.verdict == "differ", found.sentence
        told = {(one.name, one.order_no): (one.cause, "outbox does not hold" in one.why) for one in found.differences}
        assert told == {
            ("money_submitted", "PAY-LOST"): ("unknown", True),
            ("money_submitted", "PAY-ALTERED"): ("unknown", False),
            ("stock_submitted", "GR-LOST"): ("unknown", True),
            ("stock_submitted", "GR-ALTERED"): ("unknown", False),
        }
        preview = await call(trade.client, PREVIEW_REPAIR, RepairPreviewRequest())
        offered = {step.order_nos: (step.runs, step.words.partition(",")[0]) for step in preview.steps}
        unheard = "nobody has heard of these events: their producer has to announce them again"
        assert offered == {
            ("PAY-LOST",): (False, unheard),
            ("GR-LOST",): (False, unheard),
            ("PAY-ALTERED",): (False, "gateway takes them for handled"),
            ("GR-ALTERED",): (False, "gateway takes them for handled"),
        }
