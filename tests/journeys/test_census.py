"""A shop's own list shows which orders never came; they are fetched, and afterwards the list and we agree."""

import asyncio
import http.server
import json
import threading
from pathlib import Path

import pytest
from tieout.devstack import cli
from tieout.devstack.trading_day import shopify
from tieout.devstack.trading_day.catalogue import AMPLE, WEB


@pytest.fixture
def shop_server():
    """The shop's own HTTP: GET /orders/<number>."""
    orders: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = orders.get(self.path.rsplit("/", 1)[-1])
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *told: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/orders/{{number}}", orders
    server.shutdown()


async def test_orders_that_never_came_are_named_fetched_and_then_there(trade, shop_server, tmp_path: Path):
    url, orders = shop_server
    came, lost = trade.sale(AMPLE[0]), trade.sale(AMPLE[1])
    await trade.shop("orders/create", shopify.order(came))
    orders[lost.number] = json.dumps(shopify.order(lost)).encode()
    await trade.until(lambda: trade.vouchers(came), bool)
    listing, secret = tmp_path / "orders.csv", tmp_path / "secret"
    listing.write_text(f"order,paid\n{came.number},x\n{lost.number},x\n")
    secret.write_text(trade.keys[WEB])

    async def census(*more: str) -> int:
        words = ["census", WEB, str(listing), "--number", "order", "--dir", str(trade.stack.folder), *more]
        return await asyncio.to_thread(cli.main, words)

    missing = tmp_path / "missing"
    assert await census("--missing", str(missing)) == 1
    assert missing.read_text() == f"{lost.number}\n"
    assert await census("--fetch", url, "--channel", "shopify-orders", "--secret-file", str(secret)) == 1
    await trade.until(lambda: trade.vouchers(lost), bool)
    assert await census() == 0
    assert await census("--fetch", url, "--channel", "shopify-orders", "--secret-file", str(secret)) == 0
    assert [len(await trade.vouchers(sale)) for sale in (came, lost)] == [1, 1]


async def test_a_list_that_cannot_be_read_is_refused_with_the_field_and_the_next_step(trade, tmp_path: Path, capsys):
    listing = tmp_path / "orders.json"
    for content, word in (
        ('[{"id": 5}]', "--number"),
        ('[{"number": "5", "amount": "1.999", "currency": "EUR"}]', "no amount in EUR"),
        ('[{"number": "5", "amount": "1.99", "currency": "XX"}]', "--currency"),
        ('[{"number": "5", "date": "yesterday"}]', "2026-11-23"),
        ('{"orders"', "JSON"),
    ):
        listing.write_text(content)
        words = ["census", WEB, str(listing), "--dir", str(trade.stack.folder)]
        assert await asyncio.to_thread(cli.main, words) == 1
        assert word in capsys.readouterr().err
