"""How far a feed is: a bar on a terminal, now and then a line elsewhere; and what an interrupted one has sent."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from tieout.devstack import hints
from tieout.devstack.wording import counted

LINE_SECONDS = 5.0  # Into a file or a pipe: seldom enough for a log, often enough to see that it goes on.


@dataclass
class Steps:
    """What is counted, one after the other: `sent`, then `lines accounted for`."""

    console: Console
    clock: Callable[[], float] = time.monotonic
    _bars: Progress = field(init=False)
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _told: dict[str, tuple[float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def tell(self, step: str, done: int, total: int) -> None:
        if not self.console.is_terminal:
            self._tell_line(step, done, total)
            return
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=total)
        self._bars.update(self._tasks[step], completed=done, total=total)

    def _tell_line(self, step: str, done: int, total: int) -> None:
        """The beginning is told when something is late, the end always and once."""
        now = self.clock()
        if step not in self._told:
            self._told[step] = (now, -1)
        at, last = self._told[step]
        if done != last and (done == total or now - at >= LINE_SECONDS):
            self._told[step] = (now, done)
            self.console.print(f"{step}: {done:,} of {total:,}", highlight=False)


@dataclass
class Sent:
    """Documents of this run, by what the gateway has answered so far."""

    total: int = 0
    taken: int = 0  # It has them on disk.
    on_the_way: int = 0  # Sent, and not answered yet: they may have come or not.

    def interrupted(self) -> str:
        """What a person wants to know who pressed Ctrl-C."""
        again = (
            "give the same command again: what has come before is told as duplicate, and booked once; what was refused "
            "before stands in the quarantine twice then"
        )
        if not (self.taken or self.on_the_way):
            return "interrupted before any document was sent. To go on, give the same command again"
        if self.taken == self.total:
            see = hints.command("status")
            return (
                f"interrupted while the books took it in. All {counted(self.total, 'document')} were sent, and will be "
                f"booked without this command. How far they are: {see}. For the report, {again}"
            )
        unsure = f", and {self.on_the_way:,} were on their way: they may have come or not" if self.on_the_way else ""
        left = self.total - self.taken - self.on_the_way
        return (
            f"interrupted. {self.taken:,} of {counted(self.total, 'document')} were sent and will be booked, "
            f"{left:,} were not sent{unsure}. To go on, {again}"
        )
