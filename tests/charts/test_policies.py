"""Judges are judged: each promise is broken once by hand, and its policy has to see it."""

import copy
from collections.abc import Callable
from typing import Any

import policies
import pytest
from cases import GIVEN, PRODUCTION
from tools import Document, of_kind, render, the, validate

Breaking = Callable[[list[Document]], Any]


def pod(documents: list[Document]) -> Any:
    return the(documents, "Deployment")["spec"]["template"]["spec"]


def container(documents: list[Document]) -> Any:
    return pod(documents)["containers"][0]


def policy(documents: list[Document]) -> Any:
    return next(each for each in of_kind(documents, "NetworkPolicy") if each["metadata"]["name"] == "tieout-order")[
        "spec"
    ]


BREAKINGS: dict[str, Breaking] = {
    "root may run": lambda all: pod(all)["securityContext"].update(runAsNonRoot=False),
    "no seccomp": lambda all: pod(all)["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "a token": lambda all: pod(all).update(automountServiceAccountToken=True),
    "the host's network": lambda all: pod(all).update(hostNetwork=True),
    "the host's files": lambda all: pod(all)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
    "a capability": lambda all: container(all)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    "a root that can be written": lambda all: container(all)["securityContext"].update(readOnlyRootFilesystem=False),
    "a job as root": lambda all: of_kind(all, "CronJob")[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"][
        "securityContext"
    ].update(runAsUser=0),
    "an endless tmp": lambda all: pod(all)["volumes"][0].update(emptyDir={}),
    "latest": lambda all: container(all).update(image="ghcr.io/tieout/order:latest"),
    "no tag": lambda all: container(all).update(image="registry:5000/tieout/order"),
    "no memory limit": lambda all: container(all)["resources"].pop("limits"),
    "a port without a name": lambda all: container(all)["ports"][0].pop("name"),
    "a probe of no port": lambda all: container(all)["livenessProbe"]["httpGet"].update(port="admin"),
    "a service of no port": lambda all: the(all, "Service")["spec"]["ports"][0].update(targetPort="web"),
    "a service for nobody": lambda all: the(all, "Service")["spec"].update(selector={"app.kubernetes.io/name": "x"}),
    "a selector with a version": lambda all: the(all, "Deployment")["spec"]["selector"]["matchLabels"].update(v="1"),
    "a selector that takes jobs": lambda all: of_kind(all, "CronJob")[0]["spec"]["jobTemplate"]["spec"]["template"][
        "metadata"
    ]["labels"].update({"app.kubernetes.io/name": "order"}),
    "a budget for nobody": lambda all: the(all, "PodDisruptionBudget")["spec"]["selector"].update(
        matchLabels={"a": "b"}
    ),
    "a scaler of nothing": lambda all: the(all, "ScaledObject")["spec"]["scaleTargetRef"].update(name="other"),
    "replicas beside a scaler": lambda all: the(all, "Deployment")["spec"].update(replicas=3),
    "a ConfigMap that nobody makes": lambda all: container(all)["envFrom"][0]["configMapRef"].update(name="other"),
    "a Secret that nobody makes": lambda all: pod(all)["volumes"][1]["secret"].update(secretName="other"),
    "a key that is not kept": lambda all: pod(all)["volumes"][1]["secret"]["items"].append({"key": "k", "path": "k"}),
    "a secret as a value": lambda all: container(all)["env"].append(
        {"name": "P", "valueFrom": {"secretKeyRef": {"name": "given", "key": "p"}}}
    ),
    "a mount of nothing": lambda all: container(all)["volumeMounts"].append({"name": "other", "mountPath": "/x"}),
    "a hook with an account": lambda all: the(all, "Job")["spec"]["template"]["spec"].update(
        serviceAccountName="tieout-order"
    ),
    "a hook with the release's Secret": lambda all: the(all, "Job")["spec"]["template"]["spec"]["volumes"][1][
        "secret"
    ].update(secretName="tieout-order"),
    "a policy for everybody": lambda all: policy(all)["ingress"].append({"ports": [{"port": "health"}]}),
    "a policy of every port": lambda all: policy(all)["egress"].append({"to": [{"podSelector": {}}]}),
    "a policy of no port": lambda all: policy(all)["ingress"][0]["ports"].append({"port": "admin"}),
    "pods without a policy": lambda all: policy(all)["podSelector"].update(matchLabels={"app.kubernetes.io/name": "x"}),
    "a monitor of no port": lambda all: the(all, "ServiceMonitor")["spec"]["endpoints"][0].update(port="other"),
    "killed while it stops": lambda all: pod(all).update(terminationGracePeriodSeconds=14),
    "a name that is too long": lambda all: of_kind(all, "CronJob")[0]["metadata"].update(name="n" * 53),
    "no recommended label": lambda all: the(all, "ConfigMap")["metadata"]["labels"].pop("app.kubernetes.io/part-of"),
    "a document twice": lambda all: all.append(the(all, "Service")),
}


@pytest.mark.parametrize("breaking", BREAKINGS.values(), ids=BREAKINGS)
def test_a_broken_promise_is_seen(breaking: Breaking) -> None:
    documents = copy.deepcopy(render("order", PRODUCTION))
    policies.check(documents, GIVEN)
    breaking(documents)
    with pytest.raises((AssertionError, KeyError)):
        policies.check(documents, GIVEN)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replica"), 2),
        ("Deployment", ("spec", "revisionHistoryLimit"), "five"),
        ("CronJob", ("spec", "timezone"), "Etc/UTC"),
        ("NetworkPolicy", ("spec", "egres"), []),
        ("ScaledObject", ("spec", "minReplicas"), 2),
        ("ScaledObject", ("spec", "maxReplicaCount"), "6"),
        ("ExternalSecret", ("spec", "secretStore"), {}),
        ("ServiceMonitor", ("spec", "endpoint"), []),
    ],
)
def test_a_field_that_nobody_knows_is_seen_by_the_schemas(kind: str, path: tuple[str, ...], value: Any) -> None:
    document = copy.deepcopy(of_kind(render("order", PRODUCTION), kind)[0])
    validate(document, "1.37")
    target: Any = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(AssertionError, match=kind):
        validate(document, "1.37")
