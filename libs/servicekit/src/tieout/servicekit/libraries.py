"""The large libraries, loaded as a service needs them: what they load besides takes a third of the time of a start.

structlog takes `rich` wherever it is installed, for tracebacks that our logs do not draw; FastStream takes `uvicorn`,
for serving HTTP by itself, which no service does through it. Who imports either by himself still finds it.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """As if these were not installed; where one was loaded before, it stays."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # Then `import` says ModuleNotFoundError.
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Nothing that is being loaded is garbage, nor will it be: looking for it takes a quarter of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # Else the first collection afterwards looks through all of it.
        if collecting:
            gc.enable()


with uncollected(), without("rich", "uvicorn"):
    import asyncpg  # noqa: F401
    import faststream.nats  # noqa: F401
    import structlog  # noqa: F401
