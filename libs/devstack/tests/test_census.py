"""What cannot be compared is refused, and not called agreement."""

import argparse
import asyncio
import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from rich.console import Console
from tieout.devstack import census, census_source
from tieout.devstack.failures import CommandFailed


def asked(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    census.add_arguments(parser)
    return parser.parse_args(["web", *words])


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_columns_that_no_comma_separates_are_called_by_their_separator(separator, name):
    content = f"number{separator}amount\n1001{separator}3\n"
    with pytest.raises(CommandFailed, match=f"separated by {name}. Save it with commas"):
        census.read(content, asked("-"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("number,amount\n1001,1,200.00\n", "line 2 has 3 columns, the header line only 2.*in quotes"),
        ("number,note\n1001,3\n10", "line 3 has 1 columns, the header line 2: is the list cut off"),
    ],
)
def test_a_line_of_more_or_fewer_columns_than_the_header_is_refused_by_its_number(content, told):
    with pytest.raises(CommandFailed, match=told):
        census.read(content, asked("-"))


def test_empty_cells_and_lines_after_the_last_column_are_no_columns():
    assert len(census.read("number,note\n1001,3,,\n,,\n\n1002,4\n", asked("-"))) == 2


@pytest.mark.parametrize("content", ["", "number,amount\n", "[]"])
def test_a_list_without_orders_agrees_with_nothing(tmp_path: Path, content):
    file = tmp_path / "orders"
    file.write_text(content)
    with pytest.raises(CommandFailed, match="lists no order, so nothing can be compared"):
        census.run(asked(str(file)))


async def test_a_satellite_that_nobody_described_is_refused():
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b'{"satellites": []}')

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway") as client:
        with pytest.raises(CommandFailed, match=r"there is no satellite 'nosuch'\. There is none yet"):
            await census._make_sure_of(client, "nosuch")


def test_numbers_that_were_taken_as_the_same_are_told():
    console = Console(file=io.StringIO(), width=80)
    census.show(census.Report("web", 2, 2, [], [], other_sign=["#1001"]), console)
    told = " ".join(console.file.getvalue().split())
    assert "1 order is listed with another sign than here, as #1001 for 1001; it was taken as the same" in told


async def test_an_order_that_is_taken_as_the_same_is_not_only_ours_too():
    answers = {
        "census": b'{"agree": 3, "found": [], "other_sign": ["#1", "#2", "#3"]}',
        "orders": b'{"numbers": ["2", "#4"]}',
        "intake-progress": b'{"satellites": []}',
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200,
            content=answers[request.url.path.rsplit("/", 1)[-1]]
            if request.method == "POST" or "progress" in request.url.path
            else answers["orders"],
        )

    listed = [census.Listed(f"#{day}", date=f"2026-11-0{day}") for day in (1, 2, 3)]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway") as client:
        report = await census.compare(client, "web", listed)
    assert report.only_ours == ["#4"]


async def test_a_number_listed_twice_is_one_order_and_told():
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method != "POST":
            return httpx.Response(200, content=b'{"satellites": []}')
        asked = json.loads(request.content)["orders"]
        assert asked == [
            {"number": "1", "amount_minor": 100, "currency": "EUR"},
            {"number": "1", "amount_minor": 200, "currency": "EUR"},
            {"number": "2"},
            {"number": "3"},
        ]
        differs = {
            "number": "1",
            "state": "differs",
            "amount_minor": 100,
            "currency": "EUR",
            "fields": ["amount_minor"],
        }
        return httpx.Response(200, json={"agree": 3, "found": [differs]})

    first, second = (census.Listed("1", amount, "EUR") for amount in (100, 200))
    listed = [first, second, first, census.Listed("2"), census.Listed("3"), census.Listed("3")]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway") as client:
        report = await census.compare(client, "web", listed)
    assert (report.listed, report.agree, report.listed_again) == (3, 2, ["1", "3"])
    assert report.theirs == {"1": second}
    console = Console(file=io.StringIO(), width=100)
    census.show(report, console)
    assert "2 orders are listed more than once, and counted only once: 1, 3" in console.file.getvalue()


def test_what_a_spreadsheet_wraps_and_how_it_encodes_is_understood(tmp_path: Path):
    file = tmp_path / "orders.csv"
    file.write_bytes('number, amount ,currency\r\n="0010",="1.50",EUR\r\n'.encode("utf-16"))
    assert census.read(census_source.content(str(file)), asked("-")) == [census.Listed("0010", 150, "EUR")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x80\x81\xff", r"no text in utf-8 at byte 0\. Save it"),
        (b"\xff\xfe1", r"no text in utf-16 at byte \d+\. Save it"),
        (b"number\n\0\0\0", r"zero bytes, so it is no text\. Save it"),
        (b"number,note\n1," + b"x" * 200_000, r"line 2 cannot be read as CSV: field larger.*Look for a quote"),
        (b"[" * 100_000, r"brackets in brackets.*Give an array"),
        (b'{"a":' * 100_000, r"brackets in brackets.*Give an array"),
        (b"[" + b"1" * 5_000 + b"]", r"neither JSON nor CSV.*Give"),
        (b"[1]", r"entry 1 is 1, which is no object\. Give a JSON object"),
        (b'{"number": "1"}\n[2]', r"entry 2 is \[2\], which is no object"),
        (b"number,amount,number\n1,2,3", r"names 'number' more than once.*Rename"),
        (b'[{"number": "\\ud800"}]', r"a character that no number has\. Mend it"),
        (b'[{"number": "1", "amount": 1e999999999, "currency": "EUR"}]', r"is no amount in EUR"),
        (b'[{"number": "1", "amount": 1e900000, "currency": "EUR"}]', r"is no amount in EUR"),
    ],
    ids=range(13),
)
def test_what_is_no_list_is_told_with_the_next_step(tmp_path: Path, content, told):
    file = tmp_path / "orders"
    file.write_bytes(content)
    with pytest.raises(CommandFailed, match=told):
        census.run(asked(str(file)))


@pytest.mark.parametrize("source", ["file:///etc/hosts", "ftp://shop.example/orders.csv"])
def test_other_urls_than_http_are_refused(source):
    with pytest.raises(CommandFailed, match=r"only http\(s\) URLs or a path"):
        census_source.content(source)


def test_a_folder_is_no_list(tmp_path: Path):
    with pytest.raises(CommandFailed, match=r"is a folder\. Give the file"):
        census_source.content(str(tmp_path))


def test_a_file_without_end_is_read_to_the_limit(monkeypatch):
    monkeypatch.setattr(census_source, "LIST_BYTES_MAX", 3 << 20)
    with pytest.raises(CommandFailed, match=r"/dev/zero has more than 3 MiB, or never ends\. Split the list"):
        census_source.content("/dev/zero")


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(census_source, "TRANSFER_SECONDS", 0.05)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CommandFailed, match="has not ended after"):
        census_source.content(str(pipe))


def test_a_pipe_is_read_to_its_end(tmp_path: Path):
    ours, theirs = os.pipe()
    os.write(theirs, b"number\n1\n")
    os.close(theirs)
    try:
        assert census_source.content(f"/dev/fd/{ours}") == "number\n1\n"
    finally:
        os.close(ours)


class Endless(httpx.AsyncByteStream):
    """A body without end, which counts what was taken of it."""

    def __init__(self, chunk: bytes, *, drips: bool = False) -> None:
        self.chunk, self.drips, self.taken, self.closed = chunk, drips, 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.taken += 1
            yield self.chunk
            if self.drips:
                await asyncio.sleep(0.001)

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def served(monkeypatch):
    """What every URL answers with: the arguments of a response."""
    answer: dict[str, object] = {}
    transport = httpx.MockTransport(lambda _: httpx.Response(**({"status_code": 200} | answer)))
    real = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **more: real(transport=transport, **more))
    return answer


def test_a_url_that_streams_for_ever_is_read_to_the_limit(served, monkeypatch):
    monkeypatch.setattr(census_source, "LIST_BYTES_MAX", 3 << 20)
    body = served["stream"] = Endless(bytes(1 << 20))
    with pytest.raises(CommandFailed, match=r"more than 3 MiB, or never ends\. Split the list"):
        census_source.content("http://shop.example/orders")
    assert (body.taken, body.closed) == (4, True)


def test_a_url_that_drips_for_ever_is_given_up(served, monkeypatch):
    monkeypatch.setattr(census_source, "TRANSFER_SECONDS", 0.05)
    served["stream"] = Endless(b"1", drips=True)
    with pytest.raises(CommandFailed, match=r"has not ended after .* Split the list"):
        census_source.content("http://shop.example/orders")


def test_a_url_answers_in_the_encoding_that_it_names(served):
    served |= {"content": "number\nÄ1\n".encode("latin-1"), "headers": {"Content-Type": "text/csv; charset=latin-1"}}
    assert census_source.content("HTTP://shop.example/orders") == "number\nÄ1\n"
    served["headers"] = {"Content-Type": "text/csv; charset=nosuch"}
    with pytest.raises(CommandFailed, match="no text in utf-8"):
        census_source.content("http://shop.example/orders")


@pytest.mark.parametrize("url", ["http://[::1", "http://", "http://shop.example:99999999/"])
def test_a_url_that_is_none_is_told(url):
    with pytest.raises(CommandFailed, match="cannot be read"):
        census_source.content(url)


def test_an_answer_that_may_unpack_to_anything_is_refused(served):
    served |= {"stream": Endless(b"1"), "headers": {"Content-Encoding": "gzip, gzip"}}
    with pytest.raises(CommandFailed, match="packed as 'gzip, gzip'"):
        census_source.content("http://shop.example/orders")


async def test_a_source_that_cannot_be_asked_is_told(served):
    report = census.Report("web", 1, 0, [census.Counted("1", "missing")], [])
    body = served["stream"] = Endless(b"1")
    await census._request("http://shop.example/resend", report)
    assert (report.requested, body.taken) == (1, 0)
    with pytest.raises(CommandFailed, match="cannot be asked"):
        await census._request("http://[::1", report)


async def test_an_order_that_never_ends_is_not_handed_in(served, monkeypatch, tmp_path: Path, capsys):
    monkeypatch.setattr(census, "FETCHED_BYTES_MAX", 3 << 20)
    secret = tmp_path / "secret"
    secret.write_text("s")
    report = census.Report("web", 1, 0, [census.Counted("1", "missing")], [])
    words = asked("-", "--fetch", "http://shop.example/{number}", "--secret-file", str(secret))

    async def satellites(*_: object) -> object:
        return SimpleNamespace(satellites=[SimpleNamespace(satellite="web", authentication="key")])

    monkeypatch.setattr(census, "call", satellites)
    served["stream"] = Endless(bytes(1 << 20))
    async with httpx.AsyncClient(base_url="http://gateway") as client:
        await census._fetch(client, words, report)
    assert report.fetched == 0
    assert "1: not fetched: http://shop.example/1 has more than 3 MiB" in capsys.readouterr().err
