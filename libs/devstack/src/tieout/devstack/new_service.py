"""A service that lives: `python -m tieout.devstack.new_service returns --hears order.returned.v1`

It takes note of one event, announces that it did, and answers what it has noted. Everything that a service needs is
there (contract, package, flow, tests, chart, owner), so that a team begins by changing what runs.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tieout.contracts.streams import CORE_SERVICES, EVENTS, stream_of
from tieout.devstack.failures import CommandFailed

_SKELETON = Path(__file__).with_name("skeleton")
_NAME = re.compile(r"[a-z][a-z0-9]{1,20}")
_STREAMS = "libs/contracts/src/tieout/contracts/streams.py"
_WORDS = "services/control/src/tieout/control/domain/letters.py"
_CATALOGUE = "libs/contracts/src/tieout/contracts/catalogue.py"


def make(root: Path, service: str, subject: str) -> list[str]:
    """Write the service into the checkout at `root`; answers which files are new or changed.

    Raises CommandFailed for a name that is taken or none, or for an event that nobody announces.
    """
    if not _NAME.fullmatch(service):
        raise CommandFailed(
            f"{service!r} is no name for a service: small letters and digits, at most 21, as in returns"
        )
    if service in CORE_SERVICES or (root / "services" / service).exists():
        raise CommandFailed(f"there is a service {service} already; choose another name")
    if subject not in EVENTS:
        raise CommandFailed(f"nobody announces {subject!r}. There are: {', '.join(sorted(EVENTS))}")
    words = _words(service, subject)
    written = [_write(root / "libs/contracts/src/tieout/contracts" / f"{service}.py", "contract.py.new", words)]
    for source in sorted((_SKELETON / "service").rglob("*.new")):
        name = _filled(str(source.relative_to(_SKELETON / "service")).removesuffix(".new"), words)
        written.append(_write(root / "services" / service / name, str(source.relative_to(_SKELETON)), words))
    edits: tuple[tuple[str, Callable[[str], str]], ...] = (
        (_CATALOGUE, lambda text: _catalogued(text, service)),
        (_STREAMS, lambda text: _listed(text, service, subject)),
        ("pyproject.toml", lambda text: _once(text, '/src"\n', f'/src:services/{service}/src"\n', "mypy_path")),
        (_WORDS, lambda text: _named(text, service)),
        ("CODEOWNERS", lambda text: _owned(text, service)),
    )
    for name, edit in edits:
        path = root / name
        path.write_text(edit(path.read_text()))
        written.append(path)
    written += _chart(root, service, subject)
    _tidy(root, [path for path in written if path.suffix == ".py"])
    return [str(path.relative_to(root)) for path in written]


def _words(service: str, subject: str) -> dict[str, str]:
    event = EVENTS[subject]
    # Where people import it from: contracts.finance, not contracts.finance.events.
    module = event.__module__.removeprefix("tieout.contracts.").partition(".")[0]
    return {
        "@service@": service,
        "@Service@": service.capitalize(),
        "@SERVICE@": service.upper(),
        "@subject@": subject,
        "@event@": event.__name__,
        "@module@": module,
        "@producer@": event.PRODUCER,
    }


def _filled(text: str, words: dict[str, str]) -> str:
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text


def _write(path: Path, source: str, words: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_filled((_SKELETON / source).read_text(), words))
    return path


def _once(text: str, old: str, new: str, where: str) -> str:
    if text.count(old) != 1:
        raise CommandFailed(
            f"cannot enter the service in {where}: {old!r} stands there {text.count(old)} times, not once"
        )
    return text.replace(old, new)


def _catalogued(text: str, service: str) -> str:
    """Imported in the order of the alphabet, listed last."""
    begin, end = text.index("import (\n") + len("import (\n"), text.index("\n)")
    names = sorted([*text[begin:end].split("\n"), f"    {service},"])
    text = text[:begin] + "\n".join(names) + text[end:]
    return text.removesuffix(")\n") + f"    {service},\n)\n"


def _listed(text: str, service: str, subject: str) -> str:
    """Before control, which follows everybody; its flow before the first of the gateway."""
    text = _once(text, ', "control")\n', f', "{service}", "control")\n', _STREAMS)
    flow = f'    Hears("{service}-take-note", ("{subject}",)),\n'
    text = _once(text, '    Hears("gateway-note-articles"', flow + '    Hears("gateway-note-articles"', _STREAMS)
    return _once(
        text,
        "UNHEARD = frozenset(\n    {\n",
        f'UNHEARD = frozenset(\n    {{\n        "{service}.noted.v1",\n',
        _STREAMS,
    )


def _named(text: str, service: str) -> str:
    """What tickets call its flow, in both languages."""
    name = f'    "{service}-take-note": ("Taking notes in {service}", "{service} 记录事件"),\n'
    return _once(text, "FLOWS = {\n", f"FLOWS = {{\n{name}", _WORDS)


def _owned(text: str, service: str) -> str:
    lines = [
        f"/services/{service}/ @tieout/{service}",
        f"/libs/contracts/src/tieout/contracts/{service}.py @tieout/{service} @tieout/architecture",
        f"/charts/{service}/ @tieout/{service} @tieout/platform",
    ]
    return text.rstrip("\n") + "\n" + "\n".join(lines) + "\n"


def _tidy(root: Path, paths: list[Path]) -> None:
    """The order of imports depends on the names."""
    for words in (("check", "--select", "I", "--fix"), ("format",)):
        subprocess.run([sys.executable, "-m", "ruff", *words, "--quiet", *paths], cwd=root, check=True)


def _chart(root: Path, service: str, subject: str) -> list[Path]:
    """A thin chart like order's, which has nothing of its own but its flows; and its place in those that know all."""
    like, chart = root / "charts" / "order", root / "charts" / service
    shutil.copytree(like / "templates", chart / "templates")
    described = re.sub(
        r"^description: .*$", f'description: "Say in one sentence what {service} owns."', _text(like), flags=re.M
    )
    (chart / "Chart.yaml").write_text(_once(described, "name: order\n", f"name: {service}\n", "its chart"))
    for name in ("values.yaml", "README.in.md"):
        (chart / name).write_text(re.sub(r"\border\b", service, (like / name).read_text()))
    values = chart / "values.yaml"
    flow = f"flows:\n  - {{ stream: {stream_of(EVENTS[subject].PRODUCER)}, consumer: {service}-take-note }}\n"
    values.write_text(values.read_text().partition("flows:\n")[0] + flow)

    control, umbrella = root / "charts/control/values.yaml", root / "charts/tieout"
    first = "  - { stream: ORDER, consumer: control-report-order }\n"
    follows = f"  - {{ stream: {stream_of(service)}, consumer: control-follow-{service} }}\n"
    control.write_text(_once(control.read_text(), first, follows + first, "charts/control"))
    place = f'{{ name: {service}, version: ~0.1.0, repository: "file://../{service}", condition: {service}.enabled }}'
    listed = umbrella / "Chart.yaml"
    listed.write_text(
        _once(listed.read_text(), "  - { name: control,", f"  - {place}\n  - {{ name: control,", "charts/tieout")
    )
    given = umbrella / "values.yaml"
    secrets = (
        f"  secrets: {{ existingSecret: tieout-{service} }}\n  migrations: {{ existingSecret: tieout-{service}-owner }}"
    )
    block = f"{service}:\n  enabled: true\n{secrets}\n"
    given.write_text(_once(given.read_text(), "control:\n", f"{block}control:\n", "charts/tieout"))
    production = root / "k8s/values/production/tieout.yaml"
    last = "control: *production\n"
    production.write_text(
        _once(production.read_text(), last, f"{service}: *production\n{last}", "k8s/values/production")
    )
    return [*(path for path in sorted(chart.rglob("*")) if path.is_file()), control, listed, given, production]


def _text(chart: Path) -> str:
    return (chart / "Chart.yaml").read_text()


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tieout.devstack.new_service", description=__doc__.split("\n")[0])
    parser.add_argument("name", help="small letters and digits: returns")
    parser.add_argument("--hears", required=True, metavar="SUBJECT", help="an event to begin with: order.returned.v1")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    arguments = parser.parse_args(words)
    root = arguments.root.resolve()
    if not (root / _STREAMS).exists():
        sys.stderr.write(f"tieout: {root} is no checkout of the project. Go there, or name it with --root\n")
        return 2
    try:
        written = make(root, arguments.name, arguments.hears)
    except CommandFailed as failure:
        sys.stderr.write(f"tieout: {failure}\n")
        return 1
    print("\n".join(written))
    print(
        f"\nNext, as CONTRIBUTING.md tells it:\n"
        f"  ./tieout --version                                  installs it\n"
        f"  .venv/bin/python -m tieout.contracts.schemas        writes what it promises\n"
        f"  .venv/bin/python charts/documents.py                writes its chart's schema and README\n"
        f"  .venv/bin/python -m tieout.devstack.nats_auth --out charts/platform/files/permissions.json\n"
        f"  .venv/bin/python tests/charts/released.py           what upgrades of its chart must keep\n"
        f"  ./tieout test services/{arguments.name} tests/architecture tests/charts\n"
        f"  ./tieout up"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
