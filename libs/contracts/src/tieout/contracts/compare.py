"""What a change of the contracts would break, compared with what was promised before.

    python -m tieout.contracts.compare               with the last release, and with the branch that this one is to join
    python -m tieout.contracts.compare origin/main   with any commit, branch or tag
    python -m tieout.contracts.compare --release     the promises of now are released: later changes are held to them

Two versions of a service run side by side while one takes the other's place, and streams keep messages for two weeks.
So a newer reader must understand what was written before, and an older one what is written from now on: events, and
what operations are asked and answer. Refused is whatever breaks one of the two; what older readers would not understand
if they were still there is told with who has to be deployed first. Exit code 1 when something is refused.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from tieout.contracts.schemas import ANSWERED, ASKED, FOLDER, schemas, write
from tieout.contracts.streams import FLOWS

Documents = dict[str, dict[str, Any]]  # File stem -> JSON Schema document, as `schemas()` gives it.

RELEASED = FOLDER / "released"  # As the last release promised them.
RETIRED = FOLDER / "retired.txt"  # Events and operations that ended on purpose: one subject and its reason a line.
_JOINED = "origin/main"  # What a change is compared with where there is such a branch.
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


class Found(Struct, frozen=True):
    where: str  # order.placed.v1 lines[].sku
    what: str
    next: str  # What to do instead, or besides.
    refused: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.what}\n    {self.next}"


def compare(old: Documents, new: Documents, retired: frozenset[str] = frozenset()) -> list[Found]:
    """`retired`: subjects and operations whose end was decided. What is new is never found: nobody was promised it."""
    found: list[Found] = []
    home = {subject: stem for stem, document in new.items() for subject in document["messages"]}
    for stem, before in sorted(old.items()):
        for subject in sorted(before["messages"]):
            if subject not in home:
                if subject.partition(" ")[0] not in retired:
                    found += _gone(subject, before, new)
                continue
            after = new[home[subject]]
            found += _moved(subject, stem, before, home[subject], after)
            walk = _walk_of(subject)(subject, before["$defs"], after["$defs"])
            found += walk.compared("", before["messages"][subject], after["messages"][subject])
    return found


def _gone(subject: str, before: dict[str, Any], new: Documents) -> Iterator[Found]:
    """A name that only another subject has now was renamed. An operation goes with both its sides, and is told once."""
    operation, _, side = subject.partition(" ")
    if side:
        if side == ASKED:
            yield Found(
                operation,
                "is gone",
                f"Callers still ask it. Keep it beside what replaces it until none does; then add it to {RETIRED.name} "
                "with the reason.",
            )
        return
    reference = before["messages"][subject]
    others = [
        other
        for document in new.values()
        for other, one in document["messages"].items()
        if one == reference and other not in before["messages"]
    ]
    what = f"is gone, and {others[0]} has its content" if others else "is gone"
    yield Found(
        subject,
        what,
        f"Keep it beside {others[0] if others else _successor(subject)} until no release hears it and no stream holds "
        f"it any more; then add it to {RETIRED.name} with the reason.",
    )


def _moved(subject: str, stem: str, before: dict[str, Any], other: str, after: dict[str, Any]) -> Iterator[Found]:
    operation, _, side = subject.partition(" ")
    if side:
        was, now = before["routes"][operation], after["routes"][operation]
        if side == ASKED and was != now:
            yield Found(
                operation, f"was {was} and is {now}", f"Callers know {was}. Keep it, and offer another operation."
            )
        return
    step = f"Announce {_successor(subject)} from there, beside {subject} from here."
    if stem != other:
        yield Found(subject, f"was published by {stem} and is by {other}", step)
    elif before.get("stream", after.get("stream")) != after.get("stream"):
        yield Found(subject, f"was in stream {before['stream']} and is in {after['stream']}", step)


def _successor(subject: str) -> str:
    """`order.placed.v2`, the name beside `order.placed.v1`."""
    name, mark, number = subject.rpartition(".v")
    return f"{name}.v{int(number) + 1}" if mark and number.isdigit() else f"{subject}.v2"


class _Walk:
    """Through two versions of one message at once. Names of types are not on the wire, so they may change."""

    OTHER_DEFAULT = "A default is not written, so messages of before would change their meaning. Add a field beside it."
    KEEP = "Keep it, and fill it."
    NONE_BEFORE = "Messages that were written before have none. Give it the default that says what they meant."

    def __init__(self, subject: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        self._subject = subject
        self._old = old
        self._new = new
        self._open: set[tuple[str, str]] = set()  # Pairs of types on the way here: a type may hold itself.

    def compared(self, path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Found]:
        pair = (before.get("$ref", ""), after.get("$ref", ""))
        if pair in self._open:
            return
        if any(pair):
            self._open.add(pair)
        if ("default" in before) and ("default" in after) and before["default"] != after["default"]:
            yield self._no(
                path,
                f"its default was {_told(before['default'])} and is {_told(after['default'])}",
                self.OTHER_DEFAULT,
            )
        yield from self._shapes(path, _resolved(before, self._old), _resolved(after, self._new))
        self._open.discard(pair)

    def _shapes(self, path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Found]:
        if "properties" in before and "properties" in after:
            yield from self._fields(path, before, after)
            return
        if "anyOf" in before or "anyOf" in after:
            yield from self._choices(path, before, after)
            return
        if "enum" in before and "enum" in after:
            yield from self._values(path, before["enum"], after["enum"])
            return
        if _kind(before) != _kind(after):
            yield self._no(path, f"was {_kind(before)} and is {_kind(after)}", self._instead(path))
            return
        yield from self._limits(path, before, after)
        if isinstance(before.get("items"), dict) and isinstance(after.get("items"), dict):
            yield from self.compared(f"{path}[]", before["items"], after["items"])
        if isinstance(before.get("additionalProperties"), dict) and isinstance(after.get("additionalProperties"), dict):
            yield from self.compared(f"{path}{{}}", before["additionalProperties"], after["additionalProperties"])
        if len(before.get("prefixItems", ())) != len(after.get("prefixItems", ())):
            yield self._no(path, "has another number of places", self._instead(path))
        for place, (one, other) in enumerate(
            zip(before.get("prefixItems", ()), after.get("prefixItems", ()), strict=False)
        ):
            yield from self.compared(f"{path}[{place}]", one, other)

    def _fields(self, path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Found]:
        needed_before, needed_now = set(before.get("required", ())), set(after.get("required", ()))
        for field, shape in before["properties"].items():
            at = f"{path}.{field}" if path else field
            if field not in after["properties"]:
                yield self._no(at, "is gone", self.KEEP + f" A meaning of its own: {self._successor()}.")
                continue
            yield from self.compared(at, shape, after["properties"][field])
            if field in needed_before - needed_now:
                yield self._optional(at)
        for field in sorted(needed_now - needed_before):
            at = f"{path}.{field}" if path else field
            yield self._no(
                at,
                "is required now" if field in before["properties"] else "is new and required",
                self.NONE_BEFORE,
            )

    def _choices(self, path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Found]:
        old = {_kind(_resolved(one, self._old)): one for one in before.get("anyOf", [before])}
        new = {_kind(_resolved(one, self._new)): one for one in after.get("anyOf", [after])}
        for kind in old.keys() - new.keys():
            yield self._no(path, f"may not be {kind} any more", self._instead(path))
        for kind in new.keys() - old.keys():
            yield self._readers_first(path, f"may be {kind} too")
        for kind in old.keys() & new.keys():
            yield from self.compared(path, old[kind], new[kind])

    def _values(self, path: str, before: list[Any], after: list[Any]) -> Iterator[Found]:
        for value in before:
            if value not in after:
                yield self._no(path, f"may not be {_told(value)} any more", self._instead(path))
        for value in after:
            if value not in before:
                yield self._readers_first(path, f"may be {_told(value)} too")

    def _limits(self, path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Found]:
        for key in (*_LOWER, *_UPPER):
            was, now = before.get(key), after.get(key)
            if was == now:
                continue
            if was is None or (now is not None and (now > was if key in _LOWER else now < was)):
                told = f"its {key} is {now} now" if was is None else f"its {key} was {was} and is {now}"
                yield self._no(
                    path, told, "What was right before would be refused. Keep the limit, or: " + self._instead(path)
                )
            else:
                yield self._readers_first(
                    path, f"its {key} was {was} and is {'no longer there' if now is None else now}"
                )
        if before.get("pattern") != after.get("pattern"):
            if after.get("pattern") is None:
                yield self._readers_first(path, f"need not be like {before['pattern']} any more")
            else:
                told = f"must be like {after['pattern']}, and was like {before.get('pattern', 'anything')}"
                yield self._no(path, told, self._instead(path))

    def _optional(self, path: str) -> Found:
        return self._no(
            path,
            "has a default now",
            "A default is not written, and older readers refuse a message without this field. Take it away.",
        )

    def _no(self, path: str, what: str, next_step: str) -> Found:
        return Found(f"{self._subject} {path}".rstrip(), what, next_step)

    def _readers_first(self, path: str, what: str) -> Found:
        return Found(
            f"{self._subject} {path}".rstrip(),
            what,
            f"Older readers refuse that: in the release notes, say to deploy {self._first()}.",
            refused=False,
        )

    def _first(self) -> str:
        readers = sorted({flow.service for flow in FLOWS if self._subject in flow.subjects})
        return f"{', '.join(readers)} before its producer" if readers else "who reads it before its producer"

    def _instead(self, path: str) -> str:
        beside = path.rpartition(".")[2] or "it"
        return f"Add a field beside {beside}, or announce {self._successor()} beside {self._subject}."

    def _successor(self) -> str:
        return _successor(self._subject)


class _Answered(_Walk):
    """What an operation answers: read by callers, among them gateways and tools of the release before."""

    KEEP = "Keep it, and fill it: callers read it."
    NONE_BEFORE = "An owner of the release before does not answer it. Give it the default that says what that means."

    def _first(self) -> str:
        return f"the gateway and who else asks before {self._owner}"

    def _instead(self, path: str) -> str:
        return f"Add a field beside {path.rpartition('.')[2] or 'it'}, or offer {self._successor()}."

    def _successor(self) -> str:
        return f"another operation beside {self._subject.partition(' ')[0]}"

    @property
    def _owner(self) -> str:
        return self._subject.partition(".")[0]


class _Asked(_Answered):
    """What an operation is asked: written by callers who know the release before, and read by its owner."""

    OTHER_DEFAULT = "Who leaves it out would ask for something else. Add a field beside it."
    KEEP = "Callers who send it would be refused. Keep it."
    NONE_BEFORE = "Callers of before do not send it. Give it the default that says what they meant."

    def _optional(self, path: str) -> Found:
        """Only its owner reads it, and only newer callers leave it out."""
        return self._readers_first(path, "has a default now")

    def _first(self) -> str:
        return f"{self._owner} before the gateway and who else asks"


def _walk_of(subject: str) -> type[_Walk]:
    return {ASKED: _Asked, ANSWERED: _Answered}.get(subject.partition(" ")[2], _Walk)


def _resolved(shape: dict[str, Any], types: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in shape:
        shape = types[shape["$ref"].rpartition("/")[2]]
    return shape


def _kind(shape: dict[str, Any]) -> str:
    if "properties" in shape:
        return "an object"
    if "enum" in shape:
        return "one of a list"
    return " ".join(str(shape[key]) for key in ("format", "type") if key in shape) or "anything"


def _told(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# ------------------------------------------------------------------------------------------- where the older ones lie


def of_commit(reference: str) -> Documents:
    """As they were committed there. Raises ValueError where git knows no such commit, or has no schemas in it."""
    listed = _git("ls-tree", "--name-only", reference, "./")
    stems = [name.removesuffix(".json") for name in listed.splitlines() if name.endswith(".json")]
    if not stems:
        raise ValueError(f"{reference} has no schemas in {FOLDER}")
    return {stem: msgspec.json.decode(_git("show", f"{reference}:./{stem}.json")) for stem in stems}


def of_folder(folder: Path) -> Documents:
    return {path.stem: msgspec.json.decode(path.read_bytes()) for path in sorted(folder.glob("*.json"))}


def retired() -> frozenset[str]:
    lines = RETIRED.read_text().splitlines() if RETIRED.exists() else []
    return frozenset(line.split()[0] for line in lines if line.strip() and not line.startswith("#"))


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(FOLDER), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.strip() or f"git {words[0]} failed")
    return done.stdout


def _usual() -> Iterator[tuple[str, Documents]]:
    """The last release, by its tag or as it was committed; and the branch that this one is to join, where there is."""
    try:
        tag = _git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*").strip()
        yield f"release {tag}", of_commit(tag)
    except ValueError:
        if RELEASED.exists():
            yield "the last release (schemas/released)", of_folder(RELEASED)
    try:
        base = _git("merge-base", "HEAD", _JOINED).strip()
        yield f"{_JOINED} at {base[:10]}", of_commit(base)
    except ValueError:
        return  # No clone of a shared repository.


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tieout.contracts.compare", description=__doc__.split("\n")[0])
    parser.add_argument("reference", nargs="?", help="a commit, branch or tag; else the last release and origin/main")
    parser.add_argument("--release", action="store_true", help="write schemas/released: what is promised from now on")
    arguments = parser.parse_args(words)
    now = msgspec.json.decode(msgspec.json.encode(schemas()))
    try:
        older = [(arguments.reference, of_commit(arguments.reference))] if arguments.reference else [*_usual()]
    except ValueError as error:
        sys.stderr.write(f"{error}. Name a commit of this repository.\n")
        return 2
    refused = 0
    for name, documents in older:
        found = compare(documents, now, retired())
        refused += sum(one.refused for one in found)
        print(f"compared with {name}: {_summary(found)}")
        for one in found:
            print(f"{'refused' if one.refused else 'readers first'}  {one}")
    if arguments.release and not refused:
        write(now, RELEASED)
        print(f"written to {RELEASED}; commit them with the release")
    return 1 if refused else 0


def _summary(found: list[Found]) -> str:
    if not found:
        return "nothing that was promised has changed"
    refused = sum(one.refused for one in found)
    return f"{refused} refused, {len(found) - refused} for whose sake readers are deployed first"


if __name__ == "__main__":
    sys.exit(main())
