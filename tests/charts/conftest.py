"""Charts are rendered by the real helm; `tools.py` says where it comes from."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # Tests here write `from tools import render`.


@pytest.fixture(scope="session", autouse=True)
def _leave_nothing() -> Iterator[None]:
    yield
    import tools

    if tools.home.cache_info().currsize:
        shutil.rmtree(tools.home(), ignore_errors=True)
