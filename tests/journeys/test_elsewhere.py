"""An installation that is not this folder's stack is spoken to by its gateway's URL and a token."""

import asyncio
import json
import re
import socket
from pathlib import Path

import pytest
from tieout.devstack import cli
from tieout.devstack.trading_day import shopify
from tieout.devstack.trading_day.catalogue import AMPLE, WEB


@pytest.fixture
def elsewhere(trade, tmp_path: Path, monkeypatch, capsys):
    """Runs a command in a folder without a stack: its exit code, and what it told and complained."""
    monkeypatch.chdir(tmp_path)
    where = trade.stack.endpoints()
    Path("token").write_text(Path(where.admin_token_file).read_text())

    async def run(*words: str, url: str = where.gateway, file: str = "token") -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(cli.main, [*words, "--url", url, "--token-file", file])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


async def test_every_question_is_answered_from_a_folder_without_a_stack(trade, elsewhere):
    sale = trade.sale(AMPLE[0])
    await trade.shop("orders/create", shopify.order(sale))
    await trade.until(lambda: trade.vouchers(sale), bool)
    Path("orders.csv").write_text(f"number\n{sale.number}\n")
    for words, part in (
        (["agreement"], "books"),
        (["journey", sale.number], sale.number),
        (["tickets", "list"], ""),
        (["quarantine"], ""),
        (["settings"], ""),
        (["desk"], ""),
        (["token"], ""),
        (["replay"], ""),
        (["census", WEB, "orders.csv"], "agree"),
        (["repair", "list"], ""),
        (["doctor", "--all"], "gateway"),
        (["status"], "inventory"),
    ):
        code, told, complaint = await elsewhere(*words)
        assert not complaint, words
        assert code in ((0, 1, 2) if words[0] in ("agreement", "repair", "doctor") else (0,)), words
        assert part in told, words
        assert "--dir" not in told, words
    code, told, _ = await elsewhere("status", "--json")
    status = json.loads(told)
    assert (code, status["processes"]) == (0, [])
    assert {"order", "inventory", "finance"} <= {one["service"] for one in status["status"]["services"]}
    checks = {one["name"] for one in json.loads((await elsewhere("doctor", "--json"))[1])}
    assert "gateway" in checks
    assert not checks & {"disk", "processes", "stack"}  # Those of this machine say nothing about another's.


async def test_the_environment_names_it_too_and_hints_repeat_only_what_it_does_not_say(
    trade, elsewhere, tmp_path: Path, monkeypatch, capsys
):
    where = trade.stack.endpoints()
    _, _, complaint = await elsewhere("quarantine", "show", "x")
    assert complaint.rstrip().endswith(f"quarantine list --url {where.gateway} --token-file token")
    monkeypatch.setenv("TIEOUT_URL", where.gateway)
    monkeypatch.setenv("TIEOUT_TOKEN_FILE", "token")
    assert await asyncio.to_thread(cli.main, ["status"]) == 0
    assert await asyncio.to_thread(cli.main, ["quarantine", "show", "x"]) == 1
    assert capsys.readouterr().err.rstrip().endswith("quarantine list")
    assert await asyncio.to_thread(cli.main, ["status", "--dir", str(tmp_path)]) == 1  # A folder that is named wins.
    assert f"no stack runs in {tmp_path}" in capsys.readouterr().err


async def test_what_goes_wrong_on_the_way_is_told_in_a_line(elsewhere):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
        Path("orders.csv").write_text("number\n1\n")
        for words in (["agreement"], ["status"], ["census", WEB, "orders.csv"], ["doctor"]):
            code, told, complaint = await elsewhere(*words, url=nobody)
            assert code == 1
            assert re.search(rf"{nobody}/?\s", told + complaint), words
            assert "kubectl port-forward" in told + complaint, words
    Path("other").write_text("no-such-token\n")
    for words in (["agreement"], ["status"], ["tickets", "list"], ["doctor"]):
        code, told, complaint = await elsewhere(*words, file="other")
        assert code == 1
        assert "does not know the token in other: it is unknown, expired or revoked" in told + complaint, words
        assert "no-such-token" not in told + complaint
    for name, content in (("empty", ""), ("letter", "Dear all,\nhere it is")):
        Path(name).write_text(content)
        assert f"{name} holds no token" in (await elsewhere("status", file=name))[2]
    assert "missing: No such file" in (await elsewhere("status", file="missing"))[2]
