"""A service as a process: it starts, says so, ends when it is told to, and says what is missing."""

import asyncio
import http.client
import json
import os
import signal
import socket
import sys
from contextlib import closing

import pytest
from tieout.contracts.operation import Health, Nothing
from tieout.devstack.patience import PATIENCE_SECONDS, ask
from tieout.devstack.processes import free_port

PROGRAM = """
import asyncio, contextlib
from pathlib import Path
from tieout.servicekit import Service, Settings, main

class Own(Settings, frozen=True, kw_only=True):
    die: bool = False
    linger: str = ""
    deaf: bool = False

async def hear_nothing():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

def build(settings: Own) -> Service:
    async def beside(service):
        if settings.die:
            raise RuntimeError("the task is broken")
        left = asyncio.create_task(hear_nothing()) if settings.deaf else None
        try:
            await asyncio.Event().wait()
        finally:
            while settings.linger and Path(settings.linger).exists():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.01)
    async def forget(database):
        return {{"toys": 7}}
    return Service("inventory", settings, migrations=Path({folder!r}), tasks=[beside], forgets=[forget])

main("inventory", build)
"""


@pytest.fixture
async def run(toy):
    """`await run(environment, "serve")`; what still runs at the end of the test, however it ended, is killed."""
    started = []

    async def run(environment, *arguments, stdin=None, stderr=None, program=PROGRAM):
        program = program.format(folder=str(toy.folder))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, *arguments),
            env={**os.environ, "TIEOUT_STOP_SECONDS_MAX": str(PATIENCE_SECONDS), **environment},
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process):
    """Its exit code. What it still says is read, or a full pipe would keep it from ending."""
    await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    return process.returncode


async def lines_until(process, event):
    """Log entries up to the one that says `event`."""
    found = []
    while line := await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS):
        found.append(json.loads(line))
        if found[-1]["event"] == event:
            return found
    raise AssertionError(f"{event!r} was not said; instead: {found}")


async def test_a_process_says_that_it_is_ready_and_stops_on_sigterm(run, toy_database, operator) -> None:
    process = await run(toy_database.environment, "serve")
    (*_, ready) = await lines_until(process, "ready")
    assert ready["service"] == "inventory"
    assert (await ask(operator, "rpc.inventory.health", Nothing(), Health)).ready in (True, False)
    process.send_signal(signal.SIGTERM)
    told = await lines_until(process, "stopped")
    assert "error" not in {line["level"] for line in told}  # Nothing had to be left behind.
    assert await ended(process) == 0


async def test_a_process_whose_task_dies_ends_with_an_error(run, toy_database, operator) -> None:
    process = await run({**toy_database.environment, "TIEOUT_DIE": "true"}, "serve")
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode not in (0, None)
    assert b"the task is broken" in output


async def test_a_process_waits_for_servers_that_start_later_and_can_be_stopped_meanwhile(run, toy_database) -> None:
    environment = {**toy_database.environment, "TIEOUT_NATS_URL": "nats://127.0.0.1:1"}
    process = await run(environment, "serve")
    await lines_until(process, "waiting for the broker")
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == 0


async def test_a_process_that_hangs_at_its_end_ends_all_the_same(run, toy_database, operator) -> None:
    environment = {**toy_database.environment, "TIEOUT_DEAF": "true", "TIEOUT_STOP_SECONDS_MAX": "1"}
    process = await run(environment, "serve")
    await lines_until(process, "ready")
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == 1


@pytest.mark.parametrize(("command", "missing"), [("serve", "TIEOUT_DATABASE_URL"), ("migrate", "TIEOUT_OWNER_URL")])
async def test_a_missing_setting_is_named(run, command, missing) -> None:
    process = await run({"TIEOUT_DATABASE_URL": "", "TIEOUT_OWNER_URL": ""}, command)
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
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
        assert await ended(process) == 0  # Told nothing: who started it gave up.


@pytest.fixture
def run_on_port(run):
    """`await run_on_port(environment, variable, said)`: a process that listens on the port of this variable, and has
    said so much; and the port."""

    async def run_on_port(environment, variable, said):
        for _ in range(5):
            port = free_port()
            process = await run({**environment, variable: str(port)}, "serve")
            try:
                await lines_until(process, said)
            except AssertionError as missing:
                if "cannot listen on" not in str(missing):
                    raise  # Else somebody took it meanwhile.
            else:
                return process, port
        raise AssertionError("no port stays free")

    return run_on_port


async def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Status and body; 0 where nobody listens yet."""

    def ask() -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)) as connection:
            try:
                connection.request(method, path)
                response = connection.getresponse()
                return response.status, response.read().decode()
            except ConnectionError:
                return 0, ""

    return await asyncio.to_thread(ask)


async def test_a_pod_is_ready_once_it_can_work_and_not_from_the_first_moment_of_its_stop(
    run_on_port, toy, toy_database, operator, tmp_path
) -> None:
    work = tmp_path / "work"
    work.touch()
    environment = {**toy_database.environment, "TIEOUT_LINGER": str(work)}
    process, port = await run_on_port(environment, "TIEOUT_HEALTH_PORT", "ready")

    def answers(wanted, method="GET"):
        """The look at the database behind a probe has a limit of its own."""

        async def look():
            status, body = await get(port, "/readyz", method)
            return [body] if status == wanted else None

        return look

    (body,) = await toy.until(answers(200))
    told = json.loads(body)
    assert (told["service"], told["ready"], told["why"]) == ("inventory", True, [])
    assert (await get(port, "/startupz"))[0] == 200
    assert await toy.until(answers(200, "HEAD")) == [""]
    process.send_signal(signal.SIGTERM)

    async def says_that_it_stops() -> bool:
        status, body = await get(port, "/readyz")
        return status == 503 and json.loads(body)["why"] == ["stopping"]

    await toy.until(says_that_it_stops)
    assert (await get(port, "/livez"))[0] == 200  # A process that finishes its work must not be killed for it.
    work.unlink()
    assert await ended(process) == 0


async def test_a_start_that_waits_for_its_servers_has_passed_and_is_not_ready(run_on_port, toy, toy_database) -> None:
    environment = {**toy_database.environment, "TIEOUT_NATS_URL": "nats://127.0.0.1:1"}
    _, port = await run_on_port(environment, "TIEOUT_HEALTH_PORT", "waiting for the broker")

    async def passed() -> bool:
        return (await get(port, "/startupz"))[0] == 200

    await toy.until(passed)
    assert json.loads((await get(port, "/startupz"))[1])["started"] is False
    status, body = await get(port, "/readyz")
    assert (status, json.loads(body)["why"]) == (503, ["waiting for the broker"])
    assert (await get(port, "/livez"))[0] == 200


async def test_a_port_that_is_taken_is_named(run, toy_database) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = await run({**toy_database.environment, "TIEOUT_HEALTH_PORT": port}, "serve")
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 2
    assert b"TIEOUT_HEALTH_PORT" in output


async def test_prometheus_fetches_metrics_by_the_names_that_alerts_ask_for(
    run_on_port, toy, toy_database, operator
) -> None:
    environment = {**toy_database.environment, "OTEL_METRICS_EXPORTER": "prometheus"}
    process, port = await run_on_port(environment, "OTEL_EXPORTER_PROMETHEUS_PORT", "ready")
    status, page = await get(port, "/metrics")
    assert status == 200
    for name in ("tieout_outbox_age_seconds", "tieout_outbox_waiting", "tieout_process_memory_bytes", "target_info"):
        assert f"\n{name}" in page
    assert 'service_name="tieout-inventory"' in page
    assert "otel_scope" not in page
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == 0


async def test_retention_and_scrub_run_once_for_a_schedule(run, toy_database, owner, operator) -> None:
    async def once(command):
        process = await run(toy_database.environment, command)
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        return process.returncode, [json.loads(line) for line in output.splitlines()]

    service = await run(toy_database.environment, "serve")  # It makes the stream.
    await lines_until(service, "ready")
    service.send_signal(signal.SIGTERM)
    assert await ended(service) == 0
    code, told = await once("retain")
    assert code == 0, told
    (retained,) = [line for line in told if line["event"] == "retained"]  # A connection may tell of its end after it.
    assert (retained["outbox"], retained["toys"]) == (0, 7)
    code, told = await once("scrub")
    assert (code, told[-1]["event"]) == (0, "scrub found nothing")
    await owner.execute("ALTER TABLE demand DISABLE TRIGGER USER")
    code, told = await once("scrub")
    assert (code, told[-1]["event"]) == (1, "scrub found something")
    assert "triggers_armed" in told[-1]["rules"]


async def test_a_command_that_runs_once_does_not_wait_for_ever(run, toy_database) -> None:
    away = {"TIEOUT_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "TIEOUT_SERVERS_SECONDS_MAX": "0.3"}
    process = await run({**toy_database.environment, **away}, "scrub")
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 3
    assert json.loads(output.splitlines()[-1])["event"].startswith("database did not answer")


SLOW = """
import asyncio
from pathlib import Path
from tieout.contracts.order import OrderPlaced
from tieout.servicekit import Service, Settings, batch_flow, main

class Own(Settings, frozen=True, kw_only=True):
    slow: float = 0.0

def build(settings: Own) -> Service:
    @batch_flow("inventory-reserve-stock", OrderPlaced, size=100)
    async def note(batch, database):
        async with database.transaction() as tx:
            for one in batch:
                values = (one.position, 1, one.data.order_id, one.data.order_no, 1, 1)
                await tx.execute("INSERT INTO demand VALUES ($1, $2, $3, $4, $5, $6)", *values)
            print('{{"event": "in hand"}}', flush=True)
            await tx.execute("SELECT pg_sleep($1)", settings.slow)
    return Service("inventory", settings, migrations=Path({folder!r}), flows=[note])

main("inventory", build)
"""


async def test_a_batch_that_outlives_the_stop_is_taken_over_by_another_process(
    run, toy, toy_database, owner, play
) -> None:
    slow = {**toy_database.environment, "TIEOUT_SLOW": "3600", "TIEOUT_STOP_SECONDS_MAX": "2"}
    first = await run(slow, "serve", program=SLOW, stderr=asyncio.subprocess.PIPE)
    await lines_until(first, "ready")
    await play(toy.placed("1001"))
    await lines_until(first, "in hand")
    first.send_signal(signal.SIGTERM)
    said, last = await asyncio.wait_for(first.communicate(), PATIENCE_SECONDS)  # The batch would take an hour.
    if first.returncode == 1:  # It did not come to an end by itself, as a slow machine or Python 3.11 may have it.
        assert b"Timeout (" in last  # Where it hung, from faulthandler.
    else:
        assert first.returncode == 0
        assert b"what was not acknowledged will be delivered again" in said
    await run(toy_database.environment, "serve", program=SLOW)

    async def noted() -> bool:
        return bool(await owner.fetchval("SELECT count(*) = 1 FROM demand"))

    await toy.until(noted)
