"""How a command is called: help that fits the terminal, and a wrong call told with what is missing and an example.

An example is the `epilog` of a parser (`for example: ./tieout …`), so `--help` and a complaint tell the same one.
"""

import argparse
import difflib
import re
import sys
import textwrap
from collections.abc import Iterable
from typing import Any, NoReturn

from rich.cells import cell_len
from tieout.contracts.reason import wrong_reason
from tieout.devstack import hints
from tieout.devstack.languages import helped, listed, marked, said, told
from tieout.devstack.terminal import visible

EXAMPLE = marked("for example: ")
WHY = "WHY"  # The metavar of every option by which a person says why.
# Where the names of what a command takes do not say enough by themselves.
EXAMPLES = {
    "feed": "feed --format uci-online-retail FILE.csv.gz",
    "journey": "journey 1001",
    "census": "census web orders.csv",
    "repair": "repair preview",
    "repair run": 'repair run --reason "a lost message"',
    "give-up": 'give-up finance-bill-shipments --reason "a test message"',
    "recover": "recover inventory",
    "bench": "bench chain",
    "quarantine show": "quarantine show INTAKE_ID",
    "quarantine correct": "quarantine correct INTAKE_ID --file fixed.json",
    "quarantine dismiss": 'quarantine dismiss INTAKE_ID --note "a test order"',
    "tickets mute": 'tickets mute 12 --for 8h --reason "the bank is closed"',
    "tickets assign": "tickets assign 12 --to @finance",
    "desk team": "desk team finance --to books",
    "desk deadline": "desk deadline 2 --minutes 240",
    "desk hours": 'desk hours "09:00-12:00 13:00-18:00"',
    "replay edit": 'replay edit 3 17 --file new.json --why "the SKU was wrong"',
    "token create": 'token create anna --actor "Anna Li" --scopes read,write',
    "periods close": 'periods close C1 2026-10 --why "all papers are in"',
    "periods reopen": 'periods reopen C1 2026-10 --why "invoice 7 is missing"',
    "approvals ask": 'approvals ask --company C1 --source wms --number CNT-7 --cause management --reason "recounted"',
    "approvals approve": 'approvals approve REQUEST_ID --note "recounted with me"',
    "approvals reject": 'approvals reject REQUEST_ID --note "count it again"',
}
# A wide character with the punctuation that closes behind it, or a word with the blanks around it.
_PARTS = re.compile(r"[\u2e80-\uffef][，。；：、！？）》”’]*|[^\s\u2e80-\uffef]+\s*|\s+")
_MISSING = "the following arguments are required: "
_CHOICE = re.compile(r"argument (?:ACTION|WHAT): invalid choice: (['\"])(?P<given>.*?)\1")
_ARGUMENT = re.compile(r"argument (?P<name>\S+): (?P<what>.+)", re.DOTALL)
_UNKNOWN = re.compile(r"unrecognized arguments: (?P<given>\S+)")


class FittedHelp(argparse.RawDescriptionHelpFormatter):
    """Keeps the paragraphs and lists of a description, and breaks their long lines where the terminal ends. All that a
    command tells of itself is translated here, in the reader's language."""

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, helped("usage: ") if prefix is None else prefix)

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None) -> str:
        """argparse counts characters, and a wide one takes two cells."""
        wider = cell_len(prefix or "") - len(prefix or "")
        self._width -= wider
        try:
            return super()._format_usage(usage, actions, groups, prefix)
        finally:
            self._width += wider

    def start_section(self, heading: str | None) -> None:
        super().start_section(helped(heading) if heading else heading)

    def _get_help_string(self, action: argparse.Action) -> str:
        return helped(action.help or "")

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrapped(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs: list[str] = []
        for line in helped(text).strip().splitlines():
            if line and paragraphs and paragraphs[-1] and line[0] != " " != paragraphs[-1][0]:
                paragraphs[-1] += line if _is_wide(paragraphs[-1][-1]) else f" {line}"
            else:
                paragraphs.append(line)
        return "\n".join(line for one in paragraphs for line in _filled(one, width))


def _filled(line: str, width: int) -> list[str]:
    """A list's line goes on below its explanation, which two blanks divide from what it explains. Where that leaves the
    explanation too little room, it stands on lines of its own."""
    if line.startswith(EXAMPLE):
        return _typed(line, width)
    start = len(line) - len(line.lstrip())
    explained = re.match(r"( +\S.*?)  +(?=\S)", line)
    if explained is None or cell_len(line) <= width:
        return _wrapped(line, width, below=" " * start) or [""]
    if explained.end() <= width // 2:
        return _wrapped(line, width, below=" " * explained.end())
    below = " " * (start + 4)
    return _wrapped(explained[1], width, below=below) + _wrapped(line[explained.end() :], width, below, below)


def _wrapped(text: str, width: int, first: str = "", below: str = "") -> list[str]:
    """Broken at blanks and beside wide characters, which are two cells; never before their closing punctuation."""
    if not any(map(_is_wide, text)):
        return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=below)
    lines = [first]
    for part in _PARTS.findall(text):
        if cell_len(lines[-1] + part.rstrip()) > width and lines[-1].strip():
            lines[-1] = lines[-1].rstrip()
            lines.append(below + part.lstrip())
        else:
            lines[-1] += part
    return lines


def _is_wide(sign: str) -> bool:
    return cell_len(sign) > 1


def _typed(example: str, width: int) -> list[str]:
    """A long example goes on as a shell wants it, so that it can be copied: never inside a quoted word."""
    lines = [told(EXAMPLE).rstrip()]
    for word in re.findall(r'(?:"[^"]*"|\S)+', example.removeprefix(EXAMPLE)):
        if cell_len(lines[-1]) + len(word) + 3 > width:
            lines[-1] += " \\"
            lines.append(f"   {word}")
        else:
            lines[-1] += word if _is_wide(lines[-1][-1]) else f" {word}"
    return lines


class Parser(argparse.ArgumentParser):
    """Complains in words and with an example instead of the bare usage. The exit code stays 2: wrong usage."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": FittedHelp, **more})
        self._words = self.prog.removeprefix("tieout ")
        if not self.epilog and self._words in EXAMPLES:
            self.epilog = f"{EXAMPLE}{hints.program()} {EXAMPLES[self._words]}"

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """What the help calls WHY is a reason: it is judged before anything is asked or shown, as the gateway would."""
        if action.metavar == WHY and (action.required or arg_string.strip()) and (wrong := wrong_reason(arg_string)):
            raise argparse.ArgumentError(action, wrong)
        return super()._get_value(action, arg_string)

    def error(self, message: str) -> NoReturn:
        lines = [f"{self.prog}: {self._told(message)}"]
        if message.startswith(_MISSING):
            lines.append(f"{told(EXAMPLE)}{hints.program()} {EXAMPLES.get(self._words) or self._needed_words()}")
        lines.append(told("all that it takes: {command}", command=f"{hints.program()} {self._words} --help"))
        self.exit(2, "".join(f"{visible(line)}\n" for line in lines))

    def _told(self, message: str) -> str:
        if message.startswith(_MISSING):
            missing = [self._described(name.strip()) for name in message.removeprefix(_MISSING).split(",")]
            return told("missing: {what}", what=told("; ").join(missing))
        if (found := _CHOICE.match(message)) is not None:
            given, actions = found["given"], self._actions_of_it()
            known = listed(actions)
            return told("there is no {given} here, but: {known}", given=repr(given), known=known) + meant(
                given, actions
            )
        if (found := _UNKNOWN.match(message)) is not None:
            options = [name for name in self._option_string_actions if name.startswith("--")]
            if later := self._actions_that_take(found["given"].partition("=")[0]):
                return told("{option} comes after an action: {actions}", option=found["given"], actions=listed(later))
            unknown = told("nothing is known of {given}", given=found["given"])
            return unknown + meant(found["given"].partition("=")[0], options)
        if (found := _ARGUMENT.fullmatch(message)) is not None:
            return told("argument {name}: {what}", name=found["name"], what=said(found["what"]))
        return said(message)

    def _actions_of_it(self) -> list[str]:
        for entry in self._actions:
            if isinstance(entry, argparse._SubParsersAction):
                return list(entry.choices)
        return []

    def _actions_that_take(self, option: str) -> list[str]:
        for entry in self._actions:
            if isinstance(entry, argparse._SubParsersAction):
                return [name for name, parser in entry.choices.items() if option in parser._option_string_actions]
        return []

    def _described(self, name: str) -> str:
        """--file FILE (the corrected document)"""
        for action in self._actions:
            if name in (argparse._get_action_name(action), action.dest):
                several = isinstance(action, argparse._SubParsersAction)
                known = listed(self._actions_of_it()) if several else helped(action.help or "")
                return f"{_written(action)} ({known})" if known else _written(action)
        return name

    def _needed_words(self) -> str:
        needed = [action for action in self._actions if action.required]
        needed.sort(key=lambda action: bool(action.option_strings))
        return " ".join((self._words, *map(_written, needed)))


def _written(action: argparse.Action) -> str:
    """As it is typed: --file FILE, ID."""
    if action.choices and not action.metavar:
        value = "|".join(map(str, action.choices))
    else:
        value = str(action.metavar or action.dest.upper())
    return " ".join((*action.option_strings[-1:], value))


def add_json(parser: argparse.ArgumentParser, told: str = "the answer as one JSON document") -> None:
    """`--json`, before an action or after it: there it has no default, which would undo what stood before."""
    parser.add_argument("--json", action="store_true", help=told)
    for entry in parser._actions:
        if isinstance(entry, argparse._SubParsersAction):
            for action in entry.choices.values():
                action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=told)


def meant(given: str, known: Iterable[str]) -> str:
    """. Did you mean status?"""
    found = difflib.get_close_matches(given, list(known), n=1, cutoff=0.6)
    return told(". Did you mean {known}?", known=found[0]) if found else ""


# What people try for what is called otherwise here.
_OTHER_WORDS = {
    "start": "up",
    "run": "up",
    "serve": "up",
    "stop": "down",
    "order": "journey",
    "orders": "journey",
    "trace": "journey",
    "check": "doctor",
    "health": "doctor",
    "ps": "status",
    "log": "logs",
    "import": "feed",
    "load": "feed",
    "send": "feed",
    "reconcile": "agreement",
    "verify": "agreement",
    "prove": "agreement",
    "count": "approvals",
    "requests": "approvals",
    "approve": "approvals",
    "close": "periods",
    "months": "periods",
    "reopen": "periods",
    "calendar": "periods",
    "config": "settings",
    "dead": "tickets",
}


def no_command(given: str, known: Iterable[str]) -> NoReturn:
    """Exit code 2, as for all wrong usage."""
    program, known = hints.program(), list(known)
    close = difflib.get_close_matches(given.lower(), known, n=2, cutoff=0.7)
    other = _OTHER_WORDS.get(given.lower(), "")
    likely = list(dict.fromkeys([*([other] if other in known else []), *close]))[:2]
    if given.startswith("-"):
        wrong = told("the command comes first, then its options: {command}", command=f"{program} COMMAND {given}")
    else:
        wrong = told("there is no command {given}", given=repr(given))
        meant_ = told(" or ").join(f"{program} {name}" for name in likely)
        wrong += told(". Did you mean: {known}", known=meant_) if likely else ""
    width = 80
    all_of_them = told("commands: {names}", names=", ".join(known))
    names = textwrap.fill(all_of_them, width, subsequent_indent="  ", break_on_hyphens=False)
    each = told("what each does: {command}", command=f"{program} --help")
    sys.stderr.write(f"tieout: {visible(wrong)}\n{names}\n{each}\n")
    sys.exit(2)
