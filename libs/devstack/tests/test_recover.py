"""A recovery that is interrupted leaves nothing behind that goes on without it."""

import os
import signal
import subprocess
import sys

import pytest
from tieout.devstack import processes
from tieout.devstack.patience import PATIENCE_SECONDS, until_seen

# As `tieout recover` does it; the service's own part is a program that would run for ten minutes.
RECOVERING = """
import asyncio, sys
from pathlib import Path
from tieout.devstack import recover
from tieout.devstack.endpoints import DatabaseEndpoint, Endpoints, NatsEndpoint

class Where:
    databases = {"inventory": DatabaseEndpoint(*["postgresql://x@127.0.0.1:1/x", ""] * 3)}
    hub = NatsEndpoint("nats://127.0.0.1:1", "operator", "")

folder = Path(sys.argv[1])
sys.executable = str(folder / "service")
asyncio.run(recover.bring_forward(Where(), folder, "inventory"))
"""


def recovering(folder):
    command = [sys.executable, "-c", RECOVERING, str(folder)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no kernel ends the child of who was killed")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_whoever_is_interrupted_or_killed_takes_the_recovery_with_it(how, tmp_path):
    pid = tmp_path / "pid"
    service = tmp_path / "service"
    service.write_text(f"#!/bin/sh\necho $$ > {pid}.new\nmv {pid}.new {pid}\nexec sleep 600\n")
    service.chmod(0o755)
    parent = recovering(tmp_path)
    try:
        await until_seen(pid.exists)
        child = processes.identity(int(pid.read_text()))
        assert child
        parent.send_signal(how)
        await until_seen(lambda: processes.identity(int(pid.read_text())) != child)
    finally:
        parent.kill()
        parent.wait(PATIENCE_SECONDS)
        if pid.exists() and processes.identity(int(pid.read_text())):
            os.kill(int(pid.read_text()), signal.SIGKILL)
