"""The door: who may send, in which form, how much; and what a retry, a crash and a slow client do."""

import asyncio
import gzip
import hashlib
import hmac
import socket
import tracemalloc
import zlib

import httpx
import msgspec
import pytest
from tieout.devstack.patience import PATIENCE_SECONDS, until
from tieout.gateway.http.intake import Intake
from tieout.gateway.intake.splitting import Caps, Exceeded, Inflater, split
from tieout.servicekit import Refused

NDJSON = "application/x-ndjson"
SECRET = "a-secret-that-the-shop-knows-too"  # The house signs its webhooks with it.


def problem(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["code"]) == (status, code)
    assert told["detail"].strip()
    return told


async def test_nobody_gets_in_without_the_right_key(house):
    problem(await house.send(house.order(), X_Api_Key="wrong"), 401, "unauthorized")
    problem(await house.send(house.order(), satellite="nobody"), 401, "unauthorized")
    bearer = {"X_Api_Key": "", "Authorization": f"Bearer {house.keys['till']}"}
    assert (await house.send(house.order(), **bearer)).status_code == 202


async def test_a_webhook_needs_its_signature_over_the_very_bytes(house):
    body = msgspec.json.encode(house.shopify_order())
    assert (await house.webhook("orders/create", body)).status_code == 202
    forged = await house.webhook("orders/create", body, X_Shopify_Hmac_Sha256="bm90IGl0")
    problem(forged, 401, "unauthorized")


async def test_a_generic_signature_in_hex_is_taken_too(house):
    secret = await house.welcome("press", authentication="hmac")
    body = msgspec.json.encode(house.order())
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    answer = await house.send(body, "press", X_Signature_Sha256=f"sha256={signature}")
    assert answer.status_code == 202
    problem(await house.send(body + b" ", "press", X_Signature_Sha256=signature), 401, "unauthorized")


async def test_a_rotated_key_ends_at_once(house):
    old = house.keys["till"]
    await house.welcome("till", rotate=True)
    assert (await house.send(house.order())).status_code == 202
    problem(await house.send(house.order(), X_Api_Key=old), 401, "unauthorized")


async def test_a_leaf_satellite_has_no_door(house):
    await house.welcome("store-9", authentication="leaf")
    problem(await house.send(house.order(), "store-9"), 401, "unauthorized")


@pytest.mark.parametrize(
    ("body", "kind", "count"),
    [
        (b'{"kind": "x"}', "application/json", 1),
        (b' [{"a": 1}, {"b": 2}, 3] ', "application/json; charset=utf-8", 3),
        (b'{"a": 1}\n\n  {"b": 2}\r\n', NDJSON, 2),
        (b"[]", "application/json", 0),
        (b"  ", "application/json", 0),
        (b"\n\n", NDJSON, 0),
    ],
)
async def test_one_document_an_array_or_lines(house, body, kind, count):
    answer = await house.send(body, Content_Type=kind)
    if not count:
        problem(answer, 422, "empty")
        return
    told = answer.json()
    assert (answer.status_code, told["documents"], told["resumed"]) == (202, count, False)
    (span,) = told["accepted"]
    assert (span["first_document"], span["last_document"], span["first_id"]) == (1, count, told["intake_id"])
    assert (await house.settled(span["last_id"]))["bytes"] > 0


async def test_packed_bodies_are_unpacked_up_to_the_cap(start):
    house = await start(body_bytes_max=100_000)
    await house.welcome("till")
    lines = b"\n".join([msgspec.json.encode(house.order())] * 100)
    answer = await house.send(gzip.compress(lines), Content_Type=NDJSON, Content_Encoding="gzip")
    assert answer.json()["documents"] == 100
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    problem(await house.send(bomb, Content_Encoding="gzip"), 413, "too_large")
    problem(await house.send(b"no gzip", Content_Encoding="gzip"), 422, "bad_encoding")
    problem(await house.send(gzip.compress(lines)[:-5], Content_Encoding="gzip"), 422, "bad_encoding")
    problem(await house.send(b"{}", Content_Encoding="br"), 415, "media_type")


async def test_what_follows_a_packed_body_ends_the_request_at_once(house):
    """zlib would gather every byte of it, as long as the client goes on."""
    packed = gzip.compress(msgspec.json.encode(house.order()))
    told = problem(await house.send(packed + b"x", Content_Encoding="gzip"), 422, "bad_encoding")
    assert "something follows its end" in told["detail"]
    inflater = Inflater(100_000)
    assert list(inflater.feed(packed))
    with pytest.raises(zlib.error):
        list(inflater.feed(b"x" * 65536))


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (b"[" + b"1," * 3_000_000 + b"1]", "json"),
        (b"[" + b'[1,"]"],' * 400_000 + b"1]", "json"),
        (b"1\n" * 3_000_000, "ndjson"),
    ],
)
def test_millions_of_tiny_documents_are_counted_and_not_made(body, shape):
    """Twelve packed kilobytes took a gigabyte before they were refused."""
    tracemalloc.start()
    try:
        with pytest.raises(Exceeded, match="more than 50000"):
            split(body, shape, Caps(2 << 20, 50_000, 64))
        assert tracemalloc.get_traced_memory()[1] < 8 * len(body)
    finally:
        tracemalloc.stop()


def test_an_array_of_as_many_documents_as_may_be_is_taken():
    caps = Caps(2 << 20, 3, 64)
    body = b'[{"a": [1, 2, {"b": ",]"}], "c": 1, "d": 2}, ",\\",", [1,2,3,4]]'
    assert len(split(body, "json", caps)) == 3
    with pytest.raises(Exceeded, match="more than 3"):
        split(body[:-1] + b", 1]", "json", caps)


async def test_caps_are_told_by_name(start):
    house = await start(body_bytes_max=50_000, document_bytes_max=1_000, documents_max=10, depth_max=20)
    await house.welcome("till")
    problem(await house.send(b"x" * 50_001), 413, "too_large")
    problem(await house.send(b'{"a": "%s"}' % (b"x" * 1_000)), 413, "document_too_large")
    problem(await house.send(b"[%s]" % b",".join([b"{}"] * 11)), 413, "too_many_documents")
    problem(await house.send(b"[" * 300), 422, "too_deep")
    problem(await house.send(b'{"a":' * 21 + b"1" + b"}" * 21), 422, "too_deep")
    array = b"[%s]" % b",".join([b"{}", b'{"a":' * 300 + b"1" + b"}" * 300])
    problem(await house.send(array), 422, "too_deep")
    assert (await house.send(b'{"a":' * 20 + b"1" + b"}" * 20)).status_code == 202
    assert (await house.send(b'{"a": "%s"}' % (b"[" * 100))).status_code == 202  # Brackets in a text are no nesting.

    head = _head(house, "Transfer-Encoding: chunked")
    told = await _spoken(house, head + (b"3e8\r\n%s\r\n" % (b"x" * 1_000)) * 100)
    assert b"HTTP/1.1 413" in told
    assert b'"too_large"' in told


@pytest.mark.parametrize("shape", ["application/x-ndjson", "application/json"])
async def test_one_document_of_many_that_is_nested_too_deeply_is_refused_alone(house, shape):
    deep = b'{"a":' * 100 + b"[1]" + b"}" * 100
    good = [msgspec.json.encode(house.order(number=str(number))) for number in (1, 2)]
    bodies = [good[0], deep, good[1]]
    content = b"\n".join(bodies) if "ndjson" in shape else b"[%s]" % b",".join(bodies)
    answer = await house.send(content, Content_Type=shape)
    assert (answer.status_code, answer.json()["documents"]) == (202, 3)
    assert [reason for reason, _ in await house.refusals(answer)] == ["", "too_deep", ""]
    told = "document 2 of its delivery is nested 101 levels deep; at most 64 are taken"
    (row,) = await house.pool.fetch("SELECT r.detail, d.body FROM refusal r JOIN raw_document d USING (id)")
    assert (row["detail"], row["body"]) == (told, deep)  # Its bytes are not lost.


@pytest.mark.parametrize("shape", ["application/x-ndjson", "application/json"])
async def test_one_document_of_many_that_is_too_large_is_refused_alone(start, shape):
    house = await start(document_bytes_max=1_000)
    await house.welcome("till")
    large = b'{"kind": "order", "number": "L", "pad": "%s"}' % (b"x" * 1_000)
    good = [msgspec.json.encode(house.order(number=str(number))) for number in (1, 2)]
    bodies = [good[0], large, good[1]]
    content = b"\n".join(bodies) if "ndjson" in shape else b"[%s]" % b",".join(bodies)
    answer = await house.send(content, Content_Type=shape)
    assert (answer.status_code, answer.json()["documents"]) == (202, 3)
    assert [reason for reason, _ in await house.refusals(answer)] == ["", "document_too_large", ""]
    assert len(await house.commands()) == 2
    told = f"document 2 of its delivery has {len(large)} bytes; at most 1000 are taken. Send it in parts"
    (row,) = await house.pool.fetch("SELECT r.id, r.detail, d.body FROM refusal r JOIN raw_document d USING (id)")
    assert (row["detail"], row["body"]) == (told, large)  # Its bytes are not lost.
    assert (await house.post(f"/v1/quarantine/{row['id']}/resubmit")).status_code == 200
    assert (await house.settled(str(row["id"])))["state"] == "quarantined"  # Nothing changed, so that it is told again.


def _head(house, length):
    key = house.keys["till"]
    head = f"POST /v1/intake/till/tieout HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\nContent-Type: application/json"
    return f"{head}\r\n{length}\r\n\r\n".encode()


async def _spoken(house, *pieces):
    """What the server says to these bytes until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.client.base_url.port)
    for piece in pieces:
        writer.write(piece)
    told = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    writer.close()
    return told


async def test_the_form_of_a_request_is_checked(house):
    problem(await house.send(b"<order/>", Content_Type="application/xml"), 415, "media_type")
    problem(await house.send(b"{}", channel="carrier-pigeon"), 404, "not_found")
    problem(await house.client.get("/v1/intake/till/tieout"), 405, "method")
    problem(await house.client.post("/v1/intake/till"), 404, "not_found")
    problem(await house.send(b"{}", Idempotency_Key="k" * 201), 422, "invalid")


async def test_a_delivery_has_one_name(house):
    body, said = (
        msgspec.json.encode(house.order()),
        {"Content-Type": "application/json", "X-Api-Key": house.keys["till"]},
    )
    for name in ("Idempotency-Key", "X-Shopify-Webhook-Id", "Content-Encoding", "Content-Type"):
        named = [(name, "a"), (name.lower(), "b")]
        told = await house.client.post("/v1/intake/till/tieout", content=body, headers=[*said.items(), *named])
        assert problem(told, 400, "repeated_header")["field"] == name
    assert await house.pool.fetchval("SELECT count(*) FROM raw_document") == 0
    named = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    told = await house.client.post("/v1/intake/till/tieout", content=body, headers=[*said.items(), *named])
    assert told.status_code == 202


async def test_a_retry_with_the_same_key_gets_the_same_ids(house):
    body = [house.order() for _ in range(3)]
    first = await house.send(body, Idempotency_Key="k1")
    again = await house.send(body, Idempotency_Key="k1")
    assert again.json() == {**first.json(), "resumed": True}
    problem(await house.send([house.order()], Idempotency_Key="k1"), 409, "key_reused")
    await house.quiet()
    assert len(await house.commands()) == 3


async def test_retries_at_the_same_moment_are_kept_once(house):
    body = house.order()
    answers = await asyncio.gather(*(house.send(body, Idempotency_Key="k2") for _ in range(20)))
    assert len({answer.json()["intake_id"] for answer in answers}) == 1
    assert sum(not answer.json()["resumed"] for answer in answers) == 1
    await house.quiet()
    assert len(await house.commands()) == 1


async def test_a_webhook_delivered_twice_is_kept_once(house):
    body = house.shopify_order()
    first = await house.webhook("orders/create", body, X_Shopify_Webhook_Id="w1")
    again = await house.webhook("orders/create", body, X_Shopify_Webhook_Id="w1")
    assert first.json()["intake_id"] == again.json()["intake_id"]


async def test_requests_that_wait_share_a_commit(house):
    from tieout.gateway.intake import keeping

    keeper = keeping.Keeper(house.service.database)
    deliveries = [keeping.Delivery("till", "tieout", "", [b"{}"]) for _ in range(60)]
    waiting = [asyncio.create_task(keeper.keep(delivery)) for delivery in deliveries]
    await asyncio.sleep(0)  # All are in the queue before anybody writes: however slow a machine is, they meet.
    running = asyncio.create_task(keeper.run())
    kept = await asyncio.gather(*waiting)
    running.cancel()
    await asyncio.wait([running])
    assert len({one.first for one in kept}) == 60
    commits = "SELECT count(*), count(DISTINCT xmin::text) FROM raw_document"
    assert tuple(await house.pool.fetchrow(commits)) == (60, 1)


async def test_what_was_acknowledged_is_on_disk_before_the_answer(house):
    answer = await house.send(house.order())
    assert await house.pool.fetchval(
        "SELECT count(*) FROM raw_document WHERE id = $1::uuid", answer.json()["intake_id"]
    )


async def test_one_satellite_cannot_take_all_places(start, monkeypatch):
    house = await start(requests_per_satellite_max=3)
    await house.welcome("till")
    await house.welcome("other")
    stuck, entered, enter = asyncio.Event(), [], Intake._enter

    def noted(self, name):
        enter(self, name)
        entered.append(name)

    monkeypatch.setattr(Intake, "_enter", noted)

    async def slow():
        yield b"{"
        await stuck.wait()
        yield b"}"

    headers = {"Content-Type": "application/json", "X-Api-Key": house.keys["till"]}
    tasks = [
        asyncio.create_task(house.client.post("/v1/intake/till/tieout", content=slow(), headers=headers))
        for _ in range(3)
    ]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(entered) < 3:  # noqa: ASYNC110 - an order that came before the last of them would take its place
            await asyncio.sleep(0.01)
    told = await house.send(house.order())
    problem(told, 429, "too_many_requests")
    assert told.headers["retry-after"] == "1"
    assert (await house.send(house.order(), "other")).status_code == 202
    stuck.set()
    assert {(await task).status_code for task in tasks} == {202}


async def test_who_cannot_sign_takes_no_place_of_those_who_can(start):
    house = await start(requests_per_satellite_max=3, requests_max=8, unproved_max=16)
    await house.welcome("shop", authentication="shopify", secret=SECRET)
    held = []
    for _ in range(70):
        held.append(await asyncio.open_connection("127.0.0.1", house.client.base_url.port))
        held[-1][1].write(_forged("shop", 1000) + b"{")
    first = await asyncio.wait_for(held[0][0].read(4096), PATIENCE_SECONDS)
    assert first.startswith(b"HTTP/1.1 503")
    assert b'"busy"' in first
    for _ in range(3):
        assert (await house.webhook("orders/create", house.shopify_order())).status_code == 202
    waiting = [asyncio.create_task(reader.read(4096)) for reader, _ in held[54:]]
    _, standing = await asyncio.wait(waiting, timeout=0.2)
    assert len(standing) >= 16 - 3  # Nobody is sent away without need.
    for task in standing:
        task.cancel()
    for _, writer in held:
        writer.close()


async def test_unproved_bodies_are_bounded_by_their_bytes_and_a_finished_one_is_kept(start):
    house = await start(body_bytes_max=100_000, unproved_bytes_max=100_000)
    await house.welcome("shop", authentication="shopify", secret=SECRET)
    held = []
    for _ in range(3):
        held.append(await asyncio.open_connection("127.0.0.1", house.client.base_url.port))
        held[-1][1].write(_forged("shop", 90_000) + b" " * 60_000)
        await held[-1][1].drain()
        await asyncio.sleep(0.1)
        for reader, _ in held[-2:-1]:  # Each gives way to the next one, which is there by then.
            assert (await asyncio.wait_for(reader.read(4096), PATIENCE_SECONDS)).startswith(b"HTTP/1.1 503")
    assert (await house.webhook("orders/create", house.shopify_order())).status_code == 202
    held[2][1].write(b" " * 30_000)  # All of it is here now, and its signature is wrong.
    assert (await asyncio.wait_for(held[2][0].read(4096), PATIENCE_SECONDS)).startswith(b"HTTP/1.1 401")
    for _, writer in held:
        writer.close()


async def test_a_signed_body_may_be_packed_and_is_unpacked_once_it_is_proved(start):
    house = await start()
    await house.welcome("shop", authentication="shopify", secret=SECRET)
    packed = gzip.compress(msgspec.json.encode(house.shopify_order()))
    assert (await house.webhook("orders/create", packed, Content_Encoding="gzip")).status_code == 202
    problem(await house.webhook("orders/create", packed[:-9], Content_Encoding="gzip"), 422, "bad_encoding")
    problem(await house.webhook("orders/create", b"no gzip", Content_Encoding="gzip"), 422, "bad_encoding")
    forged = await house.webhook("orders/create", b"no gzip", Content_Encoding="gzip", X_Shopify_Hmac_Sha256="bm90IGl0")
    problem(forged, 401, "unauthorized")


def _forged(satellite, length):
    return (
        f"POST /v1/intake/{satellite}/shopify-orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"X-Shopify-Hmac-Sha256: bm90IGl0\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def test_slow_clients_are_sent_away(start):
    house = await start(body_seconds_max=1.0, head_seconds_max=1.0)
    await house.welcome("till")

    told = await _spoken(house, _head(house, "Content-Length: 500"), b"{")
    assert told.startswith(b"HTTP/1.1 408")
    assert b"too_slow" in told
    for start_of_head in (b"", b"POST /v1/intake/till/tieout HTTP/1.1\r\nX-A: "):
        assert (await _spoken(house, start_of_head)).startswith(b"HTTP/1.1 408")


async def test_an_endless_head_is_cut_off(house):
    reader, writer = await asyncio.open_connection("127.0.0.1", house.client.base_url.port)
    writer.write(b"GET / HTTP/1.1\r\n")
    told = b""
    try:
        for _ in range(200):
            writer.write(b"X-Pad: " + b"x" * 1000 + b"\r\n")
            await writer.drain()
        told = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    except (ConnectionError, BrokenPipeError):
        pass
    assert told == b"" or told.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
    assert (await house.client.get("/healthz")).status_code == 200
    writer.close()


async def test_a_client_that_hangs_up_leaves_nothing_behind(house):
    for _ in range(20):
        raw = socket.create_connection(("127.0.0.1", house.client.base_url.port))
        head = f"POST /v1/intake/till/tieout HTTP/1.1\r\nHost: x\r\nX-Api-Key: {house.keys['till']}\r\n"
        raw.sendall(head.encode() + b"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
        raw.close()
    await asyncio.sleep(0.1)
    assert (await house.send(house.order())).status_code == 202
    assert await house.pool.fetchval("SELECT count(*) FROM raw_document") == 1


async def test_garbage_on_the_wire_is_answered_and_survived(house):
    reader, writer = await asyncio.open_connection("127.0.0.1", house.client.base_url.port)
    writer.write(b"\x16\x03\x01\x02\x00 this is no HTTP \r\n\r\n")
    assert b"400" in await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    writer.close()
    assert (await house.client.get("/healthz")).status_code == 200


async def test_while_the_database_refuses_nothing_is_acknowledged(house, monkeypatch):
    from tieout.gateway.intake import keeping

    async def away(connection, deliveries):
        raise ConnectionRefusedError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(keeping, "write_documents", away)
        told = await house.send(house.order(), Idempotency_Key="k3")
        problem(told, 503, "unavailable")
    answer = await house.send(house.order(number="late"), Idempotency_Key="k3")
    assert (answer.status_code, answer.json()["resumed"]) == (202, False)


async def test_whoever_waits_for_the_disk_while_the_gateway_stops_is_told_to_come_again(house, monkeypatch):
    from tieout.gateway.intake import keeping

    began = asyncio.Event()

    async def slow(connection, deliveries):
        began.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(keeping, "write_documents", slow)
    keeper = keeping.Keeper(house.service.database)
    running = asyncio.create_task(keeper.run())
    delivery = keeping.Delivery("till", "tieout", "", [b"{}"])
    first = asyncio.create_task(keeper.keep(delivery))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for waiting in (first, keeper.keep(delivery)):
        with pytest.raises(Refused) as refused:
            await waiting
        assert (refused.value.problem.code, refused.value.problem.status) == ("stopping", 503)


async def test_documents_are_taken_in_while_the_broker_is_away(house, testbed):
    testbed.hub.stop()
    try:
        answers = [await house.send(house.order()) for _ in range(5)]
        assert {answer.status_code for answer in answers} == {202}
        assert (await house.client.get("/readyz")).status_code == 200
    finally:
        testbed.hub.start()
    await until(lambda: house.pool.fetchval("SELECT count(*) = 0 FROM outbox WHERE first_seq IS NULL"))
    await house.quiet()
    assert len(await house.commands()) == 5


async def test_a_restart_maps_what_was_left(start, service_database):
    house = await start()
    await house.welcome("till")
    await house.client.put("/v1/satellites/till/hold", json={"held": True}, headers=house.admin)
    answer = await house.send([house.order() for _ in range(10)])
    await house.service.stop()
    assert httpx.codes.is_success(answer.status_code)
    from tieout.gateway.app import build

    service = build(msgspec.structs.replace(house.service.settings, http_port=0))
    await service.start()
    try:
        await service.database.pool.execute("UPDATE satellite SET held = false")
        await until(lambda: service.database.pool.fetchval("SELECT count(*) = 10 FROM command"))
    finally:
        await service.stop()
