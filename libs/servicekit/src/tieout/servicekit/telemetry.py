"""Logs, traces and metrics. Without a collector nothing is lost and nothing is slow."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from tieout.servicekit.received import Received


def set_up_logs(service: str, style: str, level: str) -> None:
    """One line per entry: JSON, or readable where `style` is text."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if style == "text":
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()))
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(
        level=max(number, logging.WARNING), stream=sys.stdout, format="%(levelname)s %(name)s %(message)s"
    )


class Tracing:
    enabled = False

    @classmethod
    def off(cls) -> "Tracing":
        return cls()

    @classmethod
    def from_environment(cls, service: str, version: str) -> "Tracing":
        return cls()

    def close(self) -> None:
        pass

    def begin(self, kind: str, chain: str, order_no: str, company: str, cause: "Received[Any] | None") -> str:
        return ""

    @contextmanager
    def batch(self, durable: str, received: "Sequence[Received[Any]]", *, retry: bool) -> Iterator[None]:
        yield
