"""Raw documents are let go by whole weeks: never one that is not settled, and what they led to stays."""

import asyncpg
from tieout.gateway.flows.forget_documents import WEEKS_AHEAD, forget_once

FAR = -60  # "Ended so many days ago" for weeks that have not even ended.


async def test_a_week_goes_once_its_documents_are_settled_and_their_commands_stay(house):
    good = await house.document(await house.send(house.order()))
    bad = await house.document(await house.send({**house.order(), "currency": "XXX"}))
    assert (good["state"], bad["state"]) == ("mapped", "quarantined")
    assert await forget_once(house.service.database, 0, 0) == []
    assert "raw_document_first" not in await forget_once(house.service.database, FAR, 0), "one is in quarantine"
    dismissed = await house.post(f"/v1/quarantine/{bad['intake_id']}/dismiss", note="not ours")
    assert dismissed.status_code == 200
    before = await house.get("/v1/gateway-outcomes")
    assert await forget_once(house.service.database, FAR, 0) == ["raw_document_first"]
    assert await house.pool.fetchval("SELECT count(*) FROM raw_document") == 0
    assert await house.pool.fetchval("SELECT count(*) FROM command") == 1
    assert await house.get("/v1/gateway-outcomes") == before
    kept = await house.pool.fetchrow("SELECT part, documents, from_at FROM forgotten_documents WHERE documents > 0")
    assert tuple(kept) == ("raw_document_first", 2, None)
    again = await house.document(await house.send(house.order()))
    assert again["state"] == "mapped"


async def test_weeks_are_ready_before_they_begin_and_guarded_like_any_fact(house, service_database):
    database = await service_database("gateway")
    owner = await asyncpg.connect(database.owner_url)
    try:
        parts = await owner.fetch(
            "SELECT relid::regclass::text AS part FROM pg_partition_tree('raw_document') WHERE isleaf"
        )
        assert len(parts) == WEEKS_AHEAD + 2  # The first one, and the rest.
        assert await owner.fetchval("SELECT prepare_document_weeks(9)") == 1
        assert await owner.fetchval("SELECT prepare_document_weeks(9)") == 0
        assert await owner.fetch("SELECT * FROM unarmed_tables()") == []
        week = await owner.fetchval(
            "SELECT max(c.relname) FROM pg_partition_tree('raw_document') p JOIN pg_class c ON c.oid = p.relid "
            "WHERE c.relname ~ '[0-9]$'"
        )
        await owner.execute(
            f"INSERT INTO {week} (id, satellite, channel, topic, body) "
            f"SELECT instant_id, 's', 'c', 't', 'x' FROM first_id(now() + interval '9 weeks') AS instant_id"
        )
        assert await owner.fetchval("SELECT count(*) FROM tamper WHERE tab = 'raw_document'") == 1
    finally:
        await owner.close()


async def test_above_its_bytes_only_weeks_older_than_a_month_go(house):
    await house.document(await house.send(house.order()))
    assert await forget_once(house.service.database, 0, 1) == []
