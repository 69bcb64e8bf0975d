"""charts/platform as far as it is ours: rendered from a copy without its remote dependencies, which need a network."""

import functools
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tools import CHARTS, OPERATORS, ROOT, Document, helm, home

ENVIRONMENTS = ROOT / "k8s" / "values"


@functools.cache
def alone() -> Path:
    target = home() / "platform-alone"
    shutil.copytree(CHARTS / "platform", target, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
    about = yaml.safe_load((target / "Chart.yaml").read_text())
    del about["dependencies"]
    (target / "Chart.yaml").write_text(yaml.safe_dump(about))
    return target


def render(
    values: Mapping[str, Any] | None = None,
    *,
    files: Sequence[str] = (),
    operators: Sequence[str] = OPERATORS,
    kubernetes: str = "1.37",
) -> list[Document]:
    """`files`: of k8s/values, in their order; `values` lie over them."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=home()) as own:
        json.dump(values or {}, own)
        own.flush()
        arguments: list[str | Path] = ["template", "tieout", alone(), "--namespace", "tieout"]
        arguments += ["--kube-version", f"{kubernetes}.0"]
        for file in (*(ENVIRONMENTS / file for file in files), own.name):
            arguments += ["--values", file]
        for operator in operators:
            arguments += ["--api-versions", operator]
        return [document for document in yaml.safe_load_all(helm(*arguments).stdout) if document]


def config_map(documents: Sequence[Document], name: str) -> dict[str, str]:
    found: dict[str, str] = next(
        each["data"] for each in documents if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name
    )
    return found
