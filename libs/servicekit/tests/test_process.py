"""A service as a process: it starts, says so, ends when it is told to, and says what is missing."""

import asyncio
import json
import os
import signal
import sys
import time

import pytest
from tieout.contracts.operation import Health, Nothing
from tieout.servicekit import ask

PROGRAM = """
import asyncio
from pathlib import Path
from tieout.servicekit import Service, Settings, main

class Own(Settings, frozen=True, kw_only=True):
    die: bool = False

def build(settings: Own) -> Service:
    async def beside(service):
        if settings.die:
            raise RuntimeError("the task is broken")
        await asyncio.Event().wait()
    return Service("inventory", settings, migrations=Path({folder!r}), tasks=[beside])

main("inventory", build)
"""


@pytest.fixture
async def run(toy):
    """`await run(environment, "serve")`; what still runs at the end of the test, however it ended, is killed."""
    started = []

    async def run(environment, *arguments, stdin=None):
        program = PROGRAM.format(folder=str(toy.folder))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, *arguments),
            env={**os.environ, **environment},
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def lines_until(process, event):
    """Log entries up to the one that says `event`."""
    found = []
    while line := await asyncio.wait_for(process.stdout.readline(), 20):
        found.append(json.loads(line))
        if found[-1]["event"] == event:
            return found
    raise AssertionError(f"{event!r} was not said; instead: {found}")


async def test_a_process_says_that_it_is_ready_and_stops_on_sigterm(run, toy_database, operator) -> None:
    process = await run(toy_database.environment, "serve")
    (*_, ready) = await lines_until(process, "ready")
    assert ready["service"] == "inventory"
    assert (await ask(operator, "rpc.inventory.health", Nothing(), Health)).ready in (True, False)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    await lines_until(process, "stopped")
    assert await process.wait() == 0
    assert time.monotonic() - started < 3


async def test_a_process_whose_task_dies_ends_with_an_error(run, toy_database, operator) -> None:
    process = await run({**toy_database.environment, "TIEOUT_DIE": "true"}, "serve")
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode not in (0, None)
    assert b"the task is broken" in output


async def test_a_process_waits_for_servers_that_start_later_and_can_be_stopped_meanwhile(run, toy_database) -> None:
    environment = {**toy_database.environment, "TIEOUT_NATS_URL": "nats://127.0.0.1:1"}
    process = await run(environment, "serve")
    await lines_until(process, "waiting for the broker")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == 0


@pytest.mark.parametrize(("command", "missing"), [("serve", "TIEOUT_DATABASE_URL"), ("migrate", "TIEOUT_OWNER_URL")])
async def test_a_missing_setting_is_named(run, command, missing) -> None:
    process = await run({"TIEOUT_DATABASE_URL": "", "TIEOUT_OWNER_URL": ""}, command)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert missing in json.loads(output.splitlines()[-1])["event"]


async def test_a_process_may_be_told_the_rest_of_its_settings_while_it_imports(run, toy_database, operator) -> None:
    for told in (json.dumps(toy_database.environment).encode(), b""):
        process = await run({"TIEOUT_SETTINGS": "stdin"}, "serve", stdin=asyncio.subprocess.PIPE)
        process.stdin.write(told)
        process.stdin.close()
        if told:
            await lines_until(process, "ready")
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0  # Told nothing: who started it gave up.
