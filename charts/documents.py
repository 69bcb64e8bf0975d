"""Writes what follows from elsewhere: each service chart's values.schema.json and every chart's README.md.

    .venv/bin/python charts/documents.py            # a test in tests/charts compares

The schema of a service's values is the one that all share (service/values.schema.json) and the fields of its Settings.
"""

import importlib
import inspect
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from tieout.contracts.streams import CORE_SERVICES

CHARTS = Path(__file__).resolve().parent
# Set by keys of their own, or never on a cluster.
OWNED = {
    *("database_url", "database_password_file", "owner_url", "owner_password_file", "failpoints", "log"),
    *("nats_url", "nats_user", "nats_password_file", "stop_seconds_max", "health_host", "health_port"),
    *("http_host", "http_port", "admin_token_file", "notify_file"),
}
ONLY = {"http": "gateway", "ingress": "gateway", "notify": "control"}  # Keys that other charts do not take.
ELSEWHERE = "Only"  # How the description of such a key begins in the others' schemas: no table lists it.
TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
Schema = dict[str, Any]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def defaults(chart: str) -> dict[str, Any]:
    """What helm makes of the shared defaults and the chart's own values."""
    shared = read(CHARTS / "service" / "values.yaml")["exports"]["defaults"]
    return merged(shared, read(CHARTS / chart / "values.yaml") or {})


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def settings_of(service: str) -> Schema:
    """Fields of the service's Settings; what stands behind each in the code is its description."""
    kind = importlib.import_module(f"tieout.{service}.settings").Settings
    comments: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        if base.__module__.startswith("tieout."):
            # A field that is too long for a line has its comment in brackets behind the value.
            source = re.sub(r"= \(\s*(.*?)\s*(#[^\n]*)\s*\)", r"= \1  \2", inspect.getsource(base))
            comments |= dict(re.findall(r"^    (\w+): [^#\n]*#\s*(.*)$", source, re.M))
    properties: Schema = {}
    for field in msgspec.structs.fields(kind):
        if field.name not in OWNED:
            said = comments.get(field.name, field.name.replace("_", " ").capitalize() + ".")
            properties[field.name] = {
                **_typed(field.type),
                "description": f"{said} Default: {json.dumps(field.default)}.",
            }
    return {
        "type": "object",
        "description": f"Settings of {service}; each becomes TIEOUT_<FIELD>.",
        "additionalProperties": False,
        "properties": properties,
    }


def _typed(kind: Any) -> Schema:
    """Its type and bounds: what the service would refuse at its start, helm refuses before."""
    if typing.get_origin(kind) is typing.Literal:
        return {"enum": list(typing.get_args(kind))}
    if typing.get_origin(kind) is not typing.Annotated:
        return {"type": TYPES[kind]}
    bare, *said = typing.get_args(kind)
    bounds: Schema = {}
    for one in said:
        for key, bound in (
            ("minimum", one.ge),
            ("exclusiveMinimum", one.gt),
            ("maximum", one.le),
            ("exclusiveMaximum", one.lt),
        ):
            if bound is not None:
                bounds[key] = bound
    return {"type": TYPES[bare], **bounds}


def schema_of(service: str) -> Schema:
    shared = json.loads((CHARTS / "service" / "values.schema.json").read_text(encoding="utf-8"))
    properties = shared["properties"]["exports"]["properties"]["defaults"]["properties"]
    properties = {key: value for key, value in properties.items() if ONLY.get(key, service) == service}
    properties["settings"] = settings_of(service)
    for key in ONLY:  # The shared defaults name them; the library's checks refuse what differs, by words of their own.
        if key not in properties:
            properties[key] = {
                "type": "object",
                "description": f"{ELSEWHERE} {ONLY[key]} has it.",
                "additionalProperties": True,
            }
    properties["global"] = {
        "type": "object",
        "description": "What an umbrella says for all services: tieout.image.registry, tieout.image.tag, "
        "tieout.database.host, tieout.nats.url, tieout.nats.monitoring, tieout.telemetry.endpoint.",
        "properties": {"tieout": global_schema()},
    }
    properties["enabled"] = {"type": "boolean", "description": "Whether the umbrella installs this service."}
    properties["service"] = {"type": "object", "description": "The library's own values, which helm keeps here."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Values of the chart {service}",
        "type": "object",
        "additionalProperties": False,
        "properties": dict(sorted(properties.items())),
    }


def global_schema() -> Schema:
    def strings(description: str, **keys: str) -> Schema:
        properties = {key: {"type": "string", "description": said} for key, said in keys.items()}
        return {
            "type": "object",
            "description": description,
            "additionalProperties": False,
            "properties": properties,
        }

    image = strings("The images.", registry="Instead of ghcr.io/tieout.", tag="Instead of the charts' appVersion.")
    return {
        "type": "object",
        "description": "For all of Tieout's services; what a service says itself counts more.",
        "additionalProperties": False,
        "properties": {
            "image": image,
            "database": strings("Postgres.", host="Host of the server."),
            "nats": strings("The hub.", url="nats://host:4222", monitoring="host:8222, which KEDA asks."),
            "telemetry": strings("OTLP.", endpoint="http://host:4317"),
        },
    }


def umbrella_schema() -> Schema:
    """What stands below a service's name is checked by that chart's own schema."""
    properties: Schema = {
        "global": {
            "type": "object",
            "description": "For all services.",
            "properties": {"tieout": global_schema()},
        }
    }
    for service in CORE_SERVICES:
        properties[service] = {
            "type": "object",
            "description": f"Values of the chart {service} (its own README lists them).",
            "properties": {"enabled": {"type": "boolean", "description": "Whether it is installed."}},
            "required": ["enabled"],
        }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the umbrella tieout",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def rows(schema: Schema, values: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """(key, default, description) of every leaf."""
    for key, part in schema.get("properties", {}).items():
        name = f"{path}{key}"
        value = values.get(key) if isinstance(values, dict) else None
        if name == "service" or (name in ONLY and part["description"].startswith(ELSEWHERE)):
            continue
        if part.get("properties") and not name.endswith((".requests", ".limits", "podLabels")):
            yield from rows(part, value, f"{name}.")
            continue
        yield f"`{name}`", shown(value), part.get("description", "")
        for named in part.get("patternProperties", {}).values():
            yield from rows(named, None, f"{name}.<name>.")


def shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and any(isinstance(each, dict) and each for each in value.values()):
        return f"`{', '.join(value)}`"
    text = json.dumps(value, ensure_ascii=False)
    return (f"`{text}`" if len(text) <= 120 else "see values.yaml").replace("|", "\\|")


def readme(chart: str, schema: Schema, values: dict[str, Any]) -> str:
    about = read(CHARTS / chart / "Chart.yaml")
    introduction = (CHARTS / chart / "README.in.md").read_text(encoding="utf-8").strip()
    lines = [f"# {about['name']}", "", about["description"], "", introduction, ""]
    lines += ["## Values", "", "Written by `charts/documents.py` from values.schema.json and values.yaml.", ""]
    lines += ["| key | default | |", "|---|---|---|"]
    for key, value, told in rows(schema, values):
        escaped = told.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| {key} | {value} | {escaped} |")
    return "\n".join(lines) + "\n"


def written() -> Iterator[tuple[Path, str]]:
    """Every file that this writes, with its content."""
    for service in CORE_SERVICES:
        schema = schema_of(service)
        yield CHARTS / service / "values.schema.json", json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        yield CHARTS / service / "README.md", readme(service, schema, defaults(service))
    yield CHARTS / "tieout" / "values.schema.json", json.dumps(umbrella_schema(), indent=2, ensure_ascii=False) + "\n"
    for introduction in sorted(CHARTS.glob("*/README.in.md")):
        chart = introduction.parent.name
        if chart == "tieout":
            yield CHARTS / chart / "README.md", readme(chart, umbrella_schema(), read(CHARTS / chart / "values.yaml"))
        elif chart not in CORE_SERVICES:
            schema = typing.cast("Schema", json.loads((CHARTS / chart / "values.schema.json").read_text("utf-8")))
            yield CHARTS / chart / "README.md", readme(chart, schema, read(CHARTS / chart / "values.yaml") or {})


if __name__ == "__main__":
    for path, text in written():
        path.write_text(text, encoding="utf-8")
