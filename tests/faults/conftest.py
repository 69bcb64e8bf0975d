"""A furnished stack costs eight seconds and is only copied: each worker makes one of each size and keeps it."""

import asyncio
from pathlib import Path

import pytest
from tieout.devstack.chaos import seeded


@pytest.fixture(scope="session")
def furnished_20(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the trading day of 20 orders: to copy, never to start."""
    return _furnished(tmp_path_factory, 20)


@pytest.fixture(scope="session")
def furnished_40(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _furnished(tmp_path_factory, 40)


def _furnished(tmp_path_factory: pytest.TempPathFactory, orders: int) -> Path:
    folder = tmp_path_factory.mktemp(f"furnished-{orders}") / "stack"
    asyncio.run(seeded.furnish(folder, orders))
    return folder
