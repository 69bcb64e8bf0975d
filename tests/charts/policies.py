"""What must hold for everything that our charts render, whatever the values: one function per promise.

    check(documents, secrets={"tieout-order"})    # secrets: those that the values name as existing
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tools import Document, containers, of_kind, pod_templates, title

RECOMMENDED = ("name", "instance", "component", "part-of", "version", "managed-by")
DNS_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
NAME_MAX = {"CronJob": 52, "Service": 63, "Job": 63, "Deployment": 63, "Pod": 63, "StatefulSet": 52}


def check(documents: Sequence[Document], secrets: Collection[str] = ()) -> None:
    nothing_stands_twice(documents)
    names_are_within_their_limits(documents)
    labels_are_the_recommended_ones(documents)
    pods_are_restricted(documents)
    images_say_what_runs(documents)
    resources_are_declared(documents)
    ports_are_named_and_meet(documents)
    selectors_match(documents)
    references_are_there(documents, secrets)
    hooks_need_nothing_of_the_release(documents)
    pods_are_behind_a_network_policy(documents)
    stops_come_in_order(documents)


def nothing_stands_twice(documents: Sequence[Document]) -> None:
    titles = [(document["apiVersion"], title(document)) for document in documents]
    assert len(titles) == len(set(titles)), sorted(each for each in titles if titles.count(each) > 1)


def names_are_within_their_limits(documents: Sequence[Document]) -> None:
    for document in documents:
        name = document["metadata"]["name"]
        assert len(name) <= NAME_MAX.get(document["kind"], 253), f"{title(document)} has {len(name)} characters"
        assert DNS_NAME.fullmatch(name), title(document)
        for key, value in document["metadata"].get("labels", {}).items():
            assert len(value) <= 63, f"{title(document)}: label {key}={value}"
            assert LABEL_VALUE.fullmatch(value), f"{title(document)}: label {key}={value}"
        for key in document.get("data") or {}:
            assert re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key), f"{title(document)}: key {key}"


def labels_are_the_recommended_ones(documents: Sequence[Document]) -> None:
    for document in documents:
        labels = document["metadata"].get("labels", {})
        missing = [each for each in RECOMMENDED if f"app.kubernetes.io/{each}" not in labels]
        assert not missing, f"{title(document)} lacks {missing}"
        assert labels["helm.sh/chart"]


def pods_are_restricted(documents: Sequence[Document]) -> None:
    """Pod Security Standard "restricted", and beyond it: no token, a read-only root, nobody's user."""
    for owner, pod in pod_templates(documents):
        where = title(owner)
        spec, security = pod["spec"], pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, where
        assert security["runAsUser"] > 0, where
        assert security["runAsGroup"] > 0, where
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert spec["automountServiceAccountToken"] is False, where
        for forbidden in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
            assert not spec.get(forbidden), f"{where}: {forbidden}"
        for volume in spec.get("volumes", ()):
            kinds = set(volume) - {"name"}
            allowed = {"configMap", "secret", "emptyDir", "projected", "downwardAPI", "persistentVolumeClaim", "ephemeral"}
            assert kinds <= allowed, f"{where}: volume {volume['name']} is {kinds}"
            if "emptyDir" in volume:
                assert volume["emptyDir"].get("sizeLimit"), f"{where}: {volume['name']} may fill the node"
        for container in containers(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, where
            assert own["readOnlyRootFilesystem"] is True, where
            assert own["capabilities"] == {"drop": ["ALL"]}, where
            assert not own.get("privileged"), where
            assert own.get("runAsUser", 65532) > 0, where
            assert not [port for port in container.get("ports", ()) if "hostPort" in port], where


def images_say_what_runs(documents: Sequence[Document]) -> None:
    for owner, pod in pod_templates(documents):
        for container in containers(pod):
            image = container["image"]
            tag = image.rpartition("/")[2].partition(":")[2]
            assert "@sha256:" in image or (tag and tag != "latest"), f"{title(owner)}: {image}"


def resources_are_declared(documents: Sequence[Document]) -> None:
    for owner, pod in pod_templates(documents):
        for container in containers(pod):
            resources = container.get("resources", {})
            assert {"cpu", "memory"} <= set(resources.get("requests", {})), f"{title(owner)}: {container['name']}"
            assert "memory" in resources.get("limits", {}), f"{title(owner)}: {container['name']}"


def ports_are_named_and_meet(documents: Sequence[Document]) -> None:
    """Each port of a container has a name, and who points at a port points at one that is there."""
    for owner, pod in pod_templates(documents):
        for container in containers(pod):
            names = [port.get("name", "") for port in container.get("ports", ())]
            assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?", name) for name in names), title(owner)
            assert len(names) == len(set(names)), title(owner)
            numbers = [port["containerPort"] for port in container.get("ports", ())]
            assert len(numbers) == len(set(numbers)), title(owner)
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe in container:
                    assert container[probe]["httpGet"]["port"] in names, f"{title(owner)}: {probe}"
    for service in of_kind(documents, "Service"):
        pods = list(_selected(documents, service["spec"]["selector"]))
        assert pods, f"{title(service)} selects no pod"
        for port in service["spec"]["ports"]:
            assert port["name"], title(service)
            for _, pod in pods:
                assert port["targetPort"] in _port_names(pod), f"{title(service)}: {port['name']}"
    services = {each["metadata"]["name"]: each for each in of_kind(documents, "Service")}
    for ingress in of_kind(documents, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                ports = [port["name"] for port in services[backend["name"]]["spec"]["ports"]]
                assert backend["port"]["name"] in ports, title(ingress)
    for monitor in of_kind(documents, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        found = [each for each in services.values() if _matches(wanted, each["metadata"]["labels"])]
        assert len(found) == 1, f"{title(monitor)} finds {[title(each) for each in found]}"
        for endpoint in monitor["spec"]["endpoints"]:
            assert endpoint["port"] in [port["name"] for port in found[0]["spec"]["ports"]], title(monitor)
    for policy in of_kind(documents, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", ()):
            for port in rule["ports"]:
                for _, pod in _selected(documents, policy["spec"]["podSelector"]["matchLabels"]):
                    assert port["port"] in _port_names(pod), f"{title(policy)}: {port}"


def selectors_match(documents: Sequence[Document]) -> None:
    for kind in ("Deployment", "StatefulSet"):
        for owner in of_kind(documents, kind):
            wanted = owner["spec"]["selector"]["matchLabels"]
            assert set(wanted) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}, title(owner)
            assert [title(each) for each, _ in _selected(documents, wanted)] == [title(owner)], "not its own pods alone"
    for kind in ("PodDisruptionBudget",):
        for document in of_kind(documents, kind):
            assert list(_selected(documents, document["spec"]["selector"]["matchLabels"])), title(document)
    names = {title(document) for document in documents}
    for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
        for document in of_kind(documents, kind):
            target = document["spec"]["scaleTargetRef"]
            assert f"{target['kind']}/{target['name']}" in names, title(document)
            owner = next(each for each in documents if title(each) == f"{target['kind']}/{target['name']}")
            assert "replicas" not in owner["spec"], f"{title(owner)}: an upgrade would undo the scaling"
    for owner, pod in pod_templates(documents):
        for constraint in pod["spec"].get("topologySpreadConstraints", ()):
            assert _matches(constraint["labelSelector"]["matchLabels"], pod["metadata"]["labels"]), title(owner)


def references_are_there(documents: Sequence[Document], secrets: Collection[str]) -> None:
    """ConfigMaps, Secrets with their keys, ServiceAccounts: rendered beside, or named by the values as existing."""
    maps = {each["metadata"]["name"]: set(each["data"]) for each in of_kind(documents, "ConfigMap")}
    kept = {
        each["spec"]["target"]["name"]: {entry["secretKey"] for entry in each["spec"]["data"]}
        for each in of_kind(documents, "ExternalSecret")
    }
    accounts = {each["metadata"]["name"] for each in of_kind(documents, "ServiceAccount")}
    for owner, pod in pod_templates(documents):
        where = title(owner)
        assert pod["spec"].get("serviceAccountName", "default") in accounts | {"default"}, where
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", ())}
        for container in containers(pod):
            mounted = [mount["name"] for mount in container.get("volumeMounts", ())]
            claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", ())}
            assert set(mounted) <= set(volumes) | claims, where
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
            assert len(paths) == len(set(paths)), where
            for source in container.get("envFrom", ()):
                assert source["configMapRef"]["name"] in maps, where
            for variable in container.get("env", ()):
                assert "secretKeyRef" not in variable.get("valueFrom", {}), f"{where}: secrets are files"
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps, where
            if "secret" in volume:
                name = volume["secret"]["secretName"]
                assert name in secrets or name in kept, f"{where}: nobody makes the Secret {name}"
                keys = {item["key"] for item in volume["secret"].get("items", ())}
                assert name in secrets or keys <= kept[name], f"{where}: {name} lacks {keys - kept.get(name, set())}"


def hooks_need_nothing_of_the_release(documents: Sequence[Document]) -> None:
    """What runs before an install finds existing Secrets and the default ServiceAccount, and nothing else."""
    rendered = {each["metadata"]["name"] for each in documents if each["kind"] in {"ConfigMap", "ServiceAccount"}}
    rendered |= {each["spec"]["target"]["name"] for each in of_kind(documents, "ExternalSecret")}
    for owner, pod in pod_templates(documents):
        if "pre-install" not in owner["metadata"].get("annotations", {}).get("helm.sh/hook", ""):
            continue
        spec = pod["spec"]
        assert "serviceAccountName" not in spec, title(owner)
        assert not any(container.get("envFrom") for container in containers(pod)), title(owner)
        for volume in spec.get("volumes", ()):
            assert "configMap" not in volume, title(owner)
            assert volume.get("secret", {}).get("secretName") not in rendered, title(owner)


def pods_are_behind_a_network_policy(documents: Sequence[Document]) -> None:
    policies = of_kind(documents, "NetworkPolicy")
    if not policies:
        return  # Switched off; test_matrix.py says where that is meant.
    for owner, pod in pod_templates(documents):
        mine = [each for each in policies if _matches(each["spec"]["podSelector"]["matchLabels"], pod["metadata"]["labels"])]
        assert {kind for each in mine for kind in each["spec"]["policyTypes"]} == {"Ingress", "Egress"}, title(owner)
    for policy in policies:
        assert list(_selected(documents, policy["spec"]["podSelector"]["matchLabels"])), f"{title(policy)}: for nobody"
        for rule in [*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())]:
            assert rule.get("from") or rule.get("to"), f"{title(policy)}: everybody"
            assert rule.get("ports"), f"{title(policy)}: every port"


def stops_come_in_order(documents: Sequence[Document]) -> None:
    """Endpoints forget the pod, it stops by itself, and only then it would be killed."""
    for deployment in of_kind(documents, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        sleep = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        stop = environment_of(documents, deployment, pod["containers"][0]).get("TIEOUT_STOP_SECONDS_MAX")
        if stop is not None:
            assert pod["terminationGracePeriodSeconds"] >= sleep + float(stop) + 5, title(deployment)


def environment_of(documents: Sequence[Document], owner: Document, container: Document) -> dict[str, str]:
    """What the container's process finds, with `$(NAME)` resolved as Kubernetes does."""
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(documents, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]
    for variable in container.get("env", ()):
        if "valueFrom" in variable:
            found[variable["name"]] = f"{owner['metadata']['name']}-0"
        else:
            found[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda name: found[name[1]], variable["value"])
    assert all(isinstance(value, str) for value in found.values()), found
    return found


def _port_names(pod: Document) -> set[str]:
    return {port["name"] for container in containers(pod) for port in container.get("ports", ())}


def _selected(documents: Sequence[Document], labels: Mapping[str, Any]) -> Iterator[tuple[Document, Document]]:
    for owner, pod in pod_templates(documents):
        if _matches(labels, pod["metadata"].get("labels", {})):
            yield owner, pod


def _matches(wanted: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())
