"""What people outside are told: signed as each vendor documents it, no more often than it takes, never lost.

The other side is a real HTTP server that checks as the vendor does.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import httpx
import pytest
import structlog
from tieout.contracts.ticket import Money, Ticket
from tieout.control import tickets
from tieout.control.notify import channels
from tieout.control.notify.messages import WECOM_BYTES_MAX, Target, Told, amount, compose, verdict
from tieout.control.notify.sender import Sender
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.servicekit import Database, Misconfigured

SECRET = "SEC0123456789abcdef"
KEY = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"
Reply = Callable[[str, dict[str, str], bytes], tuple[int, bytes]]


class Vendor:
    """An HTTP server that keeps what it took, and answers as `reply` says."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.taken: list[tuple[float, str, dict[str, str], bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                path = first.split()[1]
                status, answer = self.reply(path, headers, body)
                self.taken.append((time.monotonic(), path, headers, body))
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(answer), answer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    @property
    def texts(self) -> list[str]:
        return [body.decode() for _, _, _, body in self.taken]


def dingtalk(path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """https://open.dingtalk.com/document/robots/customize-robot-security-settings, "sign"."""
    query = parse_qs(urlsplit(path).query)
    timestamp = query["timestamp"][0]
    expected = base64.b64encode(
        hmac.new(SECRET.encode(), f"{timestamp}\n{SECRET}".encode(), hashlib.sha256).digest()
    ).decode()
    content = json.loads(body)
    if abs(time.time() * 1000 - int(timestamp)) > 3_600_000 or query["sign"][0] != expected:
        return 200, b'{"errcode":310000,"errmsg":"sign not match"}'
    if content["msgtype"] != "markdown" or not content["markdown"]["title"] or not content["markdown"]["text"]:
        return 200, b'{"errcode":40035,"errmsg":"bad parameter"}'
    return 200, b'{"errcode":0,"errmsg":"ok"}'


def wecom(path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """https://developer.work.weixin.qq.com/document/path/91770: markdown, 4096 bytes, the key in the address."""
    content = json.loads(body)["markdown"]["content"]
    if parse_qs(urlsplit(path).query)["key"] != [KEY] or len(content.encode()) > 4096:
        return 200, b'{"errcode":93000,"errmsg":"invalid webhook url"}'
    return 200, b'{"errcode":0,"errmsg":"ok"}'


def webhook(path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    signed = headers["x-tieout-timestamp"].encode() + b"." + body
    expected = "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    return (204 if headers["x-tieout-signature"] == expected else 401), b""


@pytest.fixture
async def vendor() -> AsyncIterator[Callable[[Reply], Any]]:
    """`await vendor(reply)` -> (the server's record, its address)."""
    servers = []

    async def start(reply: Reply) -> tuple[Vendor, str]:
        made = Vendor(reply)
        server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
        servers.append(server)
        return made, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()


def channel(url: str, kind: str, folder: Path, **more: object) -> channels.Channel:
    """As a deployment writes it: a TOML file and files of secrets."""
    (folder / "url").write_text(url + "\n")
    (folder / "secret").write_text(SECRET + "\n")
    told = {"name": kind, "kind": kind, "url_file": str(folder / "url"), "per_minute": 6000.0, **more}
    if kind != "wecom":
        told["secret_file"] = str(folder / "secret")
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in told.items())
    (folder / "notify.toml").write_text(f"[[channel]]\n{lines}\n")
    (found,) = channels.read(str(folder / "notify.toml"))
    return found


async def strike(database: Database, *names: str, **more: Any) -> None:
    async with database.transaction() as tx:
        for name in names:
            await tickets.open_ticket(tx, "stall", f"stall:{name}", f"Flow {name} stands", f"流程 {name} 停滞", **more)


async def send(database: Database, *wanted: channels.Channel, times: int = 1) -> None:
    sender = Sender(lambda: wanted)
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        for _ in range(times):
            await sender.once(database, client)
            await asyncio.sleep(0.03)


async def left(database: Database) -> int:
    async with database.read() as connection:
        found: int = await connection.fetchval("SELECT count(*) FROM delivery WHERE sent_at IS NULL")
    return found


async def test_a_dingtalk_robot_verifies_our_signature(database: Database, vendor: Any, tmp_path: Path) -> None:
    robot, url = await vendor(dingtalk)
    await strike(database, "a")
    await send(database, channel(f"{url}/robot/send?access_token=x", "dingtalk", tmp_path))
    assert "流程 a 停滞 / Flow a stands" in json.loads(robot.texts[0])["markdown"]["text"]
    assert await left(database) == 0


async def test_a_wecom_robot_takes_our_markdown(database: Database, vendor: Any, tmp_path: Path) -> None:
    robot, url = await vendor(wecom)
    await strike(database, "a", orders=[tickets.Affected("C1", "1001", "CNY", 123450)])
    await send(database, channel(f"{url}/cgi-bin/webhook/send?key={KEY}", "wecom", tmp_path, language="zh"))
    content = json.loads(robot.texts[0])["markdown"]["content"]
    assert "P1 新工单 1: 流程 a 停滞 · 1 个订单 · CNY 1,234.50" in content
    assert await left(database) == 0


async def test_a_webhook_gets_signed_json_with_an_id_for_each_notification(
    database: Database, vendor: Any, tmp_path: Path
) -> None:
    server, url = await vendor(webhook)
    await strike(database, "a", "b")
    await send(database, channel(f"{url}/hook", "webhook", tmp_path))
    told = json.loads(server.texts[0])
    assert [(one["id"], one["what"], one["ticket"]["number"]) for one in told["notifications"]] == [
        (1, "opened", 1),
        (2, "opened", 2),
    ]
    assert await left(database) == 0


async def test_whatever_comes_while_a_robot_may_not_be_bothered_shares_its_next_message(
    database: Database, vendor: Any, tmp_path: Path
) -> None:
    robot, url = await vendor(dingtalk)
    wanted = channel(f"{url}/robot/send?access_token=x", "dingtalk", tmp_path, per_minute=0.1)  # Each ten minutes.
    for number in range(0, 10, 2):
        await strike(database, str(number), str(number + 1))
        await send(database, wanted)
    assert len(robot.taken) == 1
    async with database.transaction() as tx:
        passed = "UPDATE notify_channel SET attempted_at = attempted_at - interval '1 second' * $1"
        await tx.execute(passed, 300)
    await send(database, wanted)
    assert len(robot.taken) == 1
    async with database.transaction() as tx:
        await tx.execute(passed, 300)
    await send(database, wanted)
    assert [[f"Flow {one} stands" in text for one in range(10)] for text in robot.texts] == [
        [True] * 2 + [False] * 8,
        [False] * 2 + [True] * 8,
    ]
    assert await left(database) == 0


async def test_a_robot_that_says_no_with_http_200_gets_the_same_again_later(
    database: Database, vendor: Any, tmp_path: Path
) -> None:
    robot, url = await vendor(lambda *_: (200, b'{"errcode":45009,"errmsg":"api freq out of limit"}'))
    wanted = channel(f"{url}/send?key={KEY}", "wecom", tmp_path)
    await strike(database, "a")
    async with database.transaction() as tx:  # The next pause is of many seconds: no machine is as slow as that.
        await tx.execute("INSERT INTO notify_channel (channel, failures) VALUES ('wecom', 3)")
    await send(database, wanted, times=2)
    assert len(robot.taken) == 1  # It waits before it tries again.
    assert await left(database) == 1
    async with database.read() as connection:
        row = await connection.fetchrow("SELECT failures, error, retry_at > now() AS later FROM notify_channel")
        assert tuple(row or ()) == (4, "errcode 45009: api freq out of limit", True)
    robot.reply = wecom
    await again(database)
    await send(database, wanted)
    assert await left(database) == 0
    assert "Flow a stands" in robot.texts[1]


async def again(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("UPDATE notify_channel SET retry_at = '-infinity'")


async def test_a_channel_that_is_away_has_a_ticket_and_other_channels_tell_of_it(
    database: Database, vendor: Any, tmp_path: Path
) -> None:
    (tmp_path / "good").mkdir()
    server, url = await vendor(webhook)
    away = channel("http://127.0.0.1:1/robot/send?access_token=hidden", "dingtalk", tmp_path)
    good = channel(f"{url}/hook", "webhook", tmp_path / "good")
    await strike(database, "a")
    with structlog.testing.capture_logs() as logs:
        for _ in range(6):
            await send(database, away, good)
            await again(database)
    assert "hidden" not in str(logs)
    assert "satellite:channel:dingtalk" in server.texts[-1]


async def test_an_address_that_was_exchanged_is_used_without_a_restart_and_a_broken_file_changes_nothing(
    database: Database, vendor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tieout.control.notify.sender.READ_EVERY_SECONDS", 0.0)
    old, old_url = await vendor(webhook)
    new, new_url = await vendor(webhook)
    channel(f"{old_url}/hook", "webhook", tmp_path)
    sender = Sender(lambda: channels.read(str(tmp_path / "notify.toml")))
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        for address, server in ((f"{old_url}/hook", old), ("", old), (f"{new_url}/hook", new)):
            (tmp_path / "url").write_text(address)
            await strike(database, address or "broken")
            before = len(server.texts)
            with structlog.testing.capture_logs() as logs:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while len(server.texts) == before:
                        await sender.once(database, client)
                        await asyncio.sleep(0.01)
            assert any("those of before stay" in line["event"] for line in logs) == (not address)
    assert await left(database) == 0


async def test_a_process_that_dies_while_it_sends_leaves_the_message_to_the_next(
    database: Database, vendor: Any, tmp_path: Path
) -> None:
    server, url = await vendor(webhook)
    wanted = channel(f"{url}/hook", "webhook", tmp_path)
    await strike(database, "a")
    async with database.transaction() as tx:  # As the dead one left it.
        await tx.execute(
            "INSERT INTO notify_channel (channel, busy_until) VALUES ('webhook', now() + interval '1 hour')"
        )
    await send(database, wanted)
    assert not server.taken
    async with database.transaction() as tx:
        await tx.execute("UPDATE notify_channel SET busy_until = now() - interval '1 second'")
    await send(database, wanted)
    assert len(server.taken) == 1


async def test_a_channel_hears_only_of_its_teams_and_of_what_is_urgent(
    database: Database, vendor: Any, tmp_path: Path
) -> None:
    server, url = await vendor(webhook)
    wanted = channel(f"{url}/hook", "webhook", tmp_path, owners=["finance"], priority_max=2)
    await strike(database, "mine", service="finance")
    await strike(database, "late", service="finance", priority=3)
    await strike(database, "other", service="order")
    await send(database, wanted)
    (told,) = json.loads(server.texts[0])["notifications"]
    assert told["ticket"]["fingerprint"] == "stall:mine"


def ticket(number: int, **more: Any) -> Ticket:
    given: dict[str, Any] = dict.fromkeys(("first_at", "last_at", "opened_at", "due_at"), "2026-11-23T08:00:00Z")
    given |= {
        "number": number,
        "kind": "stall",
        "fingerprint": str(number),
        "title_en": "It stands",
        "title_zh": "停滞",
    }
    given |= {"state": "open", "priority": 2, "owner": "finance", "count": 1, "times": 1}
    return Ticket(**(given | more))


def content(told: list[Told], kind: str = "wecom") -> str:
    post = compose(Target("x", kind, "http://x"), told, "id", datetime.now(UTC))  # type: ignore[arg-type]
    markdown = json.loads(post.body)["markdown"]
    return str(markdown.get("content") or markdown["text"])


def test_a_message_stays_within_what_the_vendor_takes_and_counts_the_rest() -> None:
    text = content([Told(n, "opened", ticket(n)) for n in range(1, 200)])
    assert len(text.encode()) <= WECOM_BYTES_MAX
    shown = len(re.findall("停滞", text))
    assert text.endswith(f"+ {199 - shown} …")


def test_what_a_poison_message_wrote_cannot_make_links_or_call_everybody() -> None:
    text = content([Told(1, "opened", ticket(1, title_zh="<@all> [click](http://x)\n# big", title_en="**x**"))])
    assert not re.search(r"[<>\[\]#]|@", text)


def test_a_ticket_that_was_opened_and_resolved_meanwhile_is_one_line() -> None:
    text = content([Told(1, "opened", ticket(1)), Told(2, "resolved", ticket(1))])
    assert text.count("停滞") == 1
    assert "已解决" in text


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [(123450, "CNY", "CNY 1,234.50"), (-5, "KWD", "KWD -0.005"), (1000, "JPY", "JPY 1,000"), (5, "???", "??? 0.05")],
)
def test_money_is_shown_in_the_units_of_its_currency(minor: int, currency: str, shown: str) -> None:
    assert amount(Money(currency, minor)) == shown


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>", "no errcode"),
        (200, b"{}", "no errcode"),
        (502, b'{"errcode":0}', "HTTP 502"),
        (302, b"", "HTTP 302"),
        (200, b'{"errcode":310000,"errmsg":"sign not match"}', "310000"),
    ],
)
def test_an_answer_that_is_no_clear_yes_is_a_no(status: int, body: bytes, error: str) -> None:
    found = verdict("dingtalk", status, body)
    assert not found.accepted
    assert error in found.error


def test_the_signature_of_a_dingtalk_robot_is_encoded_for_the_address() -> None:
    target = Target("x", "dingtalk", "https://oapi.dingtalk.com/robot/send?access_token=x", SECRET)
    post = compose(target, [Told(1, "opened", ticket(1))], "id", datetime.fromtimestamp(1_577_262_236.757, UTC))
    sign = post.url.partition("&sign=")[2]
    assert "timestamp=1577262236757&" in post.url
    assert not set(sign) & set("+/=")
    assert len(base64.b64decode(unquote_plus(sign))) == 32


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[channel]]\nname = 'x'\nkind = 'fax'", "kind"),
        ("[[channel]]\nname = 'x'\nkind = 'wecom'\nurl = 'https://x?key=hidden'", "url_file"),
        ("[[channel]]\nname = 'x'\nkind = 'webhook'", "either url or url_file"),
        ("[[channel]]\nname = 'x'\nkind = 'webhook'\nurl = 'ftp://x'", "no http"),
        ("[[channel]]\nname = 'x'\nkind = 'webhook'\nurl_file = '/nowhere/x'", "cannot be read"),
        ("[[channel]]\nname = 'x'\nkind = 'webhook'\nurl = 'http://x'\ncolour = 1", "colour"),
        ("[[channel", "notify.toml"),
    ],
)
def test_a_file_of_channels_that_is_wrong_says_where_and_shows_no_secret(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "notify.toml").write_text(text)
    with pytest.raises(Misconfigured) as wrong:
        channels.read(str(tmp_path / "notify.toml"))
    assert told in str(wrong.value)
    assert "hidden" not in str(wrong.value)


async def test_a_channel_that_does_not_answer_delays_no_other(
    database: Database, vendor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tieout.control.notify.sender.SECONDS_MAX", 10 * PATIENCE_SECONDS)
    asked, answered = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await answered.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    (tmp_path / "slow").mkdir()
    port = server.sockets[0].getsockname()[1]
    slow = channel(f"http://127.0.0.1:{port}/", "webhook", tmp_path / "slow", name="slow")
    quick, url = await vendor(webhook)
    both = (slow, channel(url, "webhook", tmp_path, name="quick"))
    running = asyncio.create_task(Sender(lambda: both, seconds=0.01).run(database))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await strike(database, "a")
            await asked.wait()
            for struck, name in enumerate(("b", "c"), start=2):
                while len(quick.taken) < struck - 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await strike(database, name)
            while len(quick.taken) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not answered.is_set()  # The slow one holds its first message all the while.
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        answered.set()
        server.close()
