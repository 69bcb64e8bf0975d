"""A database that was restored from an older backup, rebuilt from the gateway's own stream."""

from pathlib import Path

import asyncpg
from tieout.contracts.inventory import ArticlesListed
from tieout.gateway.app import build
from tieout.gateway.rebuilding import Rebuilding
from tieout.servicekit.database import open_pool
from tieout.servicekit.recovery import Recoverer

# All but when a row was written.
COMMANDS = """SELECT position, quantity_micro, amount_minor, id, chain_id, business_date, lines, kind, company,
    satellite, number, order_no, currency FROM command ORDER BY position"""
OUTBOX = "SELECT ids, bodies FROM outbox WHERE stream = 'GATEWAY' ORDER BY first_pos"
# What the backup did not have yet: everything but the two documents of before, of which one was in the queue and one in
# quarantine without a decision.
FORGET = """
UPDATE mark SET m = 0;
DELETE FROM decision;
DELETE FROM command;
DELETE FROM outbox;
DELETE FROM refusal WHERE id <> $quarantined$;
DELETE FROM raw_document WHERE id NOT IN ($quarantined$, $queued$);
INSERT INTO pending (satellite, documents, bytes, ids) VALUES ('till', 1, 1, ARRAY[$queued$]::uuid[]);
"""


def secret(file: str) -> str:
    return Path(file).read_text().strip()


async def brought_forward(house, operator, forget):
    """Its database forgets that, is recovered, and the gateway runs again."""
    settings = house.service.settings
    await house.service.stop()
    owner = await asyncpg.connect(settings.owner_url, password=secret(settings.owner_password_file))
    await owner.execute(forget)
    await owner.close()
    pool = await open_pool(settings.database_url, secret(settings.database_password_file), "gateway")
    work = Recoverer("gateway", house.service.flows, pool, operator.jetstream(), Rebuilding)
    await work.examine()
    found = await work.run()
    await pool.close()
    house.service = build(settings)
    await house.service.start()
    return found


async def test_commands_stand_again_and_what_led_to_none_is_told(house, operator):
    await house.client.put("/v1/satellites/till/hold", json={"held": True}, headers=house.admin)
    queued = (await house.send(house.order(number="queued"))).json()["intake_id"]
    await house.client.put("/v1/satellites/till/hold", json={"held": False}, headers=house.admin)
    assert (await house.settled(queued))["state"] == "mapped"
    strange = house.order(number="strange")
    strange["lines"][0]["sku"] = "NEW"
    quarantined = (await house.document(await house.send(strange)))["intake_id"]
    await house.hear(ArticlesListed("C1", "l9", ("NEW",)))
    await house.post(f"/v1/quarantine/{quarantined}/resubmit", note="it is known now")
    assert (await house.settled(quarantined))["state"] == "mapped"
    bad = house.order(number="bad")
    bad["lines"][0]["sku"] = "NOBODY"
    several = await house.send([house.order(number="first"), bad, house.order(number="third")])
    first = await house.document(several)
    refused = several.json()["accepted"][0]["last_id"]
    await house.settled(refused)
    await house.quiet()
    before = await house.pool.fetch(COMMANDS)
    outbox = await house.pool.fetch(OUTBOX)
    assert len(before) == 4

    found = await brought_forward(
        house, operator, FORGET.replace("$quarantined$", f"'{quarantined}'").replace("$queued$", f"'{queued}'")
    )

    assert found.exact
    assert found.again == 4
    assert await house.pool.fetch(COMMANDS) == before
    assert await house.pool.fetch(OUTBOX) == outbox
    (till,) = (one for one in found.send_again if one.sender == "till")
    assert (till.rebuilt, till.lost) == (2, 1)  # The refused one stood between two whose commands came back.
    assert await house.pool.fetchval("SELECT count(*) FROM pending") == 0
    assert await house.pool.fetchval("SELECT decided_by FROM decision") == "recovery"
    rebuilt = await house.get(f"/v1/documents/{first['intake_id']}")
    assert (rebuilt["state"], rebuilt["bytes"], len(rebuilt["commands"])) == ("rebuilt", 0, 1)
    assert (await house.get(f"/v1/documents/{queued}"))["state"] == "mapped"  # Its bytes were in the backup.
    lost = f"{first['intake_id'][:-3]}010"
    answer = await house.client.get(f"/v1/documents/{lost}", headers=house.admin)
    assert answer.status_code == 404
    assert "Send the document again" in answer.text


async def test_an_order_whose_bytes_the_backup_has_is_known_to_the_documents_that_name_it_by_the_shops_id(
    house, operator
):
    """One was in the queue when the backup was made, one in quarantine: neither is mapped again, and whoever sends them
    again is answered that they are here."""
    strange = house.shopify_order(1002, id=1002)
    strange["line_items"][0]["sku"] = "NEW"
    refused = (await house.document(await house.webhook("orders/create", strange)))["intake_id"]
    assert (await house.settled(refused))["state"] == "quarantined"
    await house.hear(ArticlesListed("C1", "l9", ("NEW",)))
    await house.post(f"/v1/quarantine/{refused}/resubmit", note="it is known now")
    assert (await house.settled(refused))["state"] == "mapped"
    named = {"X_Shopify_Webhook_Id": "w1"}
    order = house.shopify_order(1001, id=1001)
    queued = (await house.document(await house.webhook("orders/create", order, **named)))["intake_id"]
    early = {
        "id": 9001,
        "order_id": 1001,
        "kind": "sale",
        "status": "success",
        "amount": "118.52",
        "currency": "CNY",
        "created_at": "2026-11-01T10:00:00+08:00",
    }
    paid = (await house.document(await house.webhook("order_transactions/create", early)))["intake_id"]
    await house.quiet()

    found = await brought_forward(
        house,
        operator,
        f"""
        UPDATE mark SET m = 0;
        DELETE FROM decision;
        DELETE FROM command;
        DELETE FROM outbox;
        DELETE FROM known_order;
        DELETE FROM raw_document WHERE id = '{paid}';
        INSERT INTO pending (satellite, documents, bytes, ids) VALUES ('shop', 1, 1, ARRAY['{queued}']::uuid[]);
        """,
    )

    assert found.exact
    assert await house.pool.fetchval("SELECT count(*) FROM pending") == 0
    again = await house.webhook("orders/create", order, **named)
    assert again.json()["intake_id"] == queued
    for number, order_id in ((9001, 1001), (9002, 1001), (9003, 1002)):
        later = {**early, "id": number, "order_id": order_id}
        answer = await house.document(await house.webhook("order_transactions/create", later))
        assert answer["state"] == "mapped"
