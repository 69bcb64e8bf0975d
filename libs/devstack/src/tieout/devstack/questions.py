"""Asking the running stack over its HTTP, with errors that tell the person at the keyboard what to do next."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
from tieout.devstack import endpoints, hints, remote
from tieout.devstack.failures import CommandFailed
from tieout.devstack.languages import said
from tieout.devstack.wording import why_silent

Answer = TypeVar("Answer")
# Longer than the gateway waits for a service: it is the one that can say which service did not answer.
GATEWAY_SECONDS_MAX = 33.0


def get(
    folder: Path,
    path: str,
    answer: type[Answer],
    parameters: Mapping[str, Any],
    *,
    seconds_max: float = GATEWAY_SECONDS_MAX,
) -> Answer:
    """The answer of an operation of the contracts, checked against its type.

    Raises CommandFailed: no stack, no answer in time, a refusal (with the service's own words), or an answer of
    another version.
    """
    given = {key: value for key, value in parameters.items() if value not in ("", None)}
    return _ask(folder, "GET", path, answer, seconds_max, params=given)


def post(
    folder: Path, path: str, answer: type[Answer], body: Mapping[str, Any], *, seconds_max: float = GATEWAY_SECONDS_MAX
) -> Answer:
    """The same for a command."""
    return _ask(folder, "POST", path, answer, seconds_max, json=dict(body))


def put(
    folder: Path, path: str, answer: type[Answer], body: Mapping[str, Any], *, seconds_max: float = GATEWAY_SECONDS_MAX
) -> Answer:
    """The same for a change of something that is there."""
    return _ask(folder, "PUT", path, answer, seconds_max, json=dict(body))


def _ask(folder: Path, method: str, path: str, answer: type[Answer], seconds_max: float, **content: Any) -> Answer:
    where = endpoints.of_stack(folder)
    try:
        with where.client(timeout=seconds_max) as client:
            response = client.request(method, path, **content)
    except httpx.TimeoutException:
        told = f"{where.gateway} did not answer within {seconds_max:.0f} s. What is wrong: {hints.command('doctor')}"
        raise CommandFailed(told) from None
    except (httpx.HTTPError, OSError) as error:
        raise CommandFailed(f"{where.gateway} does not answer ({why_silent(error)}). {hints.status()}") from None
    if response.is_error:
        raise CommandFailed(said(refusal(response)))
    try:
        return msgspec.json.decode(response.content, type=answer)
    except msgspec.MsgspecError as error:
        raise CommandFailed(
            f"{where.gateway}{path} answered what this version does not understand ({error}). {same_version()}"
        ) from None


def refusal(response: httpx.Response) -> str:
    """The detail of a problem+json (RFC 9457), or the bare status where there is none."""
    gateway = remote.chosen()
    if gateway is not None and response.status_code == 401:
        return f"{gateway.url} does not know the token in {gateway.token_file}: it is unknown, expired or revoked"
    try:
        problem = response.json()
        return hints.fitted(str(problem.get("detail") or problem.get("title") or response.status_code))
    except (ValueError, AttributeError):
        return f"{response.request.url.path}: HTTP {response.status_code} {response.reason_phrase}"


def same_version() -> str:
    """What to do when a question and its answer are of two versions."""
    if remote.chosen() is not None:
        return "Use the tieout of the version that runs there"
    return f"Restart the stack with the same version: {hints.command('down')}, then {hints.command('up --detach')}"
