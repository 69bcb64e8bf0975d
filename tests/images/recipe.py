"""The Dockerfile read, and its build stage done on this machine: same commands, other folders."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from dockerfile_parse import DockerfileParser
from msgspec import Struct

ROOT = Path(__file__).resolve().parents[2]


class Step(Struct, frozen=True):
    instruction: str
    value: str
    line: int


def stages() -> dict[str, list[Step]]:
    """Instructions by the name of their stage, without comments; what stands before the first is in ''."""
    found: dict[str, list[Step]] = {"": []}
    name = ""
    for one in DockerfileParser(path=str(ROOT / "Dockerfile")).structure:
        step = Step(one["instruction"], one["value"], one["startline"] + 1)
        if step.instruction == "FROM":
            name = step.value.rpartition(" AS ")[2]
            found[name] = []
        if step.instruction != "COMMENT":
            found[name].append(step)
    return found


def environment(stage: list[Step]) -> dict[str, str]:
    pairs = [re.findall(r"(\w+)=(\S+)", step.value) for step in stage if step.instruction == "ENV"]
    return {name: value for found in pairs for name, value in found}


def ignored(path: Path) -> bool:
    """As .dockerignore says of a path below the root: the last rule that meets it, or a folder above it, decides."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    said = False
    parts = path.parts
    for rule in rules:
        pattern = rule.removeprefix("!")
        if pattern.startswith("**/"):
            met = any(fnmatch.fnmatch(part, pattern[3:]) for part in parts)
        else:
            wanted = Path(pattern).parts
            met = len(parts) >= len(wanted) and all(map(fnmatch.fnmatch, parts, wanted))
        if met:
            said = not rule.startswith("!")
    return said


class Built(Struct, frozen=True):
    """What the build stage left: an environment with the service, and nothing else of this machine."""

    service: str
    environment: Path
    wheels: Path

    @property
    def python(self) -> str:
        return str(self.environment / "bin" / "python")

    @property
    def entrypoint(self) -> str:
        return str(self.environment / "bin" / "service")


def build(service: str, folder: Path, *, lock: Path = ROOT / "requirements.lock", compiled: bool = False) -> Built:
    """The build stage, but for its first command: that one puts the lock's uv into the base, as `./tieout` does."""
    source, wheels, venv = folder / "src", folder / "wheels", folder / "venv"
    source.mkdir(parents=True)
    stage = stages()["build"]
    told = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "UV_", "TIEOUT"))}
    told |= environment(stage)
    told |= {"SERVICE": service, "WHEELS": str(wheels), "VIRTUAL_ENV": str(venv), "UV_SYSTEM_CERTS": "1"}
    told |= {"UV_LINK_MODE": "hardlink", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if not compiled:
        told["UV_COMPILE_BYTECODE"] = "0"
    for step in stage:
        if step.instruction == "COPY":
            _copy(step.value.replace("${SERVICE}", service), source, lock)
        elif step.instruction == "RUN" and "--requirement uv.txt" not in step.value:
            command = re.sub(r"--mount=\S+\s+", "", step.value)
            done = subprocess.run(
                ["/bin/sh", "-eu", "-c", command], cwd=source, env=told, capture_output=True, text=True
            )
            if done.returncode:
                raise RuntimeError(f"Dockerfile, line {step.line}, for {service}:\n{done.stdout}{done.stderr}")
    return Built(service, venv, wheels)


def _copy(value: str, target: Path, lock: Path) -> None:
    name, where = value.split()
    assert not ignored(Path(name)), f"{name} is copied, but .dockerignore leaves it out"
    if name == "requirements.lock":
        shutil.copy(lock, target / where / name)
        return

    def left_out(folder: str, names: list[str]) -> list[str]:
        below = Path(folder).relative_to(ROOT)
        return [one for one in names if ignored(below / one)]

    shutil.copytree(ROOT / name, target / where, ignore=left_out)
