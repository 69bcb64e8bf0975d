"""The operations of all services as HTTP: permission, fields, problems, audit, and their description."""

import asyncio
import contextlib
from urllib.parse import quote

import httpx
import pytest
from tieout.contracts.inventory import ArticlesListed
from tieout.contracts.operation import Operation
from tieout.contracts.order import CANCEL_ORDER, SHOW_ORDER, CancelAnswer, CancelOrder, OrderView, ShowOrder
from tieout.devstack.patience import PATIENCE_SECONDS, until
from tieout.gateway.flows import put_satellite
from tieout.gateway.http import asking
from tieout.gateway.http.operations import BODY_BYTES_MAX, OPERATIONS
from tieout.servicekit import Refused
from tieout.servicekit.rpc import Answers, Endpoints


def problem(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["instance"]) == (
        code,
        answer.request.url.raw_path.decode().partition("?")[0],
    )
    return answer.json()


@pytest.mark.parametrize("path", ["/v1/satellites", "/v1/orders", "/v1/agreement"])
async def test_operations_need_the_token(house, path):
    assert "is needed" in problem(await house.client.get(path), 401, "unauthorized")["detail"]
    told = problem(await house.client.get(path, headers={"Authorization": "Bearer wrong"}), 401, "unauthorized")
    assert "unknown, expired or revoked" in told["detail"]
    problem(
        await house.client.get(path, headers={"Authorization": f"Bearer {house.keys['till']}"}), 401, "unauthorized"
    )


async def test_what_does_not_exist_is_a_problem_too(house):
    problem(await house.client.get("/v1/nothing"), 404, "not_found")
    answer = await house.client.delete("/v1/satellites", headers=house.admin)
    problem(answer, 405, "method")
    assert "GET" in answer.headers["allow"]
    assert (await house.client.head("/healthz")).status_code == 200
    assert (await house.client.get("/healthz/")).status_code == 200


async def test_a_refusal_reaches_a_client_that_is_still_sending(start):
    house = await start(body_seconds_max=2.0)
    too_large = b" " * (BODY_BYTES_MAX + 1)
    put = house.client.put
    problem(await put("/v1/satellites/x", content=too_large, headers=house.admin), 413, "too_large")
    problem(await put("/v1/satellites/x", content=too_large), 401, "unauthorized")
    assert await house.pool.fetchval("SELECT array_agg(status) FROM audit WHERE path = '/v1/satellites/x'") == [413]

    reader, writer = await asyncio.open_connection("127.0.0.1", house.client.base_url.port)
    writer.write(b"PUT /v1/satellites/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    told = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (writer.is_closing() or reader.at_eof()):
                writer.write(b"1\r\nx\r\n")
                await asyncio.sleep(0.02)
                with contextlib.suppress(TimeoutError):
                    told += await asyncio.wait_for(reader.read(1000), 0.02)
    assert told.startswith(b"HTTP/1.1 401")
    writer.close()


async def test_fields_are_checked_and_named(house):
    get, admin = house.client.get, house.admin
    told = problem(await get("/v1/quarantine", params={"limit": "lots"}, headers=admin), 422, "invalid")
    assert told["field"] == "limit"
    assert problem(await get("/v1/quarantine?limit=1000", headers=admin), 422, "invalid")["field"] == "limit"
    assert problem(await get("/v1/quarantine?lmit=1", headers=admin), 422, "invalid")["field"] == "lmit"
    assert problem(await get("/v1/documents/not-an-id", headers=admin), 422, "invalid")["field"] == "intake_id"
    put = house.client.put
    told = problem(await put("/v1/satellites/x", json={"zone": "posixrules"}, headers=admin), 422, "invalid")
    assert told["field"] == "zone"
    told = problem(await put("/v1/satellites/x", json={"due_days": "soon"}, headers=admin), 422, "invalid")
    assert told["field"] == "due_days"
    told = problem(await put("/v1/satellites/x", json={"colour": "red"}, headers=admin), 422, "invalid")
    assert told["field"] == "colour"
    told = problem(await put("/v1/satellites/not%20good", json={}, headers=admin), 422, "invalid")
    assert told["field"] == "satellite"
    problem(await put("/v1/satellites/x", content=b"{", headers=admin), 422, "invalid")
    problem(await put("/v1/satellites/x", content=b"[]", headers=admin), 422, "invalid")
    deep = problem(
        await put("/v1/satellites/x", content=b'{"a":' * 3000 + b"1" + b"}" * 3000, headers=admin), 422, "too_deep"
    )
    assert "nested deeper than 100 levels" in deep["detail"]
    twice = await put("/v1/satellites/x", content=b'{"zone":"UTC","zone":"Asia/Tokyo"}', headers=admin)
    assert problem(twice, 422, "invalid")["field"] == "zone"
    problem(
        await put("/v1/satellites/x", content=b"{}", headers={**admin, "Content-Type": "text/plain"}), 415, "media_type"
    )


async def test_a_field_deep_inside_that_nobody_knows_is_refused_too(house):
    articles = [{"sku": "A"}, {"sku": "B", "standard_cost": 5}]
    answer = await house.client.put("/v1/companies/C1/articles", json={"articles": articles}, headers=house.admin)
    told = problem(answer, 422, "invalid")
    assert told["field"] == "articles[1].standard_cost"
    assert "standard_cost_minor" in told["detail"]


async def test_a_satellites_settings_stay_where_they_are_not_named(house):
    await house.hear(ArticlesListed("C2", "warehouse-EAST", (), ("EAST",)))
    told = {"name": "Shop", "companies": ["C2"], "zone": "Europe/Berlin", "authentication": "hmac"}
    told |= {"default_warehouse": "EAST", "due_days": 7, "control_passes": "delivery"}
    path = "/v1/satellites/kept"
    assert (await house.client.put(path, json=told, headers=house.admin)).status_code == 200
    for change in ({}, {"name": "Shop 2"}, {"due_days": 0}, {"companies": []}, {"control_passes": ""}):
        told |= change
        answer = (await house.client.put(path, json=change, headers=house.admin)).json()
        assert answer["satellite"].items() >= told.items()
        assert "secret" not in answer
        (listed,) = [s for s in (await house.get("/v1/satellites"))["satellites"] if s["satellite"] == "kept"]
        assert listed == answer["satellite"]
    rotated = (await house.client.put(path, json={"rotate": True}, headers=house.admin)).json()
    assert rotated["satellite"].items() >= told.items()
    assert rotated["secret"]


async def test_a_satellite_speaks_for_companies_that_exist(house, monkeypatch):
    monkeypatch.setattr(put_satellite, "HEARD_SECONDS_MAX", 0.1)
    answer = await house.client.put("/v1/satellites/x", json={"companies": ["C1", "NOPE"]}, headers=house.admin)
    told = problem(answer, 422, "unknown_company")
    assert told["field"] == "companies"
    assert "PUT /v1/companies/NOPE" in told["detail"]


async def test_a_satellites_default_warehouse_is_one_that_somebody_described(house, monkeypatch):
    monkeypatch.setattr(put_satellite, "HEARD_SECONDS_MAX", 0.1)

    async def put(**body):
        return await house.client.put("/v1/satellites/x", json=body, headers=house.admin)

    told = problem(await put(companies=["C1"], default_warehouse="EATS"), 422, "unknown_warehouse")
    assert told["field"] == "default_warehouse"
    assert "it has MAIN, EAST" in told["detail"]
    assert "PUT /v1/companies/C1/warehouses/EATS" in told["detail"]
    everybody = problem(await put(default_warehouse="EATS"), 422, "unknown_warehouse")
    assert "EAST of C1" in everybody["detail"]
    assert "x" not in {one["satellite"] for one in (await house.get("/v1/satellites"))["satellites"]}
    assert (await put(companies=["C1"], default_warehouse="EAST")).status_code == 200
    told = problem(await put(companies=["C1", "C2"]), 422, "unknown_warehouse")  # C2 has none of this name.
    assert "PUT /v1/companies/C2/warehouses/EAST" in told["detail"]
    assert (await put(companies=["C1", "C2"], default_warehouse="MAIN")).status_code == 200
    assert (await put(name="X")).status_code == 200


async def test_a_default_warehouse_that_was_described_a_moment_ago_is_waited_for(house, monkeypatch):
    monkeypatch.setattr(put_satellite, "HEARD_SECONDS_MAX", PATIENCE_SECONDS)
    path = "/v1/satellites/x"
    body = {"companies": ["C1"], "default_warehouse": "NEW"}
    waiting = asyncio.create_task(house.client.put(path, json=body, headers=house.admin))
    await asyncio.sleep(0.2)
    await house.hear(ArticlesListed("C1", "warehouse-NEW", (), ("NEW",)))
    assert (await waiting).status_code == 200


async def test_a_currency_is_one_of_iso_4217_wherever_it_comes_in(house):
    company = {"name": "Nine", "zone": "Europe/Berlin"}
    for code in ("ZZZ", "XXX", "eur", "EU"):
        answer = await house.client.put("/v1/companies/C9", json={**company, "currency": code}, headers=house.admin)
        told = problem(answer, 422, "invalid")
        assert told["field"] == "currency"
        assert "ISO 4217" in told["detail"]
        assert "CNY" in told["detail"]
    answer = await house.client.put("/v1/companies/C9", json={**company, "currency": "KWD"}, headers=house.admin)
    problem(answer, 503, "unavailable")  # It went as far as to ask finance, which does not run here.


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/tickets/99999999999999999999999", "number"),
        ("/v1/dead-letters/9223372036854775808", "number"),
        ("/v1/replays/99999999999999999999999", "replay"),
        ("/v1/replays/1/items/99999999999999999999999", "item"),
        ("/v1/quarantine?after=9223372036854775808", "after"),
        ("/v1/satellites/1001/commands?until=9999-12-31T23:59:59-14:00", "until"),
        ("/v1/satellites/1001/commands?until=0001-01-01T00:00:00%2B14:00", "until"),
        ("/v1/settings?before=9999-12-31T23:59:59-14:00", "before"),
    ],
)
async def test_what_no_database_can_hold_is_refused_with_its_field(house, path, field):
    assert problem(await house.client.get(path, headers=house.admin), 422, "invalid")["field"] == field


async def test_a_token_cannot_end_after_the_end_of_time(house):
    body = {"name": "late", "actor": "anna", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59-14:00"}
    answer = await house.client.post("/v1/tokens", json=body, headers=house.admin)
    assert problem(answer, 422, "invalid")["field"] == "expires_at"


async def test_a_nul_is_refused_before_a_database_sees_it(house):
    get, put, admin = house.client.get, house.client.put, house.admin
    told = problem(await get("/v1/quarantine", params={"reason": "a\0b"}, headers=admin), 422, "invalid")
    assert told["field"] == "reason"
    told = problem(await get("/v1/orders/a%00", headers=admin), 422, "invalid")
    assert told["field"] == "order_no"
    told = problem(await put("/v1/satellites/x", json={"name": "a\0b"}, headers=admin), 422, "invalid")
    assert told["field"] == "name"
    assert (await put("/v1/satellites/x", json={"name": "a\\u0000b"}, headers=admin)).status_code == 200


UNSEEN = {
    "U+200B": "A\u200b",
    "U+202E": "\u202eA",
    "U+0009": "A\tB",
    "U+FE0F": "A\ufe0f",
    "U+0020": " A",
    "U+00A0": "A\u00a0",
}


@pytest.mark.parametrize("character", UNSEEN)
async def test_a_key_with_a_character_that_nobody_sees_is_refused_wherever_a_person_types_it(house, character):
    wrong = UNSEEN[character]
    put = {
        ("/v1/companies/C1/articles", "articles[1].sku"): {"articles": [{"sku": "A"}, {"sku": wrong}]},
        ("/v1/satellites/x", "companies[1]"): {"companies": ["C1", wrong]},
        ("/v1/satellites/x", "default_warehouse"): {"default_warehouse": wrong},
        (f"/v1/companies/C1/customers/{quote(wrong)}/credit-limits/CNY", "customer"): {"limit_minor": 1},
    }
    post = {
        (f"/v1/orders/{quote(wrong)}/cancel", "order_no"): {"idempotency_key": "k"},
        ("/v1/companies/C1/invoices", "number"): {"number": wrong},
        ("/v1/tokens", "actor"): {"name": "x", "actor": wrong},
    }
    for method, asked in (("PUT", put), ("POST", post)):
        for (path, field), body in asked.items():
            answer = await house.client.request(method, path, json=body, headers=house.admin)
            told = problem(answer, 422, "invalid")
            assert (told["field"], character in told["detail"]) == (field, True), told


async def test_a_name_that_ends_in_a_line_break_is_refused(house):
    """`$` in a pattern is also before it."""
    for path, field in (
        ("/v1/companies/C9%0A", "company"),
        ("/v1/satellites/x%0A", "satellite"),
        ("/v1/companies/C1/warehouses/W%0A", "warehouse"),
    ):
        told = problem(await house.client.put(path, json={}, headers=house.admin), 422, "invalid")
        assert (told["field"], "U+000A" in told["detail"]) == (field, True), told
    told = await house.post("/v1/tokens", name="x\n", actor="x")
    assert (told.status_code, told.json()["field"]) == (422, "name")


async def test_free_text_may_hold_what_keys_may_not(house):
    body = {"name": "شركة\u200fالشرق  "}
    assert (await house.client.put("/v1/satellites/x", json=body, headers=house.admin)).status_code == 200


async def test_a_service_that_does_not_run_is_said_to_be_away(house):
    told = problem(await house.client.get("/v1/orders/1001", headers=house.admin), 503, "unavailable")
    assert "order" in told["detail"]


async def test_another_services_answer_and_refusal_come_through(house, testbed, operator):
    async def show(request: ShowOrder, database: object) -> OrderView:
        raise Refused("not_found", f"No order {request.order_no} of {request.company}.", field="order_no", status=404)

    class Named:
        service, version = "order", "1.0.0"

    connection = await testbed.connect("order")
    endpoints = Endpoints(connection, Named())
    await endpoints.start([Answers(SHOW_ORDER, show)])
    try:
        answer = await house.client.get("/v1/orders/10%2F01", params={"company": "C1"}, headers=house.admin)
        told = problem(answer, 404, "not_found")
        assert (told["field"], told["detail"]) == ("order_no", "No order 10/01 of C1.")
    finally:
        await endpoints.stop()
        await connection.close()


class Named:
    service, version = "order", "1.0.0"


async def _standing(testbed, answers):
    """A process of the order service: its connection, so that it can be ended without a word."""
    connection = await testbed.connect("order")
    await Endpoints(connection, Named()).start([answers])
    return connection


def _vanish(connection):
    """As SIGKILL leaves it: the socket closes, nothing is said, nothing is drained."""
    connection._transport.close()
    connection.options["allow_reconnect"] = False


@pytest.fixture
def nobody_there(monkeypatch):
    """Set once the gateway has looked who is there, and found nobody."""
    found, look = asyncio.Event(), asking.Asking._present

    async def present(self, service):
        here = await look(self, service)
        if here == set():
            found.set()
        return here

    monkeypatch.setattr(asking.Asking, "_present", present)
    return found


async def test_a_question_that_a_process_died_with_is_asked_again_as_soon_as_the_service_is_back(
    house, testbed, nobody_there, monkeypatch
):
    for limit in ("ANSWER_SECONDS_MAX", "BACK_SECONDS_MAX"):
        monkeypatch.setattr(asking, limit, PATIENCE_SECONDS)
    asked = asyncio.Event()
    again = []

    async def hang(request: ShowOrder, database: object) -> OrderView:
        asked.set()
        await asyncio.Event().wait()

    async def refuse(request: ShowOrder, database: object) -> OrderView:
        again.append(request)
        raise Refused("not_found", f"No order {request.order_no}.", field="order_no", status=404)

    first = await _standing(testbed, Answers(SHOW_ORDER, hang))
    path = "/v1/orders/1001?company=C1"
    waiting = asyncio.create_task(house.client.get(path, headers=house.admin))
    await asked.wait()
    _vanish(first)
    await asyncio.wait_for(nobody_there.wait(), PATIENCE_SECONDS)
    second = await _standing(testbed, Answers(SHOW_ORDER, refuse))
    try:
        # Whoever had it first never answers: that there is an answer at all says that somebody was asked anew.
        assert problem(await waiting, 404, "not_found")["detail"] == "No order 1001."
        assert len(again) == 1
    finally:
        await second.close()


async def test_a_question_whose_service_stays_away_is_told_so(house, testbed, monkeypatch):
    monkeypatch.setattr(asking, "BACK_SECONDS_MAX", 0.5)
    asked = asyncio.Event()

    async def hang(request: ShowOrder, database: object) -> OrderView:
        asked.set()
        await asyncio.Event().wait()

    first = await _standing(testbed, Answers(SHOW_ORDER, hang))
    waiting = asyncio.create_task(house.client.get("/v1/orders/1001?company=C1", headers=house.admin))
    await asked.wait()
    _vanish(first)
    told = await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    problem(told, 503, "unavailable")
    assert told.headers["retry-after"] == "1"


async def test_a_command_has_one_key(house):
    headers = [*house.admin.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    told = await house.client.post("/v1/orders/1001/cancel", json={"company": "C1"}, headers=headers)
    assert problem(told, 400, "repeated_header")["field"] == "Idempotency-Key"


async def test_a_command_that_a_process_died_with_is_not_repeated_and_told_as_unknown(house, testbed, nobody_there):
    asked, arrived = [], asyncio.Event()

    async def hang(request: CancelOrder, database: object) -> CancelAnswer:
        asked.append(request)
        arrived.set()
        await asyncio.Event().wait()

    first = await _standing(testbed, Answers(CANCEL_ORDER, hang))
    headers = {**house.admin, "Idempotency-Key": "k1"}
    waiting = asyncio.create_task(house.client.post("/v1/orders/1001/cancel", json={"company": "C1"}, headers=headers))
    await asyncio.wait_for(arrived.wait(), PATIENCE_SECONDS)
    _vanish(first)
    await asyncio.wait_for(nobody_there.wait(), PATIENCE_SECONDS)
    second = await _standing(testbed, Answers(CANCEL_ORDER, hang))
    told = problem(await asyncio.wait_for(waiting, PATIENCE_SECONDS), 504, "outcome_unknown")
    assert "is not known" in told["detail"]
    assert "same Idempotency-Key" in told["detail"]
    assert len(asked) == 1
    rows = await house.pool.fetch("SELECT status FROM audit WHERE operation = 'order.cancel'")
    assert [row["status"] for row in rows] == [504]
    await second.close()


async def test_who_is_slow_and_alive_is_waited_for_and_asked_once(house, testbed, monkeypatch):
    monkeypatch.setattr(asking, "LOOK_AFTER_SECONDS", 0.05)
    monkeypatch.setattr(asking, "LOOK_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(asking, "PING_SECONDS", 2.0)  # Both must have answered by then, also on a busy machine.
    asked, looks, look = [], [], asking.Asking._present

    async def present(self, service):
        looks.append(await look(self, service))
        return looks[-1]

    monkeypatch.setattr(asking.Asking, "_present", present)

    async def slow(request: ShowOrder, database: object) -> OrderView:
        asked.append(request)
        while len(looks) < 2:  # noqa: ASYNC110 - the gateway looks twice who is there, and goes on waiting
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)  # Else the answer would come before it can draw conclusions.
        raise Refused("not_found", "There is none.", field="order_no", status=404)

    first, second = [await _standing(testbed, Answers(SHOW_ORDER, slow)) for _ in range(2)]
    problem(await house.client.get("/v1/orders/1001?company=C1", headers=house.admin), 404, "not_found")
    assert len(asked) == 1
    assert [len(here or ()) for here in looks[:2]] == [2, 2]
    await first.close()
    await second.close()


@pytest.mark.parametrize("code", ["timeout", "outcome_unknown"])
async def test_a_service_that_hangs_is_not_waited_for_to_the_end(code, house, testbed, monkeypatch):
    """Its processes are suspended: their connections stand, and not even a ping is answered."""
    monkeypatch.setattr(asking, "HANGS_SECONDS", 1.0)
    monkeypatch.setattr(asking, "ANSWER_SECONDS_MAX", 2 * PATIENCE_SECONDS)
    hung = await testbed.connect("order")
    for subject in ("rpc.order.>", "$SRV.PING.order"):
        await hung.subscribe(subject)
    await hung.flush()
    if code == "timeout":
        asked = house.client.get("/v1/orders/1001?company=C1", headers=house.admin)
    else:
        headers = {**house.admin, "Idempotency-Key": "k2"}
        asked = house.client.post("/v1/orders/1001/cancel", json={"company": "C1"}, headers=headers)
    told = problem(await asyncio.wait_for(asked, PATIENCE_SECONDS), 504, code)
    assert "The service order hangs: none of its processes answered a ping" in told["detail"]
    await hung.close()


async def test_a_change_whose_client_hung_up_is_audited(house):
    _, writer = await asyncio.open_connection("127.0.0.1", house.client.base_url.port)
    head = f"PUT /v1/satellites/y HTTP/1.1\r\nHost: x\r\nAuthorization: {house.admin['Authorization']}\r\n"
    writer.write(head.encode() + b"Content-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    found = await until(lambda: house.pool.fetch("SELECT status FROM audit WHERE path = '/v1/satellites/y'"))
    assert [row["status"] for row in found] == [400]


async def test_changes_are_audited_and_questions_are_not(house):
    await house.get("/v1/satellites")
    await house.client.put("/v1/satellites/x", json={"zone": "nowhere"}, headers=house.admin)
    rows = await house.pool.fetch("SELECT who, operation, path, status FROM audit ORDER BY entry")
    assert tuple(rows[-1]) == ("admin", "gateway.put_satellite", "/v1/satellites/x", 422)
    assert {row["operation"] for row in rows} == {"gateway.put_satellite"}


async def test_a_secret_is_shown_once_and_kept_where_nobody_reads_it(house, service_database):
    made = await house.client.put("/v1/satellites/new", json={}, headers=house.admin)
    assert len(made.json()["secret"]) > 30
    again = await house.client.put("/v1/satellites/new", json={"name": "New"}, headers=house.admin)
    assert "secret" not in again.json()
    assert made.json()["secret"] not in (await house.client.get("/v1/satellites", headers=house.admin)).text
    stored = await house.pool.fetchrow("SELECT key_hash, secret FROM satellite_secret WHERE satellite = 'new'")
    assert (len(stored["key_hash"]), stored["secret"]) == (32, None)
    short = await house.client.put(
        "/v1/satellites/shop2", json={"authentication": "shopify", "secret": "short"}, headers=house.admin
    )
    problem(short, 422, "invalid")


async def test_the_description_covers_every_operation(house):
    description = (await house.client.get("/openapi.json")).json()
    assert description["openapi"] == "3.1.0"
    described = {
        operation["operationId"] for methods in description["paths"].values() for operation in methods.values()
    }
    assert {operation.name for operation in OPERATIONS} < described
    references = set(_references(description))
    assert references <= {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}
    assert description["paths"]["/v1/intake/{satellite}/{channel}"]["post"]["responses"]["202"]


def _references(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


async def test_no_two_operations_share_a_route():
    routes = [(operation.method, _shape(operation)) for operation in OPERATIONS]
    assert len(routes) == len(set(routes))


def _shape(operation: Operation) -> str:
    return "/".join("*" if part.startswith("{") else part for part in operation.path.split("/"))


async def test_the_page_to_try_them_needs_nothing_from_outside(house):
    page = await house.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert httpx.codes.is_success(page.status_code)


async def test_the_page_says_what_to_do_where_the_description_does_not_come(house):
    page = (await house.client.get("/docs")).text
    assert "if (!answer.ok) throw" in page
    assert ".catch(error => {" in page.rpartition("fetch(")[2]
    for word in ("could not be loaded", "./tieout status", "Try again", 'role: "alert"'):
        assert word in page


async def test_an_orders_number_has_one_name_in_all_routes():
    assert [o.path for o in OPERATIONS if "order_number" in o.path] == []


async def test_an_admin_token_that_was_exchanged_lets_in_without_a_restart_and_the_old_one_no_longer(house, tmp_path):
    new = {"Authorization": "Bearer another-one"}
    assert (await house.client.get("/v1/satellites", headers=house.admin)).status_code == 200
    problem(await house.client.get("/v1/satellites", headers=new), 401, "unauthorized")
    (tmp_path / "token").write_text("another-one\n")
    ask = house.client.get
    await until(lambda: ask("/v1/satellites", headers=new), lambda answer: answer.status_code == 200)
    problem(await house.client.get("/v1/satellites", headers=house.admin), 401, "unauthorized")
    (tmp_path / "token").unlink()  # What cannot be read leaves what was.
    await asyncio.sleep(1.1)
    assert (await house.client.get("/v1/satellites", headers=new)).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/replays/3/run", {"reason": "  "}, "reason"),
        ("/v1/replays/3/run", {}, "reason"),
        ("/v1/repairs", {"token": "x", "reason": ""}, "reason"),
        ("/v1/quarantine/dismiss", {"upto": 1, "satellite": "web", "note": " "}, "note"),
    ],
)
async def test_a_missing_reason_is_told_by_its_field_and_what_to_do(house, path, body, field):
    told = problem(await house.client.post(path, json=body, headers=house.admin), 422, "invalid")
    assert (told["detail"], told["field"]) == (
        f"{field}: say why in a few words, for whoever looks at this later.",
        field,
    )
