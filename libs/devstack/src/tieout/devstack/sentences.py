"""Which sentences need a translation, and the catalogue brought up to date with them.

    python -m tieout.devstack.sentences            enters what is new, without a translation yet; drops what is gone

Found in the code, so that nobody keeps a list: what `told`, `told_count` and `marked` are given, and what services say
in English and a clerk reads: the steps of a journey and their details, why a document is refused or waits, states. In a
service's sentence each value is a number in braces.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, get_args

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from tieout.contracts import gateway, ticket
from tieout.contracts.agreement import MEASURES
from tieout.contracts.finance.approvals import RequestView
from tieout.contracts.finance.events import OrdersSettled
from tieout.contracts.streams import CORE_SERVICES, EVENTS
from tieout.devstack import cli
from tieout.devstack.languages import CATALOGUES, COLON, DIVIDERS, HELP, SAID

ROOT = Path(__file__).resolve().parents[5]
KEYWORDS = {"told": 1, "told_count": 2, "marked": 1}  # How many of what they are given are sentences.
_WHENCE = (("of source {1}", "{2}"), ("without a source", "{1}"))
# Composed where no reader of code could find them.
_MORE = (
    *("conflict", "duplicate", "refused noted", "cancelled noted", "waits: {0}", "for {0}", "also for {0}"),
    *("{0} line with {1} of carriage or another service", "{0} lines with {1} of carriage or another service"),
    *("by {0}: {1}", "{0} Settled since.", "waits for order {0} to ship"),
    *(f"{{0}} of {bound} {{1}} is expected" for bound in ("at least", "at most", "more than", "less than")),
    "Nothing is known of an order, document or voucher {0}. If a document was refused, it stands in the quarantine: "
    "{1}",
    "Nothing is known of an order, document or voucher {0} of company {1}. If a document was refused, it stands in the "
    "quarantine: {2}",
    *(
        f"Of {whose} {{1}} came by then and {{2}} went back. The refund is booked, and the difference is a claim on "
        "the customer: send the payment if it is missing, or claim the money back."
        for whose in ("order {0}", "customer {0} without an order")
    ),
    # Why a ticket is resolved.
    *(
        f"{ended}{rest}"
        for ended in ("Order {0}: settled by {1}", "A customer without an order: settled by {0}")
        for rest in ("", ". Nothing is left to claim.")
    ),
    *("Nothing is left to claim.", "All of its rules are checked again."),
    *("The flow handles messages again.", "Nothing waits too long any more.", "It moves again.", "It was proved."),
    *("a later proof no longer finds it", "The channel takes messages again.", "It is priority {0} now."),
    "Replay {0} booked its messages, and the books agree.",
    *("There is no company {0}.", "There is no company {0}. {1} lists them."),
    "There is no company {0}. Open it with PUT /v1/companies/{1}.",
    "{0} ends on {1}, and in {2} it is {3}: what is still sold in it would go into the next one. "
    "Close it when it is over.",
    "There is no such request. See {0}.",
    "This request is {0} already. Ask again where it is needed.",
    "{0} has asked for it; somebody else must approve.",
    "{0} has given a verdict already; somebody else must give the next one.",
    "{0} has asked for this already, with the reason “{1}”. Approve or reject that, or give this one a number of its "
    "own.",
    "1901 has {0} of this count now, not {1}. Reject this and ask again.",
    *(f"Count {{0}} {whence} has left nothing on 1901 of {last}." for whence, last in _WHENCE),
    "Period {0} of {1} is open again already.",
    "Period {0} of {1} is open. Closed through: {2}.",
    "An abnormal loss names the input tax of its goods, and no other loss does: give both, or neither.",
    "Goods lost to a disaster keep their input tax; abnormal is what was lost by bad management.",
    "The goods that are missing were worth {0}; their input tax cannot be {1}.",
    "The holidays of {0} are not published: weekdays are counted. Enter them as soon as they are announced: {1}",
    "There is no zone {0}; name one as Asia/Shanghai.",
    "Nothing was ever refused for the field {0}. Write it as {1} does.",
    "1901 is not zero: nobody has approved count {0}. Ask with {1} and have it approved.",
    *("{0} or {1}", "{0} entry", "{0} entries", "{0} character", "{0} characters"),
    *("order", "cancel", "credit", "receipt", "adjustment", "confirmation", "delivery", "payment", "refund"),
    *("voucher", "document", "application", "it took longer than {0} s"),
    # What argparse says of a wrong call.
    *("expected one argument", "expected at least one argument", "not allowed with argument {0}"),
    *("invalid choice: {0} (choose from {1})", "invalid int value: {0}"),
    *("one of the arguments {0} is required", "ambiguous option: {0} could match {1}"),
    "ignored explicit argument {0}",
)
HEADINGS = ("usage: ", "options", "positional arguments")
_HISTORY = (
    *("opened", "reopened", "acknowledged", "waiting", "resolved"),
    *("muted", "unmuted", "commented", "assigned", "prioritised", "overdue"),
)
BOOKS = ("order", "inventory", "finance")  # Who tells of documents that changed nothing.
_COLUMNS = re.compile("[a-z]_[a-z]+ [a-z]+_[a-z]")
_OF_FORM = ("wording.py", "casts.py")  # What is wrong with the form of a document.
_HEADER = """\
msgid ""
msgstr ""
"Language: {language}\\n"
"Plural-Forms: {plurals}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
_WORDS = re.compile("[A-Za-z]{2,}")


def shown() -> set[str | tuple[str, str]]:
    """What the command line says itself; pairs are one and several."""
    found: set[str | tuple[str, str]] = set()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _called(node) in KEYWORDS:
                given = [
                    str(one.value) for one in node.args[: KEYWORDS[_called(node)]] if isinstance(one, ast.Constant)
                ]
                found.update([(given[0], given[1])] if len(given) == 2 else given)
    return found


def heard() -> set[str]:
    """What services say."""
    found = {*_MORE, *_HISTORY, *_contracts()}
    for service in CORE_SERVICES:
        for file in sorted((ROOT / "services" / service / "src").rglob("*.py")):
            found.update(_in_code(file, ast.parse(file.read_text(encoding="utf-8")), service))
        found.update(_in_questions(ROOT / "services" / service / "src/tieout" / service / "reads.sql"))
    for command in cli.COMMANDS:
        if command.spoken:
            file = Path(__file__).with_name(f"{command.module.rpartition('.')[2]}.py")
            found.update(_of_wrong_values(ast.parse(file.read_text(encoding="utf-8"))))
    return {_spoken(text) for text in found if has_words(text)} | {*DIVIDERS, COLON}


def helps() -> set[str]:
    """What the overview and the parsers of the commands that speak tell of themselves: asked, for what one takes is
    composed in several places."""
    found = {cli.ABOUT, *HEADINGS, *(command.summary for command in cli.COMMANDS)}
    for command in cli.COMMANDS:
        if command.spoken:
            found.update(_of_parser(cli.parser_of(command)))
    return {text for text in found if has_words(text)}


def _of_parser(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield parser.description or ""
    for action in parser._actions:
        yield action.help or ""
        if isinstance(action, argparse._SubParsersAction):
            yield from (one.help or "" for one in action._choices_actions)
            yield from chain.from_iterable(map(_of_parser, action.choices.values()))


def has_words(text: str) -> bool:
    """Has words, and is no end of a sentence that begins elsewhere."""
    return not text.startswith((" ", ":", ";", ".")) and bool(_WORDS.search(re.sub(r"\{\w+\}", "", text)))


def _spoken(text: str) -> str:
    """waits_for_its_order is shown as words."""
    return text.replace("_", " ") if re.fullmatch("[a-z_]+", text) else text.removeprefix(", ")


def _contracts() -> Iterator[str]:
    yield from CORE_SERVICES
    for measure in MEASURES:
        yield measure.open_state
        yield measure.name
    for literal in (gateway.State, ticket.State, ticket.Kind, OrdersSettled.__annotations__["cause"]):
        yield from get_args(literal)
    yield from get_args(gateway.Quarantined.__annotations__["decision"])
    yield from get_args(RequestView.__annotations__["kind"])
    for subject in EVENTS:
        yield subject.split(".")[1]


def _in_code(file: Path, tree: ast.Module, service: str) -> Iterator[str]:
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for name in ("Reason", "REASONS", "STEPS", "_NAMES", "_FORMS"):
        if name in constants and file.name in ("faults.py", "reasons.py", "reads.py", *_OF_FORM):
            yield from _codes(constants[name])
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _in_function(function, constants, file.name, service)


def _of_wrong_values(tree: ast.Module) -> Iterator[str]:
    """What a command says of a value that it does not take."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "ArgumentTypeError":
            yield from chain.from_iterable(_texts(one, {}) for one in node.args)


def _codes(node: ast.expr) -> Iterator[str]:
    """Of a Literal its members, of reasons their codes, of steps their words."""
    if isinstance(node, ast.Subscript):
        yield from _texts(node.slice, {})
    elif isinstance(node, ast.Dict):
        words = node.keys if isinstance(node.values[0], ast.Tuple) else node.values
        yield from chain.from_iterable(_texts(one, {}) for one in words)


def _in_function(
    function: ast.FunctionDef | ast.AsyncFunctionDef, constants: dict[str, ast.expr], file: str, service: str
) -> Iterator[str]:
    names = dict(constants)
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id  # Given in several branches: any of them.
            names[name] = ast.Tuple([names[name], node.value]) if name in names else node.value
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and file in _OF_FORM:
            yield from _texts(node.value.elts[-1], {})
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    if file == "reads.py" and (function.name == "_lines" or any(_called(call) == "TrailEntry" for call in calls)):
        yield from _texts(function, {})
    for before, after in chain.from_iterable(map(_pairs, ast.walk(function))) if service in BOOKS else ():
        if isinstance(before, ast.Constant) and re.fullmatch("[a-z]+(_[a-z]+)+", str(before.value)):
            yield from (text for text in _texts(after, names) if " " in text and not _COLUMNS.search(text))
    for call in calls:
        if _called(call) == "ValueError" and file in _OF_FORM:
            yield from chain.from_iterable(_texts(one, {}) for one in call.args)
        elif _called(call) == "Fault" and len(call.args) > 1:
            yield from chain.from_iterable(_texts(part, names) for part in (call.args[0], *call.args[2:]))
        elif _called(call) == "park":
            yield from chain.from_iterable(_texts(one, names) for one in call.args[-1:])
        for keyword in call.keywords:
            known = {"park": "reason", "Opening": "detail"}.get(_called(call), "wait")
            if keyword.arg == known:
                yield from _texts(keyword.value, names)


def _pairs(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What stands beside each other: a reason and its sentence."""
    if isinstance(node, ast.Tuple):
        return pairwise(node.elts)
    if isinstance(node, ast.Call) and _called(node) not in ("Refused", "Problem", "TrailEntry", "bury", "_No", "Fault"):
        return pairwise(node.args)
    return iter(())


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _texts(node: ast.AST | None, names: dict[str, ast.expr]) -> Iterator[str]:
    """The sentences in an expression; not what is compared, looked up, asked for, or the key of a dictionary."""
    match node:
        case ast.Constant(value=str(text)):
            if not re.fullmatch(r"[a-z_]+(\.[a-z_]+)+(\.v\d)?|T\d.*", text):
                yield text
        case ast.JoinedStr(values=parts):
            template, values = "", 0
            for part in parts:
                if isinstance(part, ast.Constant):
                    template += str(part.value)
                else:
                    template, values = f"{template}{{{values}}}", values + 1
            yield template
            for part in parts:
                if isinstance(part, ast.FormattedValue):
                    yield from _texts(part, names)
        case ast.Name(id=name) if name in names:
            yield from _texts(names[name], {})
        case ast.Compare() | ast.Subscript() | ast.arguments() | None:
            return
        case ast.Dict(values=several):
            yield from chain.from_iterable(_texts(one, names) for one in several)
        case ast.Call(args=arguments, keywords=keywords):
            if _called(node) in ("get", "join", "fetch", "replace", "startswith"):
                arguments = arguments[1:]
            yield from chain.from_iterable(_texts(one, names) for one in arguments)
            yield from chain.from_iterable(_texts(one.value, names) for one in keywords if one.arg != "currency")
        case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
            stated = body[1:] if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) else body
            yield from chain.from_iterable(_texts(one, names) for one in stated)
        case ast.IfExp(body=yes, orelse=no):
            yield from chain(_texts(yes, names), _texts(no, names))
        case ast.AST():
            yield from chain.from_iterable(_texts(one, names) for one in ast.iter_child_nodes(node))


def _in_questions(file: Path) -> Iterator[str]:
    """Words in the SQL of trails: `'too late for ' || count` is too late for {0}."""
    if not file.exists():
        return
    for statement in file.read_text(encoding="utf-8").split("-- name: "):
        if statement.partition("\n")[0].endswith("trail"):
            text = re.sub("--.*", "", statement)
            for found in re.finditer(r"(\|\| *)?'([^'.,]*[a-z][^'.,]*)'( *\|\|)?", text):
                before, words, after = found.groups()
                if " " in words or "AS step" in text[found.end() : found.end() + 10]:
                    yield f"{'{0}' if before else ''}{words}{'{0}' if after else ''}"


def updated(catalogue: Catalog) -> Catalog:
    """With what is said now; what has a translation keeps it."""
    fresh = Catalog(locale=catalogue.locale, header_comment=catalogue.header_comment, fuzzy=False)
    for message in sorted(shown(), key=str):
        _copy(catalogue, fresh, message, None)
    for text in sorted(heard()):
        _copy(catalogue, fresh, text, SAID)
    for text in sorted(helps()):
        _copy(catalogue, fresh, text, HELP)
    return fresh


def _copy(before: Catalog, after: Catalog, key: str | tuple[str, str], context: str | None) -> None:
    known = before.get(key if isinstance(key, str) else key[0], context)
    translation: Any = known.string if known and bool(known.pluralizable) == isinstance(key, tuple) else ""
    after.add(key, translation or ("" if isinstance(key, str) else ("",)), context=context)


def read(file: Path) -> Catalog:
    with file.open("rb") as source:
        return read_po(source, locale=file.stem)


def write(catalogue: Catalog, file: Path) -> None:
    """Without dates and names, which would differ with every writing."""
    with file.open("wb") as target:
        target.write(_HEADER.format(language=file.stem, plurals=catalogue.plural_forms).encode())
        write_po(target, catalogue, width=0, omit_header=True, ignore_obsolete=True)


def missing(catalogue: Catalog) -> list[str]:
    return [str(one.id) for one in catalogue if one.id and not all(strings(one.string))]


def strings(of_message: Any) -> tuple[str, ...]:
    """Of one message or of its plural forms; babel tells either."""
    return (of_message,) if isinstance(of_message, str) else tuple(of_message or ("",))


def main() -> int:
    left = 0
    for file in sorted(CATALOGUES.glob("*.po")):
        catalogue = updated(read(file))
        write(catalogue, file)
        for text in missing(catalogue):
            left += 1
            print(f"{file.name}: {text}")
    print(f"{left} without a translation")
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main())
