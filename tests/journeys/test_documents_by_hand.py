"""The first order by hand, as docs/documents.md tells it, run word for word by a shell."""

import asyncio
import os
import re
import sys
from pathlib import Path

from tieout.contracts.order import SHOW_ORDER, OrderView, ShowOrder
from tieout.devstack.calling import call

PAGE = Path(__file__).parents[2] / "docs" / "documents.md"


async def test_the_first_order_by_hand_is_billed(trade):
    marked = re.compile(r"<!-- tested: tests/journeys/test_documents_by_hand\.py -->\n```sh\n(.+?)^```", re.M | re.S)
    (script,) = marked.findall(PAGE.read_text(encoding="utf-8"))
    where = trade.stack.endpoints()
    token = Path(where.admin_token_file).read_text().strip()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script,
        env={"URL": where.gateway, "TOKEN": token, "PATH": path, "NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await shell.communicate()
    assert shell.returncode == 0, told.decode()

    async def shown() -> OrderView:
        return await call(trade.client, SHOW_ORDER, ShowOrder("1001", company="MINE"))

    order = await trade.until(shown, lambda order: order.summary.billed_minor > 0)
    assert (order.summary.source, order.summary.billed_minor) == ("desk", 9800 + 1274)
