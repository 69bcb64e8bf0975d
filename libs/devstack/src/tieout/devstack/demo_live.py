"""What the demo shows while it runs: how far each step of the chain is, and whether the store's line is up."""

import asyncio
import contextlib

import httpx
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from tieout.contracts.control import SHOW_STATUS, Status
from tieout.devstack.demo_feeding import Feeding
from tieout.devstack.trading_day.catalogue import OFFICE, STORE, WEB
from tieout.devstack.wording import counted

# Step, the event that tells it, who says so.
STEPS = (
    ("handed over", "order.submit.v1", "gateway"),
    ("placed", "order.placed.v1", "order"),
    ("reserved", "inventory.reserved.v1", "inventory"),
    ("shipped", "inventory.shipped.v1", "inventory"),
    ("billed", "finance.receivable_opened.v1", "finance"),
    ("settled", "finance.settled.v1", "finance"),
    ("completed", "order.completed.v1", "order"),
)
SECONDS_BETWEEN = 0.5


class LiveView:
    """Asks control for its throughput twice a second; on anything but a terminal it stays silent."""

    def __init__(self, console: Console, client: httpx.AsyncClient, feeding: Feeding, documents: int) -> None:
        self._console = console
        self._client = client
        self._feeding = feeding
        self._documents = documents
        self._counts: dict[str, int] = {}
        self.title = ""

    async def run(self) -> None:
        """Until it is cancelled."""
        if not self._console.is_terminal:
            return
        with Live(console=self._console, refresh_per_second=8, transient=True, get_renderable=self._draw):
            while True:
                await self._ask()
                await asyncio.sleep(SECONDS_BETWEEN)

    async def _ask(self) -> None:
        with contextlib.suppress(httpx.HTTPError, msgspec.MsgspecError):
            response = await self._client.get(SHOW_STATUS.path, params={"minutes": 60})
            status = msgspec.json.decode(response.content, type=Status)
            self._counts = {line.event_type: line.total for line in status.throughput}

    def _draw(self) -> Group:
        sent = sum(self._feeding.sent.values())
        table = Table.grid(padding=(0, 2))
        table.add_row(
            "documents sent", ProgressBar(self._documents, sent, width=40), f"{sent:,} of {self._documents:,}"
        )
        submitted = max(self._counts.get(STEPS[0][1], 0), 1)
        for step, event, service in STEPS:
            count = self._counts.get(event, 0)
            table.add_row(step, ProgressBar(submitted, count, width=40), f"{count:,}", Text(service, style="dim"))
        lanes = Text("  ").join(
            Text.assemble((lane, "cyan"), f" {self._feeding.sent[lane]:,}") for lane in (WEB, STORE, OFFICE)
        )
        return Group(Text(self.title, style="bold"), table, lanes, self._line())

    def _line(self) -> Text:
        feeding = self._feeding
        if feeding.cut_off:
            text = (
                "The store is cut off from the hub and goes on selling: "
                f"{counted(feeding.sold_while_cut, 'document')} so far."
            )
            return Text(text, style="bold yellow")
        if feeding.seconds_to_catch_up is not None:
            return Text(
                f"The store is back; the hub had caught up {feeding.seconds_to_catch_up:.1f} s later.", style="green"
            )
        return Text("The store's line to the hub is up.", style="dim")
