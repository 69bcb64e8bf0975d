"""Every refusal over HTTP is problem+json (RFC 9457): what is wrong, where, and what to do next."""

from collections.abc import Iterable
from typing import Any

import msgspec
from tieout.contracts.operation import Problem

MEDIA_TYPE = b"application/problem+json"

TITLES = {
    400: "The request is not right",
    401: "Who are you?",
    403: "Not allowed",
    404: "There is no such thing",
    405: "Not with this method",
    408: "The request took too long",
    409: "It contradicts what is there",
    413: "Too large",
    415: "Not in this form",
    422: "It cannot be taken as it is",
    429: "Too many at once",
    431: "The headers or trailers are too large",
    500: "A mistake of ours",
    503: "Not just now",
    504: "No answer in time",
    507: "No room to keep it",
}

Headers = Iterable[tuple[bytes, bytes]]


def body_of(problem: Problem, instance: str) -> bytes:
    told: dict[str, Any] = {
        "type": f"urn:tieout:problem:{problem.code}",
        "title": TITLES.get(problem.status, "Refused"),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "instance": instance,
    }
    if problem.field:
        told["field"] = problem.field
    return msgspec.json.encode(told)


def headers_of(problem: Problem) -> Headers:
    if problem.status in (429, 503, 507):
        return [(b"retry-after", b"1")]
    if problem.status == 401:
        return [(b"www-authenticate", b'Bearer realm="tieout"')]
    return []


async def answer(
    send: Any,
    status: int,
    body: bytes,
    *,
    media_type: bytes = b"application/json",
    headers: Headers = (),
    open_end: bool = False,
) -> None:
    """One whole ASGI response. `open_end`: the caller ends it."""
    every = [
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(body)),
        (b"x-content-type-options", b"nosniff"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": body, "more_body": open_end})


async def refuse(send: Any, problem: Problem, path: str, *, rest: Any = None, headers: Headers = ()) -> None:
    """`rest` reads on what of the request is not wanted, for a moment: a connection that is closed under a client which
    is still sending is reset, and the answer may be lost with it."""
    extra = [*headers, *headers_of(problem)]
    if rest is not None:
        extra.append((b"connection", b"close"))
    body = body_of(problem, path)
    await answer(send, problem.status, body, media_type=MEDIA_TYPE, headers=extra, open_end=rest is not None)
    if rest is not None:
        await rest()
        await send({"type": "http.response.body", "body": b""})
