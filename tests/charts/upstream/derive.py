"""Renders what the remote NATS chart makes of our values, so that tests can boot it where that chart cannot be fetched.

    helm dependency build charts/platform && python tests/charts/upstream/derive.py charts/platform/charts/nats-2.14.2.tgz

Each file begins with a digest of the values that it was made from: a test fails when these have changed since.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
# name -> the environment's files, in their order
ENVIRONMENTS = {
    "default": (),
    "minimal": ("minimal/platform.yaml",),
    "production": ("production/platform.yaml",),
    "standby": ("production/platform.yaml", "multi-site/standby-platform.yaml"),
    "promoted": ("production/platform.yaml", "multi-site/promoted-platform.yaml"),
}


def nats_values(name: str) -> dict[str, Any]:
    """The `nats:` values of an environment, merged as helm merges them."""
    files = [ROOT / "charts" / "platform" / "values.yaml", *(ROOT / "k8s" / "values" / f for f in ENVIRONMENTS[name])]
    merged: dict[str, Any] = {}
    for file in files:
        _lay_over(merged, yaml.safe_load(file.read_text()).get("nats", {}))
    return merged


def digest(name: str) -> str:
    version = next(each["version"] for each in _dependencies() if each["name"] == "nats")
    return hashlib.sha256(json.dumps([version, nats_values(name)], sort_keys=True).encode()).hexdigest()


def _dependencies() -> list[dict[str, str]]:
    found: list[dict[str, str]] = yaml.safe_load((ROOT / "charts/platform/Chart.yaml").read_text())["dependencies"]
    return found


def _lay_over(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = value


def main(chart: str, helm: str = "helm") -> None:
    for name in ENVIRONMENTS:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as values:
            json.dump(nats_values(name), values)
            values.flush()
            command = [helm, "template", "tieout", chart, "--values", values.name]
            rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for document in yaml.safe_load_all(rendered):
            if document and document["kind"] == "ConfigMap" and "nats.conf" in document["data"]:
                text = f"# values sha256:{digest(name)}\n{document['data']['nats.conf']}"
                (HERE / f"{name}.conf").write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
