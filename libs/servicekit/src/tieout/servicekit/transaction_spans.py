"""Spans of transactions: what a slow database looks like in a trace.

A batch that is followed has one span for its transaction, and one more for each statement that was slow. Of all other
transactions only those are told that took a second: two readings of the clock are all that they cost.
"""

import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tieout.servicekit.sql import NAMES

SLOW_SECONDS = 1.0  # A transaction that took so long is told, whatever it was for.
SLOW_STATEMENT_SECONDS = 0.02  # One that is slower stands out; the others are the transaction's.
STATEMENT_CHARACTERS_MAX = 1_000
_SYSTEM = {"db.system.name": "postgresql"}


def place_of(database_url: str) -> dict[str, Any]:
    """The database that a URL names, in the published words."""
    parts = urlsplit(database_url)
    told: dict[str, Any] = {**_SYSTEM, "db.namespace": parts.path.lstrip("/")}
    if parts.hostname:
        told["server.address"] = parts.hostname
        told["server.port"] = parts.port or 5432
    return told


class TransactionSpan:
    """From before a connection is free until after the commit. `working`: what this task works on, if anything."""

    def __init__(self, api: Any, tracer: Any, place: dict[str, Any], working: Any) -> None:
        self._api, self._tracer, self._place, self._working = api, tracer, place, working
        self._began = time.time_ns()
        self._span = self._start(self._began) if working is not None and working.followed else None
        self._ended = False

    @property
    def live(self) -> bool:
        """Whether its statements are of interest."""
        return self._span is not None

    @contextmanager
    def watching(self, connection: Any) -> Iterator[None]:
        """While it is this transaction's: the commit is a statement like others. Of a live one only."""
        assert self._span is not None
        self._span.add_event("connection is free")
        connection.add_query_logger(self._hear)
        try:
            yield
        finally:
            connection.remove_query_logger(self._hear)

    async def timed(self, what: str, doing: Awaitable[Any]) -> None:
        """The driver tells of no COPY."""
        began, error = time.monotonic(), None
        try:
            await doing
        except BaseException as failure:
            error = failure
            raise
        finally:
            self._tell(what, "", time.monotonic() - began, error)

    def end(self, error: BaseException | None = None) -> None:
        span = self._span
        if self._ended:
            return
        self._ended = True
        if span is None:
            sampled = self._working is not None and self._working.begun
            if not sampled and time.time_ns() - self._began < SLOW_SECONDS * 1e9:
                return
            span = self._start(self._began)
        if error is not None:
            self._blame(span, error)
        span.end()

    def _start(self, began: int) -> Any:
        from opentelemetry.context import Context

        parent = self._working.span if self._working is not None else None
        return self._tracer.start_span(
            f"TRANSACTION {self._place.get('db.namespace', '')}".strip(),
            context=Context() if parent is None else self._api.set_span_in_context(parent),
            kind=self._api.SpanKind.CLIENT,
            start_time=began,
            attributes={**self._place, "db.operation.name": "TRANSACTION"},
        )

    def _hear(self, record: Any) -> None:
        name = NAMES.get(record.query) or record.query.split(None, 1)[0].rstrip(";").upper()
        self._tell(name, record.query, record.elapsed, record.exception)

    def _tell(self, name: str, text: str, seconds: float, error: BaseException | None) -> None:
        """Called a moment after its end."""
        if seconds < SLOW_STATEMENT_SECONDS and error is None:
            return
        ended = time.time_ns()
        span = self._tracer.start_span(
            name,
            context=self._api.set_span_in_context(self._span),
            kind=self._api.SpanKind.CLIENT,
            start_time=ended - int(seconds * 1e9),
            attributes={**self._place, "db.query.summary": name},
        )
        if text:  # With placeholders: no value stands in it.
            span.set_attribute("db.query.text", text[:STATEMENT_CHARACTERS_MAX])
        if error is not None:
            self._blame(span, error)
        span.end(ended)

    def _blame(self, span: Any, error: BaseException) -> None:
        kind = type(error).__name__
        span.set_attribute("error.type", kind)
        if state := getattr(error, "sqlstate", None):
            span.set_attribute("db.response.status_code", state)
        span.set_status(self._api.StatusCode.ERROR, kind)
