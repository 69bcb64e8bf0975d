"""A stack with a Jaeger beside it: an order is read back through its query API, and the journey links to it.

With the binary itself where there is one on the PATH; how the stack treats one is proved with a stand-in anyway.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tieout.contracts.event import order_id
from tieout.devstack import jaeger, up
from tieout.devstack.cli import main
from tieout.devstack.endpoints import of_stack
from tieout.devstack.failures import CommandFailed
from tieout.devstack.trading_day import shopify
from tieout.devstack.trading_day.catalogue import EU, WEB


@pytest.fixture(params=["the real one", "a stand-in"])
def binary(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "the real one":
        found = jaeger.on_the_path()
        if found is None:
            pytest.skip(f"no Jaeger 2 on the PATH (no package registry has it; {jaeger.DOWNLOAD} does)")
        return found
    return _stand_in(tmp_path)


async def test_an_order_is_read_back_from_the_jaeger_that_was_started_with_the_stack(
    binary: Path, trade_apart: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    async with trade_apart(sites=(), jaeger=binary) as trade:
        where = of_stack(trade.stack.folder)
        assert where.jaeger.startswith("http://127.0.0.1:")
        sale = trade.sale()
        await trade.shop("orders/create", shopify.order(sale))
        await trade.until(lambda: trade.vouchers(sale), bool)
        chain = order_id(EU.code, WEB, sale.number)
        spans = await _read_back(where.jaeger, chain.hex)
        for span in spans:
            tags = {one["key"]: one["value"].get("stringValue") for one in span["attributes"]}
            assert tags["order.no"] == sale.number
        await asyncio.to_thread(main, ["journey", sale.number, "--dir", str(trade.stack.folder)])
        assert f"{where.jaeger}/trace/{chain.hex}" in capsys.readouterr().out.replace("\n", "")
        process = trade.stack.running_processes()["jaeger"]
    assert not process.is_running(), "it outlived its stack"


LOOKED_FOR = {"take in order.submit.v1", "process inventory.shipped.v1", "publish finance.receivable_opened.v1"}


async def _read_back(url: str, trace: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        while True:
            answer = await client.get(f"{url}/api/v3/traces/{trace}")
            spans: list[dict[str, Any]] = []
            if answer.is_success:
                resources = answer.json()["result"]["resourceSpans"]
                spans = [span for one in resources for scope in one["scopeSpans"] for span in scope["spans"]]
            if {span["name"] for span in spans} >= LOOKED_FOR:
                return spans
            assert time.monotonic() < deadline, f"Jaeger has only {[span['name'] for span in spans]}"
            await asyncio.sleep(0.2)


def test_one_on_the_path_is_taken_if_it_is_a_jaeger_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    other = tmp_path / "jaeger"
    other.write_text("#!/bin/sh\necho 'a robot for fibre positioners, 1.11'\n")
    other.chmod(0o755)
    assert jaeger.on_the_path() is None
    _stand_in(tmp_path)
    assert jaeger.on_the_path() == other
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    assert up._jaeger(_arguments()) == other
    assert up._jaeger(_arguments("--no-jaeger")) is None
    assert up._jaeger(_arguments("--otlp", "http://127.0.0.1:4317")) is None
    assert up._jaeger(_arguments("--jaeger")) == other
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    assert up._jaeger(_arguments()) is None


def test_a_jaeger_that_is_not_there_is_told_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"nothing is no program\. Get version 2 from https://"):
        jaeger.find(str(tmp_path / "nothing"))


@pytest.mark.parametrize("url", ["collector:4317", "http://", "http://x:port"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(CommandFailed, match=r"Give one like http://127\.0\.0\.1:4317"):
        jaeger.collector(url, {})


def test_the_port_says_which_protocol_a_collector_speaks_and_nobody_is_overruled() -> None:
    assert jaeger.collector("http://x:4318", {})["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
    told = jaeger.collector("http://x:4317", {"OTEL_TRACES_SAMPLER_ARG": "0.01"})
    assert told["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
    assert "OTEL_TRACES_SAMPLER" not in told
    assert jaeger.collector("http://x:4317", {})["OTEL_TRACES_SAMPLER"] == "always_on"


def _arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    up.add_arguments(parser)
    return parser.parse_args(given)


def _stand_in(folder: Path) -> Path:
    program = folder / "jaeger"
    source = Path(__file__).with_name("stand_in_jaeger.py")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {source} "$@"\n')
    program.chmod(0o755)
    return program
