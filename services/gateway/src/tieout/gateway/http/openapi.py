"""OpenAPI 3.1, made from the contracts, and a page to try the operations that needs nothing from outside."""

import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import msgspec
from tieout.contracts import currency
from tieout.contracts.operation import Operation
from tieout.gateway.channels.canonical import FORMS
from tieout.gateway.channels.registry import CHANNELS
from tieout.gateway.channels.shopify_orders import ShopifyOrders
from tieout.gateway.http.intake import Accepted

IN_BRACES = re.compile(r"\{(\w+)\}")
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Why a request was refused (RFC 9457).",
    "required": ["type", "title", "status", "code", "detail", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "field": {"type": "string"},
    },
}


_EXAMPLE = {
    "kind": "order",
    "company": "MINE",
    "number": "1001",
    "occurred_at": "2026-01-12T09:30:00+08:00",
    "customer": "17",
    "currency": "CNY",
    "lines": [{"line_no": 1, "sku": "TEA", "quantity_micro": 2_000_000, "net_minor": 9800, "tax_minor": 1274}],
}


def document(operations: Sequence[Operation]) -> bytes:
    """The whole document as JSON."""
    types = {kind for operation in operations for kind in (operation.request, operation.response)} | {Accepted}
    _, components = msgspec.json.schema_components(
        sorted(types, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}"),
        ref_template="#/components/schemas/{name}",
    )
    components = {**currency.shown(components), **_documents(), "Problem": _PROBLEM}
    names = _names(types)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _operation(operation, components[names[operation.request]], names[operation.response])
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    paths["/v1/intake/{satellite}/{channel}"] = {"post": _intake()}
    for path, summary in (("/healthz", "The process is alive"), ("/readyz", "Documents can be taken in")):
        paths[path] = {
            "get": {
                "operationId": path[1:],
                "tags": ["health"],
                "summary": summary,
                "security": [],
                "responses": _refusals("503", ok={}),
            }
        }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Tieout",
                "version": "1",
                "description": "Orders, stock and books in agreement, and the proof of it.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name} for name in ("intake", *dict.fromkeys(o.owner for o in operations), "health")],
            "paths": dict(sorted(paths.items())),
            "components": {
                "schemas": dict(sorted(components.items())),
                "securitySchemes": {
                    "token": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "See POST /v1/tokens.",
                    },
                    "satellite_key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                    "satellite_bearer": {"type": "http", "scheme": "bearer", "description": "The satellite's key."},
                    "shopify": {"type": "apiKey", "in": "header", "name": "X-Shopify-Hmac-Sha256"},
                    "signature": {"type": "apiKey", "in": "header", "name": "X-Signature-Sha256"},
                },
            },
            "security": [{"token": []}],
        }
    )


def page() -> bytes:
    return (resources.files("tieout.gateway.http") / "docs.html").read_bytes()


def _names(types: Iterable[type]) -> dict[type, str]:
    """The component of each type, as msgspec names it: longer where two types share a name."""
    ordered = list(types)
    references, _ = msgspec.json.schema_components(ordered, ref_template="{name}")
    return {kind: reference["$ref"] for kind, reference in zip(ordered, references, strict=True)}


def _operation(operation: Operation, request: dict[str, Any], response: str) -> dict[str, Any]:
    in_path = set(IN_BRACES.findall(operation.path))
    properties: dict[str, Any] = request.get("properties", {})
    required = set(request.get("required", ()))
    parameters = []
    for name, schema in properties.items():
        if name in in_path or operation.method == "GET":
            where = "path" if name in in_path else "query"
            parameters.append({"name": name, "in": where, "required": name in required | in_path, "schema": schema})
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.owner],
        "summary": operation.summary,
        "parameters": parameters,
        "x-scope": operation.scope,
        "responses": _refusals(
            "401", "403", "404", "422", "503", "504", ok={"$ref": f"#/components/schemas/{response}"}
        ),
    }
    if text := request.get("description"):
        described["description"] = text
    if operation.method != "GET":
        inside = {name: schema for name, schema in properties.items() if name not in in_path}
        body: dict[str, Any] = {"type": "object", "properties": inside}
        if wanted := sorted(required - in_path):
            body["required"] = wanted
        described["requestBody"] = {
            "required": bool(required - in_path),
            "content": {"application/json": {"schema": body}},
        }
    return described


def _documents() -> dict[str, Any]:
    """What the channel `tieout` takes, each kind and all of them as `Document`."""
    references, components = msgspec.json.schema_components(
        [form.document for form in FORMS.values()], ref_template="#/components/schemas/{name}"
    )
    return {
        **currency.shown(components),
        "Document": {
            "oneOf": references,
            "discriminator": {
                "propertyName": "kind",
                "mapping": {kind: reference["$ref"] for kind, reference in zip(FORMS, references, strict=True)},
            },
        },
    }


def _intake() -> dict[str, Any]:
    document = {"$ref": "#/components/schemas/Document"}
    webhook = {
        "type": "object",
        "title": "Channel shopify-orders",
        "description": "A webhook's body as Shopify sends it, with its topic.",
    }
    one = {"anyOf": [document, webhook, {"type": "array", "items": {"anyOf": [document, webhook]}}]}
    text = {"type": "string"}
    return {
        "operationId": "intake",
        "tags": ["intake"],
        "summary": "Documents of a satellite, one or many; answered once they are on disk",
        "description": "One JSON object, an array of them, or one per line. Nothing is interpreted before the answer; "
        "what became of a document tells GET /v1/documents/{intake_id}.",
        "security": [{"satellite_key": []}, {"satellite_bearer": []}, {"shopify": []}, {"signature": []}],
        "parameters": [
            {"name": "satellite", "in": "path", "required": True, "schema": text},
            {"name": "channel", "in": "path", "required": True, "schema": {"enum": list(CHANNELS)}},
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "maxLength": 200},
                "description": "The same key with the same body is kept once and answered with the same ids.",
            },
            {"name": "X-Shopify-Topic", "in": "header", "schema": {"enum": list(ShopifyOrders().topics)}},
            {"name": "topic", "in": "query", "schema": text, "description": "In the place of X-Shopify-Topic."},
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": one, "example": _EXAMPLE},
                "application/x-ndjson": {"schema": {**text, "description": "One document per line."}},
            },
        },
        "responses": {
            "202": _content("On disk.", {"$ref": "#/components/schemas/Accepted"}),
            **_refused("401", "404", "408", "409", "413", "415", "422", "429", "503", "507"),
        },
    }


def _refusals(*codes: str, ok: dict[str, Any]) -> dict[str, Any]:
    return {"200": _content("The answer.", ok), **_refused(*codes)}


def _refused(*codes: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": "Refused.", "content": content} for code in codes}


def _content(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
