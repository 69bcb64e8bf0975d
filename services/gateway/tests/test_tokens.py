"""Tokens for people and services: shown once, told apart by their actor, ended at once."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from tieout.contracts.order import CANCEL_ORDER, CancelAnswer, CancelOrder
from tieout.devstack.patience import until
from tieout.servicekit import ACTOR, Refused
from tieout.servicekit.rpc import Answers, Endpoints


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


async def entries_at(house, path):
    answer = await house.client.get("/v1/audit", params={"path": path}, headers=house.admin)
    return answer.json()["entries"]


async def make(house, name, **more):
    told = await house.post("/v1/tokens", **{"name": name, "actor": name, **more})
    assert told.status_code == 200, told.text
    return told.json()


async def test_a_token_is_shown_once_and_only_its_hash_is_kept(house):
    made = await make(house, "li", actor="Li Lei", scopes=["read"])
    secret = made["secret"]
    assert (made["token"]["actor"], made["token"]["state"], made["token"]["created_by"]) == ("Li Lei", "valid", "admin")
    listed = await house.client.get("/v1/tokens", headers=house.admin)
    assert [token["name"] for token in listed.json()["tokens"]] == ["li"]
    assert secret not in listed.text
    stored = await house.pool.fetchrow("SELECT * FROM api_token")
    assert stored["key_hash"] == hashlib.sha256(secret.encode()).digest()
    assert secret not in repr(dict(stored))
    for table in ("audit", "settings_change"):
        rows = await house.pool.fetch(f"SELECT {table}::text AS row FROM {table}")
        assert not any(secret in row["row"] for row in rows)
    again = await house.post("/v1/tokens", name="li", actor="Han Meimei")
    assert (again.status_code, again.json()["field"]) == (409, "name")


async def test_a_token_may_what_its_scopes_say(house):
    reader = bearer((await make(house, "reader"))["secret"])
    writer = bearer((await make(house, "writer", scopes=["read", "write"]))["secret"])
    hold = {"json": {"held": True}}
    assert (await house.client.get("/v1/satellites", headers=reader)).status_code == 200
    refused = await house.client.put("/v1/satellites/till/hold", headers=reader, **hold)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await house.client.put("/v1/satellites/till/hold", headers=writer, **hold)).status_code == 200
    for path in ("/v1/tokens", "/v1/audit"):
        assert (await house.client.get(path, headers=writer)).status_code == 403
    assert (await house.client.post("/v1/tokens", headers=writer, json={"name": "x", "actor": "x"})).status_code == 403


async def test_a_revoked_rotated_or_expired_token_lets_nobody_in(house):
    async def status(secret):
        return (await house.client.get("/v1/satellites", headers=bearer(secret))).status_code

    first = (await make(house, "robot"))["secret"]
    assert await status(first) == 200
    rotated = (await house.post("/v1/tokens/robot/rotate")).json()
    assert (await status(first), await status(rotated["secret"])) == (401, 200)
    assert rotated["token"]["rotated_by"] == "admin"
    revoked = (await house.post("/v1/tokens/robot/revoke")).json()
    assert (revoked["state"], await status(rotated["secret"])) == ("revoked", 401)
    assert (await house.post("/v1/tokens/robot/revoke")).json() == revoked
    assert (await house.post("/v1/tokens/robot/rotate")).status_code == 409
    assert (await house.get("/v1/tokens"))["tokens"] == []
    assert len((await house.get("/v1/tokens", all="true"))["tokens"]) == 1
    end = datetime.now(UTC) + timedelta(seconds=3)
    brief = (await make(house, "guest", expires_at=end.isoformat()))["secret"]
    assert await status(brief) == 200 or datetime.now(UTC) >= end
    await until(lambda: status(brief), lambda told: told == 401)
    assert datetime.now(UTC) >= end
    assert (await house.get("/v1/tokens", all="true"))["tokens"][0]["state"] == "expired"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "no name"}, "name"),
        ({"actor": ""}, "actor"),
        ({"actor": "Li, Han"}, "actor"),
        ({"actor": "admin"}, "actor"),
        ({"actor": "Ａdmin "}, "actor"),
        ({"actor": "finance templates 1"}, "actor"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["all"]}, "scopes[0]"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2120-01-01T00:00:00"}, "expires_at"),
    ],
)
async def test_what_is_no_token_is_told_with_its_field(house, wrong, field):
    told = await house.post("/v1/tokens", **{"name": "x", "actor": "x", **wrong})
    assert (told.status_code, told.json()["field"]) == (422, field), told.text


async def test_one_person_cannot_be_two_by_spelling(house):
    assert (await house.post("/v1/tokens", name="one", actor="Anna Li", scopes=["read"])).status_code == 200
    for spelling in ("ANNA LI", "anna  li", "Ａnna Li"):
        told = await house.post("/v1/tokens", name="two", actor=spelling, scopes=["read"])
        assert (told.status_code, told.json()["field"]) == (409, "actor"), told.text
    assert (await house.post("/v1/tokens", name="two", actor="Anna Li", scopes=["read"])).status_code == 200


async def test_who_changed_what_is_told(house):
    han = bearer((await make(house, "han-1", actor="韩梅梅", scopes=["read", "write", "admin"]))["secret"])
    await house.client.put("/v1/satellites/till", json={"companies": ["C1"], "name": "Till 1"}, headers=han)
    till = next(one for one in (await house.get("/v1/satellites"))["satellites"] if one["satellite"] == "till")
    assert (till["name"], till["changed_by"]) == ("Till 1", "韩梅梅")
    assert till["changed_at"] > till["created_at"]
    bad = await house.document(await house.send(house.order(currency="NIX")))
    path = f"/v1/quarantine/{bad['intake_id']}/dismiss"
    assert (await house.client.post(path, json={"note": "no"}, headers=han)).status_code == 200
    assert (await house.settled(bad["intake_id"]))["refusals"][0]["decided_by"] == "韩梅梅"
    again = await house.client.post(path.replace("dismiss", "resubmit"), json={}, headers=han)
    assert again.status_code == 409
    assert f"quarantine show {bad['intake_id']}" in again.json()["detail"]
    entries = (await house.get("/v1/audit", who="韩梅梅"))["entries"]
    assert [(e["token"], e["operation"], e["status"]) for e in entries] == [
        ("han-1", "gateway.resubmit", 409),
        ("han-1", "gateway.dismiss", 200),
        ("han-1", "gateway.put_satellite", 200),
    ]
    assert [e["operation"] for e in await entries_at(house, "/v1/tokens")] == ["gateway.create_token"]


async def test_other_services_see_the_actor_as_the_person(house, testbed):
    seen = []

    async def cancel(request: CancelOrder, database: object) -> CancelAnswer:
        seen.append(ACTOR.get())
        raise Refused("not_found", "No such order.", field="order_no", status=404)

    class Named:
        service, version = "order", "1.0.0"

    connection = await testbed.connect("order")
    endpoints = Endpoints(connection, Named())
    await endpoints.start([Answers(CANCEL_ORDER, cancel)])
    try:
        han = bearer((await make(house, "han", actor="韩梅梅 Ünal", scopes=["write"]))["secret"])
        body = {"company": "C1", "source": "till", "idempotency_key": "k"}
        for headers in (han, house.admin):
            answer = await house.client.post("/v1/orders/1001/cancel", json=body, headers=headers)
            assert answer.status_code == 404, answer.text
    finally:
        await endpoints.stop()
        await connection.close()
    assert seen == ["韩梅梅 Ünal", "admin"]
