"""Requests over HTTP as spans: those of the sampled share, and whatever failed or was slow.

A document that is mapped a moment later links to the request that brought it, and nobody need tell it: origins.py
has the key that both know. Without a collector nothing of this runs.
"""

import time
from typing import Any

from tieout.gateway.http.intake import PATH
from tieout.gateway.origins import key_of
from tieout.servicekit.telemetry import Request, Tracing

SLOW_SECONDS = 1.0
UNSAMPLED_PER_SECOND_MAX = 16  # Whoever knocks at a closed door all day must stay cheap.
_ACCEPTED = b"/v1/documents/"


def traced(application: Any, tracing: Tracing) -> Any:
    """The same ASGI application, seen from outside."""
    if not tracing.enabled:
        return application
    second, told = 0, 0

    async def seen(scope: Any, receive: Any, send: Any) -> None:
        nonlocal second, told
        began, status, first, resumed = time.time_ns(), 0, "", False

        async def answer(message: Any) -> None:
            nonlocal status, first, resumed
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == 202:
                    for name, value in message["headers"]:
                        if name == b"location" and value.startswith(_ACCEPTED):
                            first = value[len(_ACCEPTED) :].decode()
            elif first:
                resumed = b'"resumed":true' in message.get("body", b"")
            await send(message)

        try:
            await application(scope, receive, answer)
        finally:
            ended = time.time_ns()
            key = key_of(first or str(began))
            wanted = status and tracing.sampled(key)
            intake = scope["type"] == "http" and scope["path"].startswith(PATH)
            if not wanted and status and (_failed(status, intake) or ended - began > SLOW_SECONDS * 1e9):
                if ended // 1_000_000_000 != second:
                    second, told = ended // 1_000_000_000, 0
                told += 1
                wanted = told <= UNSAMPLED_PER_SECOND_MAX
            if wanted:
                tracing.request(
                    Request(
                        scope["method"],
                        PATH + "{satellite}/{channel}" if intake else scope.get("path_template", "/"),
                        scope["path"],
                        status,
                        began,
                        ended,
                        "" if resumed else key,
                        _satellite(scope["path"]) if intake else {},
                    )
                )

    return seen


def _failed(status: int, intake: bool) -> bool:
    """What a person asks for and does not get is no trouble of ours; a document is."""
    return status >= 500 or (intake and status >= 400)


def _satellite(path: str) -> dict[str, str]:
    return {"satellite": path[len(PATH) :].partition("/")[0][:100]}
