"""What is no HTTP is answered as RFC 9457 has it, says what was wrong, and takes no answer's place."""

import asyncio
import contextlib
import logging
import socket

import httptools
import msgspec
import pytest
import structlog
import uvicorn
from tieout.gateway.http import guard
from tieout.gateway.settings import Settings

POST = b"POST /v1/intake/till/tieout HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BROKEN = {
    "no HTTP at all": (b"hello\r\n\r\n", "request_line", ""),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, "request_line", ""),
    "TLS, more of it in one piece than a head may have": (b"\x16\x03\x01" + b"x" * 100_000, "request_line", ""),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "request_line", ""),
    "a method that is none": (b"FETCH / HTTP/1.1\r\nHost: x\r\n\r\n", "request_line", ""),
    "another protocol": (b"GET / GOPHER/1.1\r\nHost: x\r\n\r\n", "request_line", ""),
    "a version that is none": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", "request_line", ""),
    "a blank in the path": (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "request_line", ""),
    "a path that is not ASCII": ("GET /v1/ü HTTP/1.1\r\nHost: x\r\n\r\n".encode(), "request_target", ""),
    "a path without a slash": (b"GET v1 HTTP/1.1\r\nHost: x\r\n\r\n", "request_target", ""),
    "a proxy's CONNECT": (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "request_target", ""),
    "a header without a colon": (b"GET / HTTP/1.1\r\nHost\r\n\r\n", "headers", ""),
    "a header's name with a blank": (b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n", "headers", ""),
    "a zero byte in a header": (b"GET / HTTP/1.1\r\nHost: \0\r\n\r\n", "headers", ""),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", "headers", ""),
    "a length that is no number": (POST + b"Content-Length: abc\r\n\r\n", "body_length", "Content-Length"),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", "body_length", "Content-Length"),
    "an empty length": (POST + b"Content-Length: \r\n\r\n", "body_length", "Content-Length"),
    "an endless length": (POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", "body_length", "Content-Length"),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", "body_length", "Content-Length"),
    "a list of lengths": (POST + b"Content-Length: 2, 2\r\n\r\n", "body_length", "Content-Length"),
    "length, then chunks": (
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "body_length", "Content-Length",
    ),
    "chunks, then length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", "body_length", "Content-Length",
    ),
    "a coding that nobody undoes": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "body_length", "Transfer-Encoding",
    ),
    "a coding that has no end": (POST + b"Transfer-Encoding: gzip\r\n\r\n", "body_length", "Transfer-Encoding"),
    "chunks within chunks": (
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", "body_length", "Transfer-Encoding",
    ),
    "a chunk whose size is none": (CHUNKED + b"zz\r\n{}\r\n", "chunks", ""),
    "a chunk that is longer than it says": (CHUNKED + b"1\r\n{}\r\n0\r\n\r\n", "chunks", ""),
    "a chunk beyond all bounds": (CHUNKED + b"f" * 20 + b"\r\n", "chunks", ""),
}  # fmt: skip


def spoken(port, *pieces, half_close=False):
    """What the gateway says to these bytes until it hangs up, over a bare socket."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        for piece in pieces:
            line.sendall(piece)
        if half_close:
            line.shutdown(socket.SHUT_WR)
        told = b""
        while piece := line.recv(65_536):
            told += piece
        return told


def answers(told):
    """Status, headers and body of each answer in it."""
    found = []
    while told:
        head, _, rest = told.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        found.append((int(first.split()[1]), headers, rest[:length]))
        told = rest[length:]
    return found


def problem_of(answer, status, code):
    got, headers, body = answer
    assert (got, headers["content-type"]) == (status, "application/problem+json"), body
    problem = msgspec.json.decode(body)
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"urn:tieout:problem:{code}")
    assert problem["title"]
    assert problem["detail"]
    return problem


CROWD = 5


@pytest.fixture
async def crowded():
    """A server of our protocol that allows few connections: its port, and what it logs."""

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    settings = Settings(database_url="", nats_url="", connections_max=CROWD)
    config = uvicorn.Config(answer, http=guard.guarded(settings), ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    with structlog.testing.capture_logs() as told:
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield listening.getsockname()[1], told
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
def speak(house):
    async def speak(*pieces, **how):
        return answers(await asyncio.to_thread(spoken, house.client.base_url.port, *pieces, **how))

    return speak


async def test_what_is_no_http_is_told_what_was_wrong_with_it(speak, house, caplog):
    for name, (said, code, field) in BROKEN.items():
        (answer,) = await speak(said)
        problem = problem_of(answer, 400, code)
        assert problem.get("field", "") == field, (name, problem)
        assert answer[1]["connection"] == "close", name
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []
    assert await house.pool.fetchval("SELECT count(*) FROM raw_document") == 0
    assert (await house.send(house.order())).status_code == 202


async def test_a_body_whose_chunks_break_off_in_the_middle_is_told_so_and_nothing_of_it_is_kept(speak, house):
    head = POST + f"X-Api-Key: {house.keys['till']}\r\nContent-Type: application/x-ndjson\r\n".encode()
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    (answer,) = await speak(chunked, b"4\r\n{}\n{\r\n", b"nonsense\r\n")
    problem_of(answer, 400, "chunks")
    (answer,) = await speak(chunked + b"3\r\n{}\n\r\nnonsense\r\n", b"x" * 100_000, half_close=True)
    problem_of(answer, 400, "chunks")
    assert await house.pool.fetchval("SELECT count(*) FROM raw_document") == 0


async def test_what_was_asked_completely_is_answered_before_what_cannot_be_read(speak, house):
    body = b'{"kind":"order"}'
    kind = f"X-Api-Key: {house.keys['till']}\r\nContent-Type: application/json\r\n"
    whole = POST + f"{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body
    broken = POST + f"{kind}Transfer-Encoding: chunked\r\n\r\nzz\r\n".encode()
    said = ((b"hello\r\n\r\n", "request_line"), (b"hello\r\n" + b"x" * 100_000, "request_line"), (broken, "chunks"))
    for half_close in (False, True):
        for last, code in said:
            *taken, refused = await speak(whole + whole + last, half_close=half_close)
            assert [status for status, _, _ in taken] == [202, 202]
            problem_of(refused, 400, code)
    assert await house.pool.fetchval("SELECT count(*) FROM raw_document") == 12


async def test_a_head_without_end_is_told_how_long_it_may_be(speak):
    pad = b"X-Pad: " + b"x" * 1000 + b"\r\n"
    (answer,) = await speak(b"GET / HTTP/1.1\r\n", pad * 200)
    assert str(guard.HEAD_BYTES_MAX) in problem_of(answer, 431, "head_too_large")["detail"]


TRAILED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
END = b"10\r\n" + b'{"kind":"order"}' + b"\r\n0\r\n"


def keyed(house, name="till"):
    return f"X-Api-Key: {house.keys[name]}\r\n".encode()


async def test_what_comes_after_the_body_is_no_header(speak, house):
    """Neither who somebody is nor what he calls his delivery can be said, or said otherwise, there."""
    key, named = keyed(house), b"Idempotency-Key: %b\r\n"
    for claimed in (b"", b"X-Api-Key: nonsense\r\n"):
        ((status, _, _),) = await speak(POST + claimed + TRAILED + b"\r\n" + END + key + b"\r\n", half_close=True)
        assert status == 401, claimed
    assert await house.pool.fetchval("SELECT count(*) FROM raw_document") == 0
    head = POST + key + named % b"its-own" + TRAILED + b"\r\n"
    ids = []
    for other in (b"", b"another"):
        said = head + END + named % other + b"\r\n"
        ((status, _, body),) = await speak(said, half_close=True)
        assert status == 202
        ids.append(msgspec.json.decode(body)["intake_id"])
    assert ids[0] == ids[1]


async def test_what_may_come_after_a_body_has_its_own_bound(speak, house):
    """In one piece with its body, in many, and as one field without an end."""
    field = b"X-T: " + b"x" * 1000 + b"\r\n"
    whole = POST + keyed(house) + TRAILED + b"\r\n" + END
    endless = b"X-T: " + b"x" * 60_000
    for pieces in ((whole + field * 9 + b"\r\n",), (whole, field * 200), (whole, *[endless] * 8)):
        (answer,) = await speak(*pieces)
        assert str(guard.TRAILER_BYTES_MAX) in problem_of(answer, 431, "trailers_too_large")["detail"]
    assert await house.pool.fetchval("SELECT count(*) FROM raw_document") == 0


async def test_what_follows_an_answer_that_was_given_before_the_end_of_the_body_is_not_answered_again(house):
    def spoken_after_the_answer(said):
        with socket.create_connection(("127.0.0.1", house.client.base_url.port), timeout=30) as line:
            line.sendall(b"GET /v1/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
            told = b""
            while b"problem:unauthorized" not in told:
                told += line.recv(65_536)
            line.sendall(said)
            while piece := line.recv(65_536):
                told += piece
            return told

    for said in (b"no field\r\n", (b"X-T: " + b"x" * 1000 + b"\r\n") * 20):
        ((status, _, _),) = answers(await asyncio.to_thread(spoken_after_the_answer, said))
        assert status == 401


async def test_a_request_after_trailers_has_a_head_of_its_own(speak, house):
    """The bound of each begins anew."""
    whole = POST + keyed(house) + TRAILED + b"\r\n" + END + b"X-T: " + b"x" * 7000 + b"\r\n\r\n"
    told = await speak(whole * 3, half_close=True)
    assert [status for status, _, _ in told] == [202, 202, 202]
    *taken, refused = await speak(whole, whole + b"GET / HTTP/1.1\r\n", (b"X-Pad: " + b"x" * 1000 + b"\r\n") * 200)
    assert [status for status, _, _ in taken] == [202, 202]
    problem_of(refused, 431, "head_too_large")


async def test_a_head_that_does_not_come_is_told_how_long_it_may_take(start):
    house = await start(head_seconds_max=0.3)
    for said in (b"", b"POST /v1/intake/till/tieout HTTP/1.1\r\nX-A: "):
        (answer,) = answers(await asyncio.to_thread(spoken, house.client.base_url.port, said))
        assert "0.3 s" in problem_of(answer, 408, "head_too_slow")["detail"]


def test_a_mistake_of_ours_is_not_told_as_the_clients():
    error = httptools.HttpParserCallbackError("User callback error")
    error.__context__ = KeyError("x")
    assert guard.unreadable(error).status == 500


async def test_connections_that_ask_nothing_give_way_to_who_has_something_to_say(crowded):
    """One address that opens as many as there may be would else keep everybody out, the probes too."""
    port, told = crowded
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CROWD)]
    for _, writer in idle:
        writer.write(b"P")
    for _ in range(2 * CROWD):
        (answer,) = answers(
            await asyncio.to_thread(spoken, port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        )
        assert answer[0] == 200
    for reader, writer in idle[:1]:  # The oldest: closed for the first that came.
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
    assert [one["event"].partition(";")[0] for one in told if one["log_level"] == "warning"] == [
        "as many connections as are allowed"
    ]
    for _, writer in idle[1:]:
        writer.close()
