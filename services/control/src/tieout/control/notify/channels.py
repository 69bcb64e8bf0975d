"""The channels of a deployment: a TOML file that names them, and files that hold their secrets.

[[channel]]
name = "finance-robot"
kind = "wecom"                            # webhook | wecom | dingtalk
url_file = "/run/secrets/wecom_url"       # A robot's address holds its key. A webhook may say `url = "https://…"`.
secret_file = "/run/secrets/sign"         # Of a webhook's HMAC, or of a DingTalk robot that asks for signatures.
language = "zh"                           # en | zh | both
priority_max = 2                          # Only what is as urgent as this, or more.
owners = ["finance"]                      # Only what these teams own; none: all.
per_minute = 20                           # The most that the vendor takes.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from tieout.control.notify.messages import Kind, Language, Target
from tieout.servicekit import Misconfigured, secret

VARIABLE = "TIEOUT_NOTIFY_FILE"


class Channel(Struct, frozen=True):
    target: Target
    priority_max: int
    owners: tuple[str, ...]
    per_minute: float


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    kind: Kind
    url: str = ""
    url_file: str = ""
    secret_file: str = ""
    language: Language = "both"
    priority_max: Annotated[int, Meta(ge=1, le=4)] = 4
    owners: tuple[str, ...] = ()
    per_minute: Annotated[float, Meta(gt=0, le=6000)] = 20


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    channel: tuple[_Entry, ...] = ()


def read(path: str) -> tuple[Channel, ...]:
    """None where no file is named. Raises Misconfigured, which names the file and the field, never a secret."""
    if not path:
        return ()
    try:
        told: Any = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        entries = msgspec.convert(told, _File).channel
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Misconfigured(f"{VARIABLE}={path}: {error}. See services/control/README.md for its form.") from None
    names = [entry.name for entry in entries]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise Misconfigured(f"{VARIABLE}={path}: channel {', '.join(sorted(twice))} stands there twice.")
    return tuple(_channel(path, entry) for entry in entries)


def _channel(path: str, entry: _Entry) -> Channel:
    place = f"{VARIABLE}={path}, channel {entry.name}"
    if bool(entry.url) == bool(entry.url_file):
        raise Misconfigured(f"{place}: give either url or url_file.")
    if entry.url and entry.kind != "webhook":
        raise Misconfigured(f"{place}: the address of a robot holds its key. Put it into a file and name it: url_file.")
    if entry.secret_file and entry.kind == "wecom":
        raise Misconfigured(f"{place}: WeCom robots know no signature; their address is the secret. Drop secret_file.")
    url = entry.url or secret(entry.url_file, f"{place}: url_file") or ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured(f"{place}: its address is no http(s) URL.")
    sign = secret(entry.secret_file, f"{place}: secret_file") or ""
    if entry.secret_file and not sign:
        raise Misconfigured(f"{place}: secret_file is empty.")
    target = Target(entry.name, entry.kind, url, sign, entry.language)
    return Channel(target, entry.priority_max, entry.owners, entry.per_minute)
