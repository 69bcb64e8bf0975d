"""A furnished stack costs eight seconds and is only copied: one is made for all workers of a run, and kept."""

import asyncio
import fcntl
import shutil
from pathlib import Path

import pytest
from tieout.devstack.chaos import seeded

ORDERS = 300  # More than any test here sells in one day: who needs less is not disturbed by what lies on the shelves.


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A stack's folder with companies, articles, satellites (`keys.json`) and opening stock: to copy, never to start.

    It is made by `seeded.furnish`, so it is to be started with `seeded.POSTGRES`.
    """
    base = tmp_path_factory.getbasetemp()
    # The folder of each worker lies in one that all workers of a run share; without workers it is our own.
    shared = base.parent if hasattr(request.config, "workerinput") else base
    folder = shared / "furnished"
    with (shared / "furnished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Who comes second waits, and finds it.
        if not folder.exists():
            asyncio.run(seeded.furnish(folder, ORDERS))
            shutil.rmtree(folder / "logs")  # A copy's logs tell of the copy alone.
    return folder
