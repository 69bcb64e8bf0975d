"""The values with which charts are rendered: small, as in production, and with every switch turned alone."""

from collections.abc import Iterator
from typing import Any

from tieout.contracts.streams import CORE_SERVICES

Values = dict[str, Any]
LONGEST_RELEASE = "a-name-as-long-as-helm-lets-it-be-for-a-release-53-ab"  # Helm allows 53 characters.
assert len(LONGEST_RELEASE) == 53


def merged(below: Values, *above: Values) -> Values:
    result = dict(below)
    for values in above:
        for key, value in values.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


MINIMAL: Values = {
    "database": {"host": "postgres.data.svc"},
    "nats": {"url": "nats://nats.nats.svc:4222"},
    "secrets": {"existingSecret": "given"},
    "migrations": {"existingSecret": "given-owner"},
}
GIVEN = {"given", "given-owner", "given-ca", "given-notify"}  # Secrets that exist, by name.
PRODUCTION: Values = merged(
    MINIMAL,
    {
        "nats": {"monitoring": "nats.nats.svc:8222"},
        "secrets": {"existingSecret": "", "externalSecret": {"store": "vault", "key": "secret/tieout"}},
        "database": {"tls": {"mode": "verify-full", "caSecret": "given-ca"}},
        "settings": {"stream_replicas": 3, "stream_bytes_max": 500_000_000_000, "database_connections_max": 12},
        "autoscaling": {"kind": "keda", "minReplicas": 2, "maxReplicas": 12},
        "telemetry": {"endpoint": "http://collector.observability.svc:4317", "sampledShare": 0.05},
        "networkPolicy": {
            "databaseTo": [{"ipBlock": {"cidr": "10.20.0.0/24"}}],
            "natsTo": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "nats"}}}],
        },
        "topologySpread": [{"topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "priorityClassName": "business",
        "monitoring": {"labels": {"release": "prometheus"}},
    },
)
SWITCHES: dict[str, Values] = {
    "hpa": {"autoscaling": {"kind": "hpa"}},
    "keda": {"autoscaling": {"kind": "keda"}, "nats": {"monitoring": "nats.nats.svc:8222"}},
    "keda without cpu": {"autoscaling": {"kind": "keda", "cpuUtilization": 0}, "nats": {"monitoring": "nats:8222"}},
    "several": {"replicas": 3},
    "external secret": {"secrets": {"existingSecret": "", "externalSecret": {"store": "vault"}}},
    "no migrations": {"migrations": {"enabled": False, "existingSecret": ""}},
    "no retention": {"cronJobs": {"retain": {"enabled": False}}},
    "no commands": {"cronJobs": {"retain": {"enabled": False}, "scrub": {"enabled": False}}},
    "another command": {
        "cronJobs": {
            "stress": {"enabled": True, "schedule": "0 4 1 */3 *", "command": ["scrub"], "timeZone": "Asia/Shanghai"}
        }
    },
    "no disruption budget": {"disruption": {"enabled": False}},
    "disruption in percent": {"disruption": {"maxUnavailable": "25%"}},
    "no network policy": {"networkPolicy": {"enabled": False}},
    "metrics for nobody": {"networkPolicy": {"metricsFrom": []}},
    "more egress": {
        "networkPolicy": {
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"protocol": "TCP", "port": 443}]}]
        }
    },
    "no spread": {"topologySpread": []},
    "metrics over otlp": {"telemetry": {"metrics": "otlp", "endpoint": "http://collector:4318", "protocol": "http/protobuf"}},
    "no metrics": {"telemetry": {"metrics": "none"}},
    "traces": {"telemetry": {"endpoint": "http://collector:4317"}},
    "no monitoring": {"monitoring": {"enabled": False}},
    "monitoring forced": {"monitoring": {"enabled": True}},
    "alerts": {"monitoring": {"alerts": True, "dashboards": True}},
    "no test": {"test": {"enabled": False}},
    "image by digest": {"image": {"digest": f"sha256:{'0' * 64}", "pullSecrets": ["registry"]}},
    "image elsewhere": {"image": {"repository": "registry.example:5000/a/b", "tag": "1.2.3-rc.1"}},
    "placed": {
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "only", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "business",
    },
    "labelled": {"podLabels": {"team": "a"}, "podAnnotations": {"a/b": "c"}, "clusterService": {"annotations": {"d": "e"}}},
    "renamed": {"nameOverride": "other"},
    "wholly renamed": {"fullnameOverride": "other"},
    "private authority": {"database": {"tls": {"mode": "verify-ca", "caSecret": "given-ca"}}},
    "no wait before the stop": {"shutdown": {"preStopSeconds": 0}},
    "a long stop": {"shutdown": {"stopSecondsMax": 42.5}},
    "settings": {"settings": {"log_level": "debug", "scrub_seconds": 0.5}, "environment": {"OTEL_BSP_MAX_QUEUE_SIZE": "99"}},
}
OWN_SWITCHES: dict[str, dict[str, Values]] = {
    "gateway": {
        "ingress": {
            "ingress": {"enabled": True, "host": "tieout.example", "tlsSecret": "given", "className": "nginx"},
            "networkPolicy": {
                "httpFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}]
            },
        },
        "admin token": {"http": {"adminToken": True}},
        "admin token from the store": {
            "http": {"adminToken": True},
            "secrets": {"existingSecret": "", "externalSecret": {"store": "vault"}},
        },
        "another port": {"http": {"port": 9000}},
        "sites": {"settings": {"sites": "store-1,store-2"}},
        "hpa": SWITCHES["hpa"],
    },
    "control": {
        "notifications": {"notify": {"channels": '[[channel]]\nname = "a"\n', "existingSecret": "given-notify"}},
        "notifications without secrets": {"notify": {"channels": '[[channel]]\nname = "a"\n'}},
        "no dashboards": {"monitoring": {"dashboards": False}},
    },
}
UMBRELLA: Values = {
    "global": {
        "tieout": {
            "database": {"host": "postgres.data.svc"},
            "nats": {"url": "nats://nats.nats.svc:4222", "monitoring": "nats.nats.svc:8222"},
        }
    }
}
UMBRELLA_GIVEN = {f"tieout-{service}{suffix}" for service in CORE_SERVICES for suffix in ("", "-owner")}


def all_cases() -> Iterator[tuple[str, str, Values]]:
    """(chart, what is special, values). Switches of the library are turned in one chart: the templates are the same."""
    for service in CORE_SERVICES:
        yield service, "minimal", MINIMAL
        yield service, "production", PRODUCTION
        yield service, "keda", merged(MINIMAL, SWITCHES["keda"])
        for name, values in OWN_SWITCHES.get(service, {}).items():
            yield service, name, merged(MINIMAL, values)
    for name, values in SWITCHES.items():
        if name != "keda":
            yield "order", name, merged(MINIMAL, values)
    yield "tieout", "minimal", UMBRELLA
    whole = {service: {"enabled": True, "autoscaling": {"kind": "keda"}} for service in CORE_SERVICES}
    yield "tieout", "keda", merged(UMBRELLA, whole)
    for service in CORE_SERVICES:
        yield "tieout", f"without {service}", merged(UMBRELLA, {service: {"enabled": False}})
