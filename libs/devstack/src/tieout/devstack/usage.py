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

from tieout.contracts.reason import wrong_reason
from tieout.devstack import hints
from tieout.devstack.terminal import visible

EXAMPLE = "for example: "
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
_MISSING = "the following arguments are required: "
_CHOICE = re.compile(r"argument (?:ACTION|WHAT): invalid choice: (['\"])(?P<given>.*?)\1")
_UNKNOWN = re.compile(r"unrecognized arguments: (?P<given>\S+)")


class FittedHelp(argparse.RawDescriptionHelpFormatter):
    """Keeps the paragraphs and lists of a description, and breaks their long lines where the terminal ends."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs: list[str] = []
        for line in text.strip().splitlines():
            if line and paragraphs and paragraphs[-1] and line[0] != " " != paragraphs[-1][0]:
                paragraphs[-1] += f" {line}"
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
    if explained is None or len(line) <= width:
        return textwrap.wrap(line, width, subsequent_indent=" " * start) or [""]
    if explained.end() <= width // 2:
        return textwrap.wrap(line, width, subsequent_indent=" " * explained.end())
    below = " " * (start + 4)
    rest = textwrap.wrap(line[explained.end() :], width, initial_indent=below, subsequent_indent=below)
    return textwrap.wrap(explained[1], width, subsequent_indent=below) + rest


def _typed(example: str, width: int) -> list[str]:
    """A long example goes on as a shell wants it, so that it can be copied: never inside a quoted word."""
    lines = [""]
    for word in re.findall(r'(?:"[^"]*"|\S)+', example):
        if lines[-1] and len(lines[-1]) + len(word) + 3 > width:
            lines[-1] += " \\"
            lines.append(f"   {word}")
        else:
            lines[-1] += f" {word}" if lines[-1] else word
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
            lines.append(f"{EXAMPLE}{hints.program()} {EXAMPLES.get(self._words) or self._needed_words()}")
        lines.append(f"all that it takes: {hints.program()} {self._words} --help")
        self.exit(2, "".join(f"{visible(line)}\n" for line in lines))

    def _told(self, message: str) -> str:
        if message.startswith(_MISSING):
            missing = [self._described(name.strip()) for name in message.removeprefix(_MISSING).split(",")]
            return f"missing: {'; '.join(missing)}"
        if (found := _CHOICE.match(message)) is not None:
            given, actions = found["given"], self._actions_of_it()
            return f"there is no {given!r} here, but: {', '.join(actions)}{meant(given, actions)}"
        if (found := _UNKNOWN.match(message)) is not None:
            options = [name for name in self._option_string_actions if name.startswith("--")]
            if later := self._actions_that_take(found["given"].partition("=")[0]):
                return f"{found['given']} comes after an action: {', '.join(later)}"
            return f"nothing is known of {found['given']}{meant(found['given'].partition('=')[0], options)}"
        return message

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
                known = (
                    ", ".join(self._actions_of_it()) if isinstance(action, argparse._SubParsersAction) else action.help
                )
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
    return f". Did you mean {found[0]}?" if found else ""


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
        told = f"tieout: the command comes first, then its options: {program} COMMAND {given}"
    else:
        told = f"tieout: there is no command {given!r}"
        told += f". Did you mean: {' or '.join(f'{program} {name}' for name in likely)}" if likely else ""
    width = 80
    listed = textwrap.fill(f"commands: {', '.join(known)}", width, subsequent_indent="  ", break_on_hyphens=False)
    sys.stderr.write(f"{visible(told)}\n{listed}\nwhat each does: {program} --help\n")
    sys.exit(2)
