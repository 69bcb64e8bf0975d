"""Failed orders are told to a real collector afterwards: none is skipped because many failed at once."""

import asyncio
from uuid import uuid4

import pytest
from tieout.control.domain.objective import Objective
from tieout.control.retelling import CHAINS_MAX, Retelling
from tieout.devstack.collector import Receiver
from tieout.servicekit import Database
from tieout.servicekit.live_tracing import LiveTracing

LETTERS = """
INSERT INTO dead_letter (letter_id, at, service, flow, subject, reason, field, detail, order_no, company, chain_id,
    position, attempts, letter)
SELECT gen_random_uuid(), now(), 'finance', 'finance-bill-shipments', 'inventory.shipped.v1', 'broken', '', '', chain,
    'C1', chain, 1, 1, '' FROM unnest($1::text[]) AS chain
"""


async def test_more_failed_orders_than_one_look_tells_have_their_turn_at_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver()
    for name, value in receiver.environment.items():
        monkeypatch.setenv(name, value)  # The exporter reads the environment of its process.
    try:
        database.tracing = LiveTracing("control", "1", {**receiver.environment, "OTEL_TRACES_SAMPLER_ARG": "0"})
        chains = {str(uuid4()) for _ in range(CHAINS_MAX + 3)}
        await database.pool.execute(LETTERS, [*chains, "no chain of ours"])
        retelling = Retelling(Objective(30.0))
        for _ in range(2):
            await retelling.tell(database)
        await asyncio.to_thread(database.tracing.close)
        assert {span.told["order.no"] for span in receiver.spans} == chains
    finally:
        receiver.close()
