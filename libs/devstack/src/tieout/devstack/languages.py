"""What finance and warehouse staff read, in their language: English as it stands in the code, Chinese from a catalogue.

    console.print(told("No answer from {services}.", services=names))
    told_count("{count} ticket", "{count} tickets", found)
    _CAUSES = {"dead": marked("dead letter")}      # A constant; told(_CAUSES[cause]) where it is shown.
    said(step.detail)                              # What a service said in English.

The catalogue is translations/zh.po beside this file, in the format of GNU gettext, that translators' tools read.
`python -m tieout.devstack.sentences` enters what is new; a test fails while anything has no Chinese. Only text for
people is translated: never --json, names, numbers, or what is typed.
"""

import argparse
import gettext
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from msgspec import Struct
from tieout.devstack.failures import CommandFailed

LANGUAGES = ("en", "zh")
VARIABLE = "TIEOUT_LANGUAGE"
CATALOGUES = Path(__file__).parent / "translations"
SAID = "said"  # The context of what services say, which stands in the code of others.
HELP = "help"  # The context of what `--help` tells.
DIVIDERS, COLON = ("; ", ", "), ": "  # Of a list, and of a reason from its sentence.
_LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")  # The first that is not empty counts, as everywhere.

_ENGLISH = gettext.NullTranslations()
_SPOKEN: ContextVar[gettext.NullTranslations] = ContextVar("spoken", default=_ENGLISH)
_CODE = re.compile("[a-z]+(_[a-z]+)+")


def add_argument(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Also to each action of the command, for people write it at the end."""
    told = f"zh (中文) or en; else {VARIABLE}, else the terminal's language"
    parser.add_argument("--language", choices=LANGUAGES, default=default, help=told)
    for entry in parser._actions:
        if isinstance(entry, argparse._SubParsersAction):
            for action in entry.choices.values():
                add_argument(action, argparse.SUPPRESS)


def chosen(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> str:
    """The command line's word, else TIEOUT_LANGUAGE, else what the terminal speaks, else English."""
    if arguments.language:
        return str(arguments.language)
    if named := environment.get(VARIABLE, ""):
        language = re.split("[-_.]", named.lower())[0]
        if language not in LANGUAGES:
            raise CommandFailed(f"{VARIABLE} is {named[:40]!r}, which is not spoken here: {', '.join(LANGUAGES)}")
        return language
    locale = next((value for name in _LOCALE if (value := environment.get(name, ""))), "")
    return "zh" if locale.lower().partition("_")[0] == "zh" else "en"


def meant_by(words: Sequence[str], environment: Mapping[str, str] = os.environ) -> str:
    """`chosen` before the words are parsed, for their help and for complaints about them; what is no language here is
    told when they are."""
    before = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    before.add_argument("--language", choices=LANGUAGES, default=None)
    try:
        return chosen(before.parse_known_args(list(words))[0], environment)
    except (argparse.ArgumentError, CommandFailed):
        return "en"


@contextmanager
def speaking(language: str) -> Iterator[None]:
    before = _SPOKEN.set(_ENGLISH if language == "en" else _catalogue(language))
    try:
        yield
    finally:
        _SPOKEN.reset(before)


def in_chinese() -> bool:
    """Where an answer holds both languages already, as the titles of tickets do."""
    return _SPOKEN.get() is not _ENGLISH


def of_both(english: str, chinese: str) -> str:
    """The reader's own of an answer that holds both languages; an older service may not know the other one."""
    return chinese if in_chinese() and chinese else english


def told(text: str, **values: object) -> str:
    """`{name}` stands for a value, and is left as it is where no value is given."""
    translated = _SPOKEN.get().gettext(text)
    return translated.format(**values) if values else translated


def told_count(one: str, several: str, count: int, **values: object) -> str:
    """`{count}` is written with its thousands apart."""
    return _SPOKEN.get().ngettext(one, several, count).format(count=f"{count:,}", **values)


def helped(text: str) -> str:
    """What the parser of a command says of itself."""
    return _SPOKEN.get().pgettext(HELP, text)


def marked(text: str) -> str:
    """The same; its translation is needed, and looked up where it is shown."""
    return text


def listed(names: Any) -> str:
    """A, B, C"""
    return told(", ").join(names)


def said(text: str) -> str:
    """A service's words. What holds values is known by its pattern (`short of {0}`), a list by its parts; what nobody
    knows stays as it is, for it may be a person's own."""
    spoken = _SPOKEN.get()
    return (_said(text, spoken) or text) if text and isinstance(spoken, _Spoken) else text


def _said(text: str, spoken: "_Spoken") -> str | None:
    """None where it is not known. A pattern whose value would swallow the rest of a list comes after the list."""
    if _CODE.fullmatch(text):
        text = text.replace("_", " ")
    exact = spoken.pgettext(SAID, text)
    if exact != text:
        return exact
    for pattern in spoken.patterns:
        if found := pattern.narrow.fullmatch(text):
            with suppress(LookupError):
                return _Saying(spoken).vformat(pattern.translation, found.groups(), {})
    for divider in DIVIDERS:
        if len(parts := text.split(divider)) == 1:
            continue
        known = [_said(part, spoken) or (part if _is_data(part) else None) for part in parts]
        if all(known) and known != parts:
            return spoken.pgettext(SAID, divider).join(map(str, known))
    if reasoned := _reasoned(text, spoken):
        return reasoned
    for pattern in spoken.patterns:
        if found := pattern.wide.fullmatch(text):
            with suppress(LookupError):
                return _Saying(spoken).vformat(pattern.translation, found.groups(), {})
    return None


def _reasoned(text: str, spoken: "_Spoken") -> str | None:
    """other_content: the lines differ; or 1001: the lines differ"""
    head, colon, rest = text.partition(COLON)
    reason = _said(head, spoken) if colon and _CODE.fullmatch(head) else None
    sentence = _said(rest, spoken) if rest else None
    if reason is None and (sentence is None or not _is_data(head)):
        return None
    return f"{reason or head}{spoken.pgettext(SAID, COLON)}{sentence or rest}"


def _is_data(text: str) -> bool:
    """A number, a code, a document's number: no word that could be translated."""
    return " " not in text and not re.fullmatch("[a-z]+", text)


class _Saying(Formatter):
    """`{0:said}` in a translation: the value may be words of a service itself. Raises LookupError where nobody knows
    these: half a sentence in each language is worse than a whole one in English."""

    def __init__(self, spoken: "_Spoken") -> None:
        self._spoken = spoken

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec != SAID:
            return str(value)
        words = _said(value, self._spoken)
        if words is None and not _is_data(value):
            raise LookupError(value)
        return words or str(value)


class _Pattern(Struct, frozen=True):
    translation: str
    narrow: re.Pattern[str]  # No value of it holds a list.
    wide: re.Pattern[str]
    words: int  # Characters that are no values.


class _Spoken(gettext.GNUTranslations):
    patterns: tuple[_Pattern, ...] = ()  # The most words first, for they say the most about what is meant.


def _pattern(template: str, translation: str) -> _Pattern:
    words = [re.escape(part) for part in re.split(r"\{\d+\}", template)]
    narrow, wide = (re.compile(value.join(words), re.DOTALL) for value in (r"((?:(?![,;] ).)+?)", "(.+?)"))
    return _Pattern(translation, narrow, wide, len("".join(words)))


@cache
def _catalogue(language: str) -> _Spoken:
    """Compiled when it is asked for, so that no file beside the catalogue can be older than it."""
    from babel.messages.mofile import write_mo  # Only who speaks another language waits for it.
    from babel.messages.pofile import read_po

    with (CATALOGUES / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    spoken = _Spoken(compiled)
    found = [_pattern(str(one.id), str(one.string)) for one in catalogue if one.context == SAID and "{0}" in one.id]
    spoken.patterns = tuple(sorted(found, key=lambda one: (-one.words, one.wide.groups)))
    return spoken
