"""Calls an operation of the contracts over the gateway's HTTP: request and answer are the contract's own Structs."""

import re
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
from tieout.contracts.operation import Operation
from tieout.devstack.failures import CommandFailed

_IN_BRACES = re.compile(r"\{(\w+)\}")


async def call(client: httpx.AsyncClient, operation: Operation, request: msgspec.Struct) -> Any:
    """The answer as `operation.response`.

    Raises CommandFailed with the service's own words where it refuses, and httpx.TransportError where nobody answers.
    """
    told = msgspec.to_builtins(request)
    path = _IN_BRACES.sub(lambda found: quote(str(told.pop(found[1])), safe=""), operation.path)
    if operation.method == "GET":
        parameters = {name: _text(value) for name, value in told.items() if value not in (None, "", [])}
        response = await client.get(path, params=parameters)
    else:
        response = await client.request(
            operation.method, path, content=msgspec.json.encode(told), headers={"Content-Type": "application/json"}
        )
    if response.is_error:
        raise CommandFailed(f"{operation.method} {path}: {_refusal(response)}")
    try:
        return msgspec.json.decode(response.content, type=operation.response)
    except msgspec.MsgspecError as error:
        raise CommandFailed(f"{path} answered what this version does not understand: {error}.") from None


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refusal(response: httpx.Response) -> str:
    """The detail of a problem+json, and the bare status where there is none."""
    try:
        problem = response.json()
        detail = problem.get("detail") or problem.get("title") or ""
        field = problem.get("field", "")
        return f"HTTP {response.status_code}: {detail}{f' (field {field})' if field else ''}"
    except (ValueError, AttributeError):
        return f"HTTP {response.status_code} {response.reason_phrase}"
