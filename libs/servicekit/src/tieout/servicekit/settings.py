"""Settings come from the environment, once, at the start: TIEOUT_<FIELD>. Secrets come from files, never from values.

A service adds its own fields by subclassing; every field has a safe default, so that an old deployment keeps starting.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from tieout.servicekit.errors import Misconfigured

Own = TypeVar("Own", bound="Settings")

# What a setting may be: a broker or a loop that is told something senseless fails much later, and somewhere else.
Days = Annotated[int, Meta(ge=0, le=36_500)]
DaysMin = Annotated[int, Meta(ge=1, le=36_500)]
Hours = Annotated[int, Meta(ge=1, le=876_000)]
HoursMin = Annotated[float, Meta(gt=0, le=876_000)]
Bytes = Annotated[int, Meta(ge=0, le=1 << 50)]
BytesMin = Annotated[int, Meta(ge=1, le=1 << 50)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
SecondsMin = Annotated[float, Meta(gt=0, le=86_400)]


class Settings(Struct, frozen=True, kw_only=True):
    database_url: str = ""  # postgresql://inventory_app@127.0.0.1:5432/tieout_inventory
    database_password_file: str = ""
    owner_url: str = ""  # For `migrate` only.
    owner_password_file: str = ""
    database_connections_max: Annotated[int, Meta(ge=1, le=1000)] = 8  # Of one process, all flows together.
    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str = ""
    nats_password_file: str = ""
    stream_replicas: Annotated[int, Meta(ge=1, le=5)] = 1  # Servers that hold each message: 3 in a cluster.
    stream_max_age_days: Days = 14  # So long a consumer may have been away without losing anything. 0: for ever.
    outbox_retention_hours: Hours = 168  # Below the streams' age: what the outbox still has can be published again.
    stream_bytes_max: Bytes = 50 << 30  # Of the own stream; above it what all have confirmed goes first. 0: no limit.
    scrub_seconds: Seconds = 8.0  # Between two looks for what hands did to the books. 0: only when somebody asks.
    rule_seconds_max: SecondsMin = 60.0  # So long one rule of such a look may take; then it is told as not checked.
    failpoints: str = ""  # A folder of the fault harness; anything else is refused.
    log: Literal["json", "text"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    stop_seconds_max: SecondsMin = 10.0  # What is not done by then is rolled back, and delivered again.
    servers_seconds_max: SecondsMin = 60.0  # So long a command that runs once (once.py) waits for database and broker.
    health_host: str = "127.0.0.1"
    health_port: Port = 0  # Of /livez, /readyz and /startupz (probes.py). 0: none.

    @classmethod
    def from_environment(cls: type[Own], environment: Mapping[str, str] | None = None) -> Own:
        """What TIEOUT_ variables say, converted to each field's type; the others are somebody else's."""
        return _read(cls, os.environ if environment is None else environment)


def _read(kind: type[Own], environment: Mapping[str, str]) -> Own:
    found = {}
    for field in msgspec.structs.fields(kind):
        variable = f"TIEOUT_{field.name.upper()}"
        if variable not in environment:
            continue
        try:
            found[field.name] = msgspec.convert(environment[variable], field.type, strict=False)
        except msgspec.ValidationError as error:
            raise Misconfigured(
                f"{variable}={environment[variable]!r}: {error}. Set it to {_wanted(field.type)}."
            ) from None
    return kind(**found)


def _wanted(kind: Any) -> str:
    """What a setting may be, for people."""
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if get_origin(kind) is not Annotated:
        return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a text")
    base, meta = get_args(kind)[:2]
    least = f"more than {meta.gt:g}" if meta.ge is None else f"at least {meta.ge}"
    return f"{_wanted(base)}, {least} and at most {meta.le}"


def secret(path: str, variable: str) -> str | None:
    """Content of a secret file without its line end; None where no file is named."""
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{variable}={path!r} cannot be read: {error}. Check that the file exists.") from None


def fresh_secret(path: str, variable: str) -> Callable[[], str] | None:
    """The secret as its file holds it at each call: a password that was exchanged is found by the next connection.

    None where no file is named. A file that cannot be read now is told now.
    """
    if secret(path, variable) is None:
        return None
    return lambda: secret(path, variable) or ""
