"""One line per entry: JSON for machines, or readable on a terminal. Everybody logs through `structlog.get_logger`."""

import logging
import sys
import time
from typing import Any, TextIO

import structlog

COMPLAIN_SECONDS = 60.0


class _Rarely(logging.Filter):
    """One entry a minute from a library that would complain with each attempt, for as long as a collector is away."""

    def __init__(self, library: str) -> None:
        super().__init__()
        self._library = library
        self._said = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(self._library):
            return True
        now = time.monotonic()
        if now - self._said < COMPLAIN_SECONDS:
            return False
        self._said = now
        return True


def set_up_logs(service: str, style: str, level: str, out: TextIO | None = None) -> None:
    """`style` is json or text. Libraries that use the standard logging appear from warnings up, in the same form.

    `out`: standard output, unless that is for something else.
    """
    out = out or sys.stdout
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)

    def add_service(_: Any, __: str, entry: Any) -> Any:
        entry.setdefault("service", service)  # Not a context variable: exporters log from threads of their own.
        return entry

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_service,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Any]
    if style == "text":
        rendered = [
            structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        rendered = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )

    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    handler.addFilter(_Rarely("opentelemetry"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.WARNING))
