"""The project's rules as tests: who may import whom, what is pure, what every service looks like."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists())
PACKAGES = {path.parent.name: path for path in [*ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src")]}

# What a library or service may import of the others.
MAY_IMPORT = {
    "contracts": set(),
    "servicekit": {"contracts"},
    "devstack": {"contracts", "servicekit"},
    **{service: {"contracts", "servicekit"} for service in SERVICES},
}
# Rules are decided from values alone: nothing here reads a clock, a file, a socket or the environment.
PURE = {
    *("__future__", "base64", "bisect", "calendar", "collections", "copy", "dataclasses", "datetime", "decimal"),
    *("enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "re"),
    *("statistics", "string", "types", "typing", "unicodedata", "uuid", "zoneinfo", "msgspec"),
}
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "shared", "models", "base"}
CLOCKS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter", "uuid4", "uuid1"}


def modules(package: str) -> Iterator[Path]:
    yield from sorted((PACKAGES[package] / "tieout").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a module imports, also inside functions; `from a import b` counts as a.b."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full, relative ones hide the direction"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def domain_files() -> list[Path]:
    return [
        path
        for service in SERVICES
        for path in modules(service)
        if path.name == "domain.py" or "domain" in path.relative_to(PACKAGES[service]).parts
    ]


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    for path in modules(package):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "tieout":
                other = parts[1] if len(parts) > 1 else ""
                assert other == package or other in MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {name}"


def test_contracts_need_msgspec_and_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"msgspec", "tieout"}
    for path in modules("contracts"):
        foreign = {name for name in imported(path) if name.split(".")[0] not in allowed}
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


@pytest.mark.parametrize("path", domain_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_domain_is_pure(path: Path) -> None:
    service = path.relative_to(ROOT / "services").parts[0]
    for name in imported(path):
        parts = name.split(".")
        pure = parts[0] in PURE or parts[:2] == ["tieout", "contracts"] or parts[:2] == ["tieout", service]
        assert pure, f"{path.name} imports {name}: a rule is decided from values alone"
        if parts[:2] == ["tieout", service] and len(parts) > 2:
            target = PACKAGES[service] / "tieout" / service / parts[2]
            assert target.name == "domain" or _is_pure_neighbour(target.with_suffix(".py")), (
                f"{path.name} imports {name}"
            )
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path.name}:{node.lineno} is async"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            clock = node.func.attr in CLOCKS and ast.unparse(node.func.value) in {"datetime", "date", "time", "uuid"}
            assert not clock, f"{path.name}:{node.lineno} reads a clock: take the instant as an argument"


def _is_pure_neighbour(path: Path) -> bool:
    """A module beside domain.py that is as pure as it, like an algorithm that got a file of its own."""
    return not path.exists() or all(
        name.split(".")[0] in PURE or name.startswith("tieout.contracts") for name in imported(path)
    )


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_shape(service: str) -> None:
    folder = ROOT / "services" / service
    package = folder / "src" / "tieout" / service
    wanted = [folder / "README.md", folder / "pyproject.toml", folder / "tests"]
    wanted += [
        package / name for name in ("__init__.py", "__main__.py", "app.py", "settings.py", "flows", "migrations")
    ]
    missing = [str(path.relative_to(ROOT)) for path in wanted if not path.exists()]
    assert not missing
    assert (package / "domain.py").exists() or (package / "domain").is_dir(), f"{service} has no domain"
    assert list((package / "migrations").glob("0001_pre_*.sql")), f"{service} has no first migration"


@pytest.mark.parametrize("service", SERVICES)
def test_migrations_are_numbered_without_gaps_and_say_when_they_run(service: str) -> None:
    names = sorted(path.name for path in (PACKAGES[service] / "tieout" / service / "migrations").glob("*.sql"))
    for number, name in enumerate(names, 1):
        assert re.fullmatch(rf"{number:04d}_(pre|post)_[a-z0-9_]+\.sql", name), name


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_depends_on_no_other_service(service: str) -> None:
    declared = (ROOT / "services" / service / "pyproject.toml").read_text()
    others = {f"tieout-{other}" for other in SERVICES if other != service}
    assert not {other for other in others if f'"{other}' in declared}


def test_nothing_is_called_by_what_it_is_not() -> None:
    """A module named `utils` has no owner and no subject; whatever ends up in it belongs somewhere else."""
    for package in PACKAGES:
        for path in modules(package):
            words = {part.removesuffix(".py") for part in path.relative_to(PACKAGES[package]).parts}
            assert not words & BANNED_NAMES, path.relative_to(ROOT)


def test_tieout_stays_a_namespace_that_packages_share() -> None:
    assert not [path for path in ROOT.glob("*/*/src/tieout/__init__.py")]


def test_every_named_statement_in_sql_is_used() -> None:
    """Dead SQL misleads: whoever reads it believes that it runs."""
    for package in PACKAGES:
        code = "\n".join(path.read_text() for path in modules(package))
        for path in sorted((PACKAGES[package] / "tieout").rglob("*.sql")):
            if path.name in {"violations.sql"} or path.parent.name in {"migrations", "kit"}:
                continue  # Run as a whole.
            for name in re.findall(r"^-- name: (\w+)", path.read_text(), re.MULTILINE):
                assert re.search(rf"\.{name}\b|[\"']{name}[\"']", code), f"{path.relative_to(ROOT)}: nobody runs {name}"


def declared_by(package: str) -> set[str]:
    """Distributions that a package declares, and those of the project's own packages below it."""
    declared = tomllib.loads((PACKAGES[package].parent / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {
        re.split(r"[\s\[<>=!;~]", requirement, maxsplit=1)[0].lower().replace("_", "-") for requirement in declared
    }
    below = [name.removeprefix("tieout-") for name in names if name.startswith("tieout-")]
    return names.union(*(declared_by(name) for name in below))


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_declares_what_it_imports(package: str) -> None:
    """Else it works in the workspace, where everything is installed, and fails alone in its image."""
    provided = metadata.packages_distributions()
    for path in modules(package):
        for name in imported(path):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top == "tieout":
                continue
            origins = {origin.lower().replace("_", "-") for origin in provided.get(top, [top])}
            if top in {"opentelemetry", "google"}:  # Namespaces that many distributions share.
                continue
            assert origins & declared_by(package), f"{path.relative_to(ROOT)} imports {name}: declare {origins}"


def test_no_test_asserts_how_long_something_took() -> None:
    """A busy machine takes four times as long, and nothing is wrong. A figure is a command's (`bench`); a test waits
    for a state (tieout.devstack.patience) or counts (tieout.devstack.plans). "At least so long" may be asserted.
    """
    timed = []
    tests = [path for where in ("tests", "libs/*/tests", "services/*/tests") for path in ROOT.glob(f"{where}/**/*.py")]
    for path in sorted(tests):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare):
                sides = [node.test.left, *node.test.comparators]
                for smaller, operator in zip(sides, node.test.ops, strict=False):
                    if isinstance(operator, (ast.Lt, ast.LtE)) and _is_elapsed(smaller):
                        timed.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert timed == []


def _is_elapsed(side: ast.expr) -> bool:
    """monotonic() - began, or the like."""
    if not isinstance(side, ast.BinOp) or not isinstance(side.op, ast.Sub) or not isinstance(side.left, ast.Call):
        return False
    return ast.unparse(side.left.func).rpartition(".")[2] in {"time", "monotonic", "perf_counter"}
