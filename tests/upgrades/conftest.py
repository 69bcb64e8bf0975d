"""A next release of three services, made of this one: what a team changes between two releases, as text.

It lies in a folder that stands before the installed packages on the path of the processes that are to run it; a
version of it is told by a `.dist-info` beside the packages, as an installer leaves it.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tieout import contracts, finance, inventory, order

PACKAGES = (contracts, order, inventory, finance)
FIELD = "campaign"  # order announces it from the next release on; inventory and finance keep it.
SAID = "autumn"  # What an order of the next release is told to belong to.
NOTHING_SAID = "none"  # What the next release of inventory and finance keeps where nothing was said.

# (file, what stands there, what stands there in the next release)
EDITS = (
    (
        "contracts/order.py",
        "    cancel_waits: bool = False  # A cancellation came first:",
        f'    {FIELD}: str = ""\n    cancel_waits: bool = False  # A cancellation came first:',
    ),
    ("order/flows/place_orders.py", '    "zone",\n)', f'    "zone",\n    "{FIELD}",\n)'),
    (
        "order/flows/place_orders.py",
        "                order.zone,\n",
        f'                order.zone,\n                "{SAID}",\n',
    ),
    (
        "order/flows/place_orders.py",
        "            cancel_waits=cancel_waits,\n",
        f'            cancel_waits=cancel_waits,\n            {FIELD}="{SAID}",\n',
    ),
    ("inventory/flows/reserve_stock.py", '"residual_minor"', f'"residual_minor {FIELD}"'),
    (
        "finance/flows/bill_shipments.py",
        '"due_date", "currency", "source"),',
        f'"due_date", "currency", "source", "{FIELD}"),',
    ),
    (
        "finance/flows/bill_shipments.py",
        "                    event.source,\n                )\n            )\n",
        f'                    event.source,\n                    "{NOTHING_SAID}",\n                )\n            )\n',
    ),
    (
        "inventory/flows/reserve_stock.py",
        "                        line.residual_minor,\n",
        f'                        line.residual_minor,\n                        order.{FIELD} or "{NOTHING_SAID}",\n',
    ),
)
TABLES = {"order": "order_header", "inventory": "demand", "finance": "receivable"}


@pytest.fixture
def release(tmp_path: Path) -> Callable[[str], Path]:
    """`release("0.2.0")`: the folder of the next release under that version, to stand first on PYTHONPATH."""

    def make(version: str) -> Path:
        folder = tmp_path / version
        for package in PACKAGES:
            (where,) = package.__path__
            name = Path(where).name
            shutil.copytree(where, folder / "tieout" / name, ignore=shutil.ignore_patterns("__pycache__"))
            told = folder / f"tieout_{name}-{version}.dist-info"
            told.mkdir()
            (told / "METADATA").write_text(f"Metadata-Version: 2.4\nName: tieout-{name}\nVersion: {version}\n")
        for file, was, becomes in EDITS:
            path = folder / "tieout" / file
            text = path.read_text()
            assert text.count(was) == 1, f"{file} was rewritten: tell this test what its next release is to change"
            path.write_text(text.replace(was, becomes))
        for service, table in TABLES.items():
            migrations = folder / "tieout" / service / "migrations"
            number = len(list(migrations.glob("*.sql")))
            # What the running release does not know may be added, and what it does not fill may be empty.
            (migrations / f"{number + 1:04d}_pre_{FIELD}.sql").write_text(
                f"ALTER TABLE {table} ADD COLUMN {FIELD} text;\n"
            )
            # What it would stumble over waits until it is gone.
            (migrations / f"{number + 2:04d}_post_{FIELD}.sql").write_text(
                f"ALTER TABLE {table} ADD CONSTRAINT {table}_{FIELD} CHECK ({FIELD} IS NOT NULL) NOT VALID;\n"
            )
        return folder

    return make
