"""The whole service on real Postgres and NATS: streams, permissions, acknowledgements, operations."""

import msgspec
from tieout.contracts.agreement import Digest, DigestRequest, Violations
from tieout.contracts.event import Envelope
from tieout.contracts.finance import PutCompany, TrialBalance, TrialBalanceRequest
from tieout.contracts.operation import Health, Nothing
from tieout.devstack.patience import ask, until
from tieout.devstack.testbed import events_of, stream_config
from tieout.finance.app import build
from tieout.finance.settings import Settings


async def test_shipments_flow_from_inventorys_stream_to_vouchers_in_the_finance_stream(
    desk, finance_database, operator
):
    jetstream = operator.jetstream()
    for producer in ("gateway", "order", "inventory"):
        await jetstream.add_stream(stream_config(producer))
    service = build(Settings.from_environment(finance_database.environment))
    await service.start()
    try:
        for n in range(200):
            await operator.publish("order.placed.v1", desk.message(desk.placed(str(n))).body)
            await operator.publish("inventory.shipped.v1", desk.message(desk.shipped(number=str(n))).body)
        await operator.publish("inventory.shipped.v1", b'{"no": "envelope"}')
        await operator.publish("inventory.shipped.v1", desk.message(desk.shipped(number="X", company="C7")).body)
        await operator.flush()
        pool = service.database.pool

        async def billed():
            query = "SELECT count(*) FROM open_item WHERE billed = 339 AND order_net IS NOT NULL"
            return await pool.fetchval(query) == 200

        async def paid():
            return await pool.fetchval("SELECT count(*) FROM settlement") == 1

        async def published():
            kinds = ("finance.receivable_opened.v1", "finance.settled.v1")
            return [len(await events_of(operator, "FINANCE", kind)) for kind in kinds] == [200, 1]

        await until(billed)  # Else its order is told of the money before it is told that it is paid.
        await operator.publish("finance.pay.v1", desk.message(desk.pay(339, ("7", 339))).body)
        await until(paid)
        await until(published)
        (told,) = await events_of(operator, "FINANCE", "finance.settled.v1")
        envelope = msgspec.json.decode(told, type=Envelope)
        assert (envelope.orderno, envelope.chainid) == ("7", str(desk.id("7")))

        # A message of a company that nobody knows waits; opening the company wakes it.
        opened = PutCompany(company="C7", name="Seven", currency="CNY", zone="Asia/Shanghai")
        await ask(operator, "rpc.finance.put_company", opened, Nothing)

        async def woken():
            return await pool.fetchval("SELECT count(*) FROM voucher WHERE company = 'C7'") == 1

        await until(woken)
        balance = await ask(operator, "rpc.finance.trial_balance", TrialBalanceRequest("C1"), TrialBalance)
        closing = {line.account: line.closing_minor for line in balance.lines}
        assert (balance.balanced, closing["1122"], closing["1002"]) == (True, 199 * 339, 339)
        for measure, book, a, b in ((4, "billed_quantity", 603_000_000, 0), (6, "billed", 60_300, 7_839)):
            digest = await ask(operator, "rpc.finance.digest", DigestRequest(measure, book, 10**6), Digest)
            assert [(entry.rows, entry.a, entry.b) for entry in digest.entries] == [(201, a, b)]
        assert (await ask(operator, "rpc.finance.violations", Nothing(), Violations)).violations == ()
        health = await ask(operator, "rpc.finance.health", Nothing(), Health)
        assert (health.ready, health.dead, health.parked) == (True, 1, 0)
    finally:
        await service.stop()
