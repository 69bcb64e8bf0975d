"""What one client's bytes may cost everybody else, and clients that stop talking before they stop listening."""

import asyncio
import gzip
import logging
import socket
import time

import httpx
import msgspec
import pytest
from tieout.devstack.patience import PATIENCE_SECONDS, until
from tieout.devstack.processes import free_port
from tieout.gateway.http.server import front, serve
from tieout.gateway.settings import Settings
from tieout.servicekit import Misconfigured

MEGABYTE = 1 << 20


def exchange(port, head, body, *, half_close=False):
    """One request over a bare socket, so that the client costs the gateway's own loop nothing; the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as line:
        line.sendall(head)
        line.sendall(body)
        if half_close:
            line.shutdown(socket.SHUT_WR)
        told = b""
        while piece := line.recv(65_536):
            told += piece
        return told


def request(house, body, kind="application/x-ndjson", **more):
    lines = {
        "Host": "x",
        "X-Api-Key": house.keys["till"],
        "Content-Type": kind,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /v1/intake/till/tieout HTTP/1.1\r\n{told}\r\n".encode()


async def longest_stall(work):
    """The most that the loop computed in one turn while `work` ran in a thread, in seconds; and its answer.

    Its own computing time, so that a busy machine changes nothing.
    """
    stall, last, done = 0.0, time.thread_time(), asyncio.create_task(asyncio.to_thread(work))
    while not done.done():
        await asyncio.sleep(0.001)
        now = time.thread_time()
        stall, last = max(stall, now - last), now
    return stall, await done


BODIES = {
    "newlines": (b"\n" * (32 * MEGABYTE), {}, b"422"),
    "newlines, packed": (gzip.compress(b"\n" * (32 * MEGABYTE)), {"Content_Encoding": "gzip"}, b"422"),
    "blanks": (b" \n" * (16 * MEGABYTE), {}, b"422"),
    "one long blank line": (b" " * (32 * MEGABYTE), {}, b"422"),
    "blanks before an array": (b" " * (32 * MEGABYTE - 4) + b"[{}]", {"kind": "application/json"}, b"202"),
    "many documents": (b'{"kind":"order","number":"1","note":"%s"}\n' % (b"x" * 580) * 50_000, {}, b"202"),
    "many documents, named": (
        b'{"kind":"order","number":"1","note":"%s"}\n' % (b"x" * 580) * 50_000,
        {"Idempotency_Key": "k"},
        b"202",
    ),
}


STALL_MAX = 5.0  # In yardsticks; 4-9 before bodies were read in pieces, 2 or less since.


def yardstick():
    """What this processor takes for a fixed piece of work, in seconds: 0.1 where the figures above were taken.

    A slower one takes longer for both; what others do meanwhile counts for neither.
    """
    began, kept = time.thread_time(), b"x" * MEGABYTE
    for _ in range(40):
        kept = gzip.decompress(gzip.compress(kept, 1))
    for _ in range(1_800_000):
        kept = kept[:1]
    return time.thread_time() - began


@pytest.mark.parametrize("named", BODIES)
async def test_nobody_holds_up_everybody_else(start, named):
    house = await start()
    await house.welcome("till")
    await house.client.put("/v1/satellites/till/hold", json={"held": True}, headers=house.admin)
    body, more, status = BODIES[named]
    head = request(house, body, **more)
    port = house.client.base_url.port
    before = yardstick()
    stall, told = await longest_stall(lambda: exchange(port, head, body))
    unit = max(before, yardstick())
    print(f"{named}: {stall * 1000:.0f} ms, {stall / unit:.1f} of {unit * 1000:.0f} ms")
    assert told.split(b" ", 2)[1] == status, told[:300]
    assert stall < STALL_MAX * unit


async def test_a_client_that_has_said_all_and_stops_sending_gets_its_answer(house):
    port = house.client.base_url.port
    body = b'{"kind":"order"}'
    told = await asyncio.to_thread(exchange, port, request(house, body), body, half_close=True)
    assert told.startswith(b"HTTP/1.1 202")
    kept_alive = request(house, body).replace(b"Connection: close\r\n", b"")
    told = await asyncio.to_thread(exchange, port, kept_alive, body, half_close=True)
    assert told.startswith(b"HTTP/1.1 202")
    two = kept_alive + body + kept_alive
    told = await asyncio.to_thread(exchange, port, two, body, half_close=True)
    assert told.count(b"HTTP/1.1 202") == 2
    question = b"GET /v1/satellites HTTP/1.1\r\nHost: x\r\nAuthorization: " + house.admin["Authorization"].encode()
    told = await asyncio.to_thread(exchange, port, question + b"\r\n\r\n", b"", half_close=True)
    assert told.startswith(b"HTTP/1.1 200")


async def test_a_client_that_stops_in_the_middle_is_let_go_and_nothing_is_kept(start):
    never = 10 * PATIENCE_SECONDS  # Let go by its end, and not because it is late: else the exchange is never over.
    house = await start(head_seconds_max=never, body_seconds_max=never)
    await house.welcome("till")
    port = house.client.base_url.port
    body = b'{"kind":"order"}'
    head = request(house, body)
    for said in (head + body[:5], head[:40], b""):
        assert b" 202 " not in await asyncio.to_thread(exchange, port, said, b"", half_close=True)
    assert await house.pool.fetchval("SELECT count(*) FROM raw_document") == 0


async def test_an_answer_that_breaks_off_in_the_middle_is_cut_off_and_logged_once_with_its_path(caplog, capsys):
    async def breaks(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        raise LookupError("the rest")

    port = free_port()
    limits = Settings(database_url="", nats_url="", http_port=port)
    serving = asyncio.create_task(serve(front(breaks, breaks), limits))

    async def answered() -> bool:
        try:
            await client.get("/v1/orders")
        except httpx.ConnectError:
            return False
        except httpx.RemoteProtocolError:  # Fewer bytes than were promised.
            return True
        raise AssertionError("the answer is whole")

    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
            await until(answered)
        (told,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
        assert "path=/v1/orders" in "".join(told.exc_info[1].__notes__)
        assert "a request failed" not in capsys.readouterr().out  # The second time.
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_port_that_another_program_has_is_told_by_its_setting(house):
    settings = house.service.settings
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"TIEOUT_HTTP_PORT={port} .* Choose a free port"):
            await serve(None, msgspec.structs.replace(settings, http_port=port))
