"""What is written to a terminal. Numbers and names come from outside, and whoever chose them must not steer it."""

import re
from collections.abc import Iterable
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

# Control characters, and those that turn the direction of what stands beside them.
_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The same text; what would steer the terminal stands as one sign, as ␛ for an escape. Line ends stay."""
    return _STEERING.sub(lambda found: chr(0x2400 + ord(found[0])) if found[0] < " " else "\ufffd", text)


_COMMAND = re.compile(r"\btieout [a-z]")
# A command in a sentence, to where the sentence goes on or ends.
_TYPED = re.compile(r"(?:\S*\btieout [a-z]|\bkill -|\bkubectl |\bpsql ).*?(?=[`;)]|[.,:](?:\s|$)|$)", re.MULTILINE)
_GLUE = "\ue000"  # A blank inside a command, where no line ends.


class Screen(Console):
    """A rich console; of what it prints only its own styles are obeyed. A command is never broken in the middle.

    Whoever is told to run one copies it: where the line is too long, the terminal folds it, and that is no line end.
    """

    def print(self, *objects: Any, soft_wrap: bool | None = None, **more: Any) -> None:
        if soft_wrap is None and any(isinstance(one, str | Text) and _COMMAND.search(str(one)) for one in objects):
            soft_wrap = True
        super().print(*objects, soft_wrap=soft_wrap, **more)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)


def fits(console: Console, renderable: RenderableType) -> bool:
    """Whether it needs no more columns than there are. A table that does not would break its figures in the middle."""
    wide = console.options.update(max_width=10_000)
    return Measurement.get(console, wide, renderable).maximum <= console.width


def tell(console: Console, told: Text, indent: int = 4, first: int = 0) -> None:
    """A paragraph. On a terminal it is broken between words and goes on `indent` further in; elsewhere it is one line,
    as whoever searches in it wants it."""
    if not console.is_terminal:
        console.print(Text(" " * first).append_text(told), soft_wrap=True)
        return
    if _TYPED.search(told.plain):
        _tell_with_commands(console, told, indent, first)
        return
    begun = told.wrap(console, max(console.width - first, 20))[0]
    begun.rstrip()
    rest = told[len(begun) :]
    rest = rest[len(rest.plain) - len(rest.plain.lstrip()) :]
    console.print(Padding(begun, (0, 0, 0, first), expand=False), soft_wrap=False)
    if rest.plain:
        console.print(Padding(rest, (0, 0, 0, indent), expand=False), soft_wrap=False)


def _tell_with_commands(console: Console, told: Text, indent: int, first: int) -> None:
    """Broken between words and around commands. One that is wider than the terminal has a line of its own, which the
    terminal folds: copied, it is still one."""
    glued = _TYPED.sub(lambda found: found[0].replace(" ", _GLUE), told.plain)
    start, since = first, 0
    lines: list[tuple[int, int, int]] = []  # Indentation, and from where to where.
    last = 0
    for word in re.finditer(r"\S+", glued):
        if last and (start + cell_len(glued[since : word.end()]) > console.width or "\n" in glued[last : word.start()]):
            lines.append((start, since, last))
            wide = indent + cell_len(word[0]) > console.width
            start, since = (min(indent, 4) if wide else indent), word.start()
        last = word.end()
    for margin, begin, end in [*lines, (start, since, last)]:
        console.print(Text(" " * margin).append_text(told[begin:end]), soft_wrap=True)
