"""Settings come from the environment, once, at the start: TIEOUT_<FIELD>. Secrets come from files, never from values.

A service adds its own fields by subclassing; every field has a safe default, so that an old deployment keeps starting.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from tieout.servicekit.errors import Misconfigured

Own = TypeVar("Own", bound="Settings")


class Settings(Struct, frozen=True, kw_only=True):
    database_url: str = ""  # postgresql://inventory_app@127.0.0.1:5432/tieout_inventory
    database_password_file: str = ""
    owner_url: str = ""  # For `migrate` only.
    owner_password_file: str = ""
    database_connections_max: int = 8  # Of one process, all flows together.
    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str = ""
    nats_password_file: str = ""
    stream_replicas: int = 1  # Servers that hold each message: 3 in a cluster.
    stream_max_age_days: int = 14  # So long a consumer may have been away without losing anything.
    outbox_retention_hours: int = 168  # Below the streams' age: what the outbox still has can be published again.
    stream_bytes_max: int = 50 << 30  # Of the own stream; above it what all have confirmed goes first. 0: no limit.
    scrub_seconds: float = 8.0  # Between two looks for what hands did to the books. 0: only when somebody asks.
    rule_seconds_max: float = 60.0  # So long one rule of such a look may take; then it is told as not checked.
    failpoints: str = ""  # A folder of the fault harness; anything else is refused.
    log: str = "json"  # json | text
    log_level: str = "info"  # debug | info | warning | error
    stop_seconds_max: float = 10.0  # What is not done by then is rolled back, and delivered again.
    servers_seconds_max: float = 60.0  # So long a command that runs once (once.py) waits for database and broker.
    health_host: str = "127.0.0.1"
    health_port: int = 0  # Of /livez, /readyz and /startupz (probes.py). 0: none.

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
            raise Misconfigured(f"{variable}={environment[variable]!r}: {error}. Set it to a {field.type}.") from None
    return kind(**found)


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
