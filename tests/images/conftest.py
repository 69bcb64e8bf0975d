"""Images are built with the Dockerfile's own commands, into folders; once per test process."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # Tests here write `from recipe import stages`.

Build = Callable[[str], Any]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """`built("order")`: what the build stage leaves for that service (recipe.Built)."""
    from recipe import build

    done: dict[str, Any] = {}

    def once(service: str) -> Any:
        if service not in done:
            done[service] = build(service, tmp_path_factory.mktemp(f"image-{service}"), compiled=service == "order")
        return done[service]

    return once
