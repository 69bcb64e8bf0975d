"""Which selectors each version of a chart gave its workloads: they can't be changed where it is installed.

.venv/bin/python tests/charts/released.py     # with each new version of a chart: adds it to released.json
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from cases import MINIMAL, UMBRELLA
from tieout.contracts.streams import CORE_SERVICES
from tools import chart_yaml, render, title

RECORD = Path(__file__).with_name("released.json")
CHARTS = (*CORE_SERVICES, "tieout")


def selectors(chart: str) -> dict[str, Any]:
    """Kind/name -> what an upgrade cannot change, or what others have come to rely on."""
    found = {}
    for document in render(chart, UMBRELLA if chart == "tieout" else MINIMAL, release="tieout"):
        if document["kind"] in {"Deployment", "StatefulSet"}:
            found[title(document)] = document["spec"]["selector"]["matchLabels"]
        elif document["kind"] == "Service":
            found[title(document)] = document["spec"]["selector"]
    return found


def recorded() -> dict[str, dict[str, dict[str, Any]]]:
    """Chart -> version -> its selectors."""
    known: dict[str, dict[str, dict[str, Any]]] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return known


def record() -> None:
    """Adds the present version of each chart; what stands there stays as it is."""
    known = recorded()
    for chart in CHARTS:
        known.setdefault(chart, {}).setdefault(chart_yaml(chart)["version"], selectors(chart))
    RECORD.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    record()
