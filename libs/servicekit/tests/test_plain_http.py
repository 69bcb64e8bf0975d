"""The kit's own HTTP: it answers probes and scrapes, and costs little whoever connects. And what a stop relies on."""

import asyncio

import msgspec
import pytest
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.servicekit import Misconfigured, Settings, batches, intake, plain_http
from tieout.servicekit.plain_http import Page, PlainHttp


@pytest.fixture
async def port():
    async def told() -> Page:
        return Page(200, b"{}")

    async def fails() -> Page:
        raise RuntimeError("broken")

    server = PlainHttp({"/told": told, "/fails": fails})
    yield await server.start("127.0.0.1", 0, "TIEOUT_HEALTH_PORT")
    server.close()


async def exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /told HTTP/1.1", 200),
        ("GET /told?verbose HTTP/1.0", 200),
        ("HEAD /told HTTP/1.1", 200),
        ("GET /nothing HTTP/1.1", 404),
        ("GET /fails HTTP/1.1", 500),
        ("POST /told HTTP/1.1", 405),
        ("GET /told", 400),
        ("nonsense", 400),
        ("GET /told HTTP/1.1 more", 400),
        (f"GET /{'a' * plain_http.HEAD_BYTES_MAX} HTTP/1.1", 431),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_request_has_its_answer(port, request_line, status) -> None:
    answer = await exchange(port, f"{request_line}\r\nHost: x\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in head
    assert (b"Allow: GET, HEAD" in head) == (status == 405)
    if status == 200:
        assert body == (b"" if request_line.startswith("HEAD") else b"{}")
        assert b"Content-Length: 2" in head
    else:
        assert b"Content-Type: application/problem+json" in head
        problem = msgspec.json.decode(body)
        assert problem["type"] == f"urn:tieout:problem:{problem['code']}"
        assert problem["status"] == status
        assert problem["detail"]
        assert status != 404 or "/told" in problem["detail"]


async def test_who_says_nothing_is_cut_off(port, monkeypatch) -> None:
    monkeypatch.setattr(plain_http, "SECONDS_MAX", 0.1)
    assert await asyncio.wait_for(exchange(port, b"GET /told HTTP/1.1\r\n"), PATIENCE_SECONDS) == b""


async def test_a_probe_comes_through_although_others_hold_all_connections(port, monkeypatch) -> None:
    monkeypatch.setattr(plain_http, "CONNECTIONS_MAX", 2)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    assert (await exchange(port, b"GET /told HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert (
        await asyncio.wait_for(_rest_of(silent[0][0]), PATIENCE_SECONDS) == b""
    )  # Whoever had dallied longest made room.
    for _, writer in silent:
        writer.close()


async def _rest_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_a_port_that_cannot_be_had_is_told_by_its_variable(port) -> None:
    with pytest.raises(Misconfigured, match=r"TIEOUT_HEALTH_PORT"):
        await PlainHttp({}).start("127.0.0.1", port, "TIEOUT_HEALTH_PORT")


def test_a_batch_in_hand_keeps_its_messages_however_long_it_takes() -> None:
    """It is seen at one look and extended from the next one on, so two of them must fit into the broker's patience."""
    assert 2 * intake.EXTEND_SECONDS < batches.ACK_WAIT_SECONDS


def test_a_stop_leaves_the_batch_in_hand_most_of_its_time() -> None:
    stop = Settings().stop_seconds_max
    assert stop >= intake.STOP_SECONDS_MAX + batches.DRAIN_SECONDS_MAX
    assert stop > batches.ACK_WAIT_SECONDS  # What a stop gave up is with another replica before the pod is gone.
