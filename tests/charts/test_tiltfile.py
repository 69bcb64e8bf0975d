"""The Tiltfile runs under a Starlark interpreter. Tilt's own functions are stubs that note their calls; `helm` is real.

Tilt itself, and what it does with all this on a cluster, nobody has tried here.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import starlark
import yaml
from msgspec import Struct
from tieout.contracts.streams import CORE_SERVICES
from tools import ROOT, helm, unfolded

NOTED = (
    *("docker_build", "fall_back_on", "k8s_resource", "k8s_yaml", "link", "local", "local_resource", "port_forward"),
    *("run", "sync", "watch_file"),
)


class Call(Struct, frozen=True):
    name: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]


class Tilt:
    """What the Tiltfile asked for, in its order. Steps of a live update come back as their own call."""

    def __init__(self, **given: Any) -> None:
        self.calls: list[Call] = []
        self.enabled: list[str] = []
        module = starlark.Module()
        for name in NOTED:
            module.add_callable(name, self._noting(name))
        module.add_callable("read_file", lambda path: (ROOT / path).read_text())
        module.add_callable("decode_yaml_stream", lambda text: [one for one in yaml.safe_load_all(text) if one])
        module.add_callable("encode_yaml_stream", yaml.safe_dump_all)
        module.add_callable("helm", self._helm)
        module.add_callable("_nothing", lambda *_, **__: None)
        module.add_callable("_parse", lambda: given)
        module.add_callable("_enable", self.enabled.extend)
        module["TRIGGER_MODE_MANUAL"], module["TRIGGER_MODE_AUTO"] = "manual", "auto"
        dialect = starlark.Dialect.standard()
        dialect.enable_top_level_stmt = True  # As Tilt allows it; no f-strings, as Tilt has none.
        dialect.enable_f_strings = False
        spoken = starlark.Globals.extended_by([starlark.LibraryExtension.StructType])
        before = (
            "config = struct(define_string_list=_nothing, define_bool=_nothing, parse=_parse, "
            "set_enabled_resources=_enable)\n"
        )
        starlark.eval(module, starlark.parse("Tilt", before, dialect), spoken)
        starlark.eval(module, starlark.parse("Tiltfile", (ROOT / "Tiltfile").read_text(), dialect), spoken)

    def _noting(self, name: str) -> Any:
        def noted(*arguments: Any, **named: Any) -> Any:
            self.calls.append(Call(name, arguments, named))
            return {"step": name, "arguments": list(arguments), **named}

        return noted

    def _helm(self, path: str, *, name: str, namespace: str, set: list[str]) -> str:
        self.calls.append(Call("helm", (path,), {}))
        said = [word for one in set for word in ("--set", one)]
        return helm("template", name, unfolded(Path(path).name), "--namespace", namespace, *said).stdout

    def of(self, name: str) -> list[Call]:
        return [call for call in self.calls if call.name == name]

    def resources(self) -> dict[str, Call]:
        found = {call.arguments[0]: call for call in self.of("local_resource")}
        return found | {call.named["new_name"]: call for call in self.of("k8s_resource")}

    def objects(self) -> list[dict[str, Any]]:
        return [one for call in self.of("k8s_yaml") for one in yaml.safe_load_all(call.arguments[0])]


@pytest.fixture(scope="module")
def tilt() -> Tilt:
    return Tilt()


def containers(one: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = one["spec"]["template"]["spec"]["containers"]
    return found


def test_each_service_has_one_image_and_one_chart_and_the_chart_runs_the_image(tilt) -> None:
    images = [call.arguments[0] for call in tilt.of("docker_build")]
    assert sorted(images) == sorted(f"ghcr.io/tieout/{service}" for service in CORE_SERVICES)
    assert sorted(call.arguments[0] for call in tilt.of("helm")) == sorted(f"charts/{name}" for name in CORE_SERVICES)
    assert [call.arguments[0] for call in tilt.of("local")] == [
        f"helm dependency build {call.arguments[0]}" for call in tilt.of("helm")
    ]
    used = {
        container["image"].rpartition(":")[0]
        for one in tilt.objects()
        if one["kind"] in ("Deployment", "Job")
        for container in containers(one)
    }
    assert used == set(images)


def test_what_others_stand_on_comes_first(tilt) -> None:
    resources = tilt.resources()
    seen: set[str] = set()
    for name, call in resources.items():  # A dependency is declared before what needs it, so there is no circle.
        assert set(call.named.get("resource_deps", [])) <= seen, name
        seen.add(name)
    for service in CORE_SERVICES:
        assert resources[service].named["resource_deps"] == [f"{service}-migrations"]
        assert resources[f"{service}-migrations"].named["resource_deps"] == ["platform"]
    assert resources["platform"].named["resource_deps"] == ["secrets"]


def test_every_object_belongs_to_a_resource_so_none_is_applied_before_its_namespace(tilt) -> None:
    claimed = {selector for call in tilt.of("k8s_resource") for selector in call.named.get("objects", [])}
    workloads = {call.arguments[0] for call in tilt.of("k8s_resource")}
    for one in tilt.objects():
        name = one["metadata"]["name"]
        assert one["metadata"]["namespace"] == "tieout"
        if one["kind"] in ("Deployment", "Job"):
            assert name in workloads
        else:
            assert f"{name}:{one['kind'].lower()}" in claimed
    assert {one["kind"] for one in tilt.objects()} >= {"Deployment", "Job", "Service", "ConfigMap", "ServiceAccount"}
    assert not {"CronJob", "Pod", "NetworkPolicy"} & {one["kind"] for one in tilt.objects()}


def test_resources_are_labelled_with_the_team_that_answers_for_them(tilt) -> None:
    owners = dict(re.findall(r"^/services/(\w+)/\s+@tieout/(\w+)", (ROOT / "CODEOWNERS").read_text(), re.MULTILINE))
    assert set(owners) >= set(CORE_SERVICES)
    for service in CORE_SERVICES:
        for name in (service, f"{service}-migrations"):
            assert tilt.resources()[name].named["labels"] == [owners[service]]
    for name in ("secrets", "platform"):
        assert tilt.resources()[name].named["labels"] == ["platform"]


def test_a_change_of_the_source_goes_into_the_running_pod_and_its_process_starts_anew(tilt) -> None:
    for build in tilt.of("docker_build"):
        service = build.arguments[0].rpartition("/")[2]
        steps = build.named["live_update"]
        assert [step["step"] for step in steps] == ["fall_back_on", "sync", "sync", "sync", "run"]
        for step in steps[1:-1]:
            here, there = step["arguments"]
            assert (ROOT / here / "__init__.py").exists() or (ROOT / here).is_dir()
            assert here.partition("/src/")[2] == there.partition("/site-packages/")[2]
        for path in steps[0]["arguments"][0]:
            assert (ROOT / path).exists(), path
        for path in build.named["only"]:
            assert (ROOT / path).exists(), path
        assert build.named["build_args"] == {"SERVICE": service}
        assert steps[-1]["arguments"] == ['kill "$(cat /tmp/served)"']


def test_files_are_synced_to_where_the_recipes_python_looks_for_them(tilt) -> None:
    recipe = (ROOT / "Dockerfile").read_text()
    named = re.search(r"^ARG PYTHON=\S+python:(3\.\d+)-", recipe, re.MULTILINE)
    assert named is not None
    synced = {step["arguments"][1] for call in tilt.of("docker_build") for step in call.named["live_update"][1:-1]}
    assert {re.sub(r"/tieout/\w+$", "", path) for path in synced} == {f"/opt/tieout/lib/python{named[1]}/site-packages"}
    assert tilt.of("docker_build")[0].named["dockerfile_contents"].startswith(recipe)
    assert recipe.endswith("\n")


def test_a_pod_differs_from_production_in_its_command_and_its_writable_root_only(tilt) -> None:
    for one in tilt.objects():
        if one["kind"] in ("Deployment", "Job"):
            for container in containers(one):
                own = container["securityContext"]
                assert own["allowPrivilegeEscalation"] is False
                assert own["capabilities"] == {"drop": ["ALL"]}
                assert own["readOnlyRootFilesystem"] is (one["kind"] == "Job")
                if one["kind"] == "Job":
                    assert container["command"][-2:] == ["--phase", "upgrade"]


def test_ports_are_forwarded_for_the_gateway_and_for_jaeger() -> None:
    tilt = Tilt(telemetry=True)
    forwarded = {
        name: [one["arguments"] for one in call.named.get("port_forwards", [])]
        for name, call in tilt.resources().items()
        if call.named.get("port_forwards")
    }
    assert forwarded == {"gateway": [[8080, 8080]]}
    jaeger = tilt.resources()["jaeger"].named
    assert jaeger["serve_cmd"].endswith("port-forward service/tieout-jaeger 16686:16686")
    assert jaeger["links"][0]["arguments"] == ["http://localhost:16686", "Jaeger"]
    assert "--set jaeger.enabled=true" in tilt.resources()["platform"].arguments[1]
    settings = [
        one["data"]
        for one in tilt.objects()
        if one["kind"] == "ConfigMap" and "grafana_dashboard" not in one["metadata"].get("labels", {})
    ]
    endpoints = {data.get("OTEL_EXPORTER_OTLP_ENDPOINT") for data in settings}
    assert endpoints == {"http://tieout-otel-collector:4317"}


def test_whoever_names_two_services_gets_these_and_what_they_stand_on() -> None:
    tilt = Tilt(**{"to-run": ["gateway", "order"]})
    assert set(tilt.enabled) == {"secrets", "platform", "gateway", "order", "gateway-migrations", "order-migrations"}
    assert set(tilt.enabled) <= set(tilt.resources())


def test_the_platform_and_migrations_wait_for_a_hand_after_their_first_run(tilt) -> None:
    manual = {name for name, call in tilt.resources().items() if call.named.get("trigger_mode") == "manual"}
    assert manual == {"platform", *(f"{service}-migrations" for service in CORE_SERVICES)}


def test_the_shell_of_a_pod_serves_again_after_a_kill_and_ends_on_sigterm(tilt, tmp_path) -> None:
    """With a stand-in for python, and a folder of ours where the pod has its own for temporary files."""
    named = {one["metadata"]["name"]: one for one in tilt.objects() if one["kind"] == "Deployment"}
    (container,) = containers(named["tieout-order"])
    *shell, script = container["command"]
    assert shell == ["/bin/sh", "-c"]
    (tmp_path / "python").write_text('#!/bin/sh\necho "$@" >>log\nexec sleep 600\n')
    (tmp_path / "python").chmod(0o755)
    script = script.replace("/tmp/served", f"{tmp_path}/served")  # noqa: S108
    process = subprocess.Popen([*shell, script], cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    def served(times: int) -> int:
        """Once it was started so often: the pid of what serves now."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            told = [(tmp_path / name).read_text() if (tmp_path / name).exists() else "" for name in ("log", "served")]
            if told[0] == "-m tieout.order serve\n" * times and told[1]:
                return int(told[1])
            time.sleep(0.05)
        raise AssertionError(told)

    try:
        os.kill(served(1), signal.SIGTERM)
        last = served(2)
        process.terminate()
        assert process.wait(60) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(last, 0)
    finally:
        process.kill()


def test_the_platform_is_applied_again_once_its_kinds_are_known_and_ends_when_postgres_has_the_databases(tilt) -> None:
    said = tilt.resources()["platform"].arguments[1]
    first, second, ready, databases = (
        said.index(each)
        for each in ("--wait &&", "&& helm upgrade", "wait --for=condition=Ready cluster/tieout-postgres", "databases.")
    )
    assert first < second < ready < databases
    assert said.count("helm upgrade --install tieout-platform") == 2
