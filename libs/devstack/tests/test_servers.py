import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import asyncpg
import nats
import psutil
import pytest
from nats.js.api import ExternalStream, StreamConfig, StreamSource, SubjectTransform
from tieout.devstack import databases, endpoints, hints, permissions, up
from tieout.devstack.failures import CommandFailed
from tieout.devstack.patience import PATIENCE_SECONDS, until
from tieout.devstack.postgres import UNSAFE_BUT_FAST, Postgres
from tieout.devstack.processes import ServerFailed
from tieout.devstack.secrets import Secrets
from tieout.devstack.stack_folder import StackFolder
from tieout.devstack.suite import Stack

LAUNCHER = """
import asyncio, pathlib, sys
from tieout.devstack.suite import Stack
async def main():
    stack = Stack(pathlib.Path(sys.argv[1]), services=())
    await stack.start()
    print("ready", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "stack"


def bare(folder, **options):
    return Stack(folder, services=(), postgres_settings=UNSAFE_BUT_FAST, **options)


def test_a_secret_is_the_same_for_all_who_ask_at_once_and_readable_by_its_owner_only(tmp_path):
    found = set()
    threads = [threading.Thread(target=lambda: found.add(Secrets(tmp_path / "s").of("one"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (word,) = found
    assert word.isalnum()
    assert word[0].isalpha()
    assert (tmp_path / "s" / "one").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700


async def test_postgres_keeps_its_data_over_kill_and_restart(tmp_path):
    server = Postgres(tmp_path / "data", "Secret", log=tmp_path / "log", settings=UNSAFE_BUT_FAST)
    server.start()
    connection = await asyncpg.connect(server.url())
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()
    server.process.kill()
    server.process.wait()
    server.start()
    connection = await asyncpg.connect(server.url())
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()
    server.stop()


@pytest.mark.parametrize("same_port", [False, True])
def test_postgres_starts_again_once_the_children_of_a_killed_server_have_ended(tmp_path, same_port):
    log = tmp_path / "log"
    server = Postgres(tmp_path / "data", "Secret", log=log, settings=UNSAFE_BUT_FAST)
    server.start()
    port = server.port if same_port else 0
    left = psutil.Process(server.process.pid).children()[0]
    left.suspend()
    server.process.kill()
    server.process.wait()

    def resume():
        end = time.monotonic() + PATIENCE_SECONDS
        while log.read_text().count("shared memory block") < 8 and time.monotonic() < end:
            time.sleep(0.05)
        left.resume()

    resuming = threading.Thread(target=resume)
    resuming.start()
    try:
        server.start(port)
    finally:
        resuming.join()
        server.stop()
    assert log.read_text().count("shared memory block") >= 8


async def test_a_folder_may_have_any_name(tmp_path):
    named = tmp_path / "账 'x\" y"
    async with bare(named).running():
        assert endpoints.of_stack(named).gateway.startswith("http://127.0.0.1:")


async def test_a_second_launcher_in_the_same_folder_is_told_so(folder):
    async with bare(folder).running():
        with pytest.raises(CommandFailed, match=r"runs in .* already"):
            await bare(folder).start()
        assert endpoints.of_stack(folder).gateway.startswith("http://127.0.0.1:")
    with pytest.raises(CommandFailed, match="no stack runs"):
        endpoints.of_stack(folder)


async def test_two_stacks_in_two_folders_run_side_by_side(tmp_path):
    async with bare(tmp_path / "a").running() as one, bare(tmp_path / "b").running() as other:
        assert one.hub.port != other.hub.port
        assert one.secrets.of("nats_operator") != other.secrets.of("nats_operator")


def test_a_killed_launcher_takes_its_servers_along_and_the_next_one_starts(folder):
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(folder)], stdout=subprocess.PIPE)
    assert launcher.stdout.readline() == b"ready\n"
    left = [psutil.Process(fact["pid"]) for fact in json.loads((folder / "run" / "processes.json").read_bytes())]
    assert len(left) == 3
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    if sys.platform == "linux":
        assert psutil.wait_procs(left, timeout=PATIENCE_SECONDS)[1] == []

    async def start_again():
        async with bare(folder).running():
            pass

    asyncio.run(start_again())


async def test_a_stack_leaves_no_process_and_no_note_behind(folder):
    async with bare(folder).running() as stack:
        running = list(stack.running_processes().values())
    assert psutil.wait_procs(running, timeout=PATIENCE_SECONDS)[1] == []
    assert not (folder / "run").exists()
    assert not StackFolder(folder).stop_left_over()


async def test_a_killed_service_comes_back_by_itself_and_a_stopped_one_stays_down(folder):
    patient = {"TIEOUT_STOP_SECONDS_MAX": str(PATIENCE_SECONDS)}
    whole = Stack(folder, services=["order"], environment=patient, postgres_settings=UNSAFE_BUT_FAST)
    async with whole.running() as stack:
        first = stack.running_processes()["order"]
        stack.kill_service("order")
        psutil.wait_procs([first], timeout=PATIENCE_SECONDS)
        await stack.wait_until_ready()
        assert stack.running_processes()["order"].pid != first.pid
        assert await stack.stop_service("order", PATIENCE_SECONDS), "it had to be killed"
        await asyncio.sleep(0.5)
        assert "order" not in stack.running_processes()
        stack.start_service("order")
        await stack.wait_until_ready()


async def test_a_service_that_does_not_start_is_told_with_the_end_of_its_log(folder):
    wrong = {"TIEOUT_DATABASE_CONNECTIONS_MAX": "many"}
    stack = Stack(folder, services=["order"], environment=wrong, postgres_settings=UNSAFE_BUT_FAST)
    with pytest.raises(ServerFailed, match="TIEOUT_DATABASE_CONNECTIONS_MAX"):
        await stack.start()
    assert not (folder / "run").exists()


async def test_a_stack_has_the_same_port_again_unless_somebody_took_it(folder):
    ports = []
    while len(ports) < 2 or (ports[-2] != ports[-1] and len(ports) < 5):  # Other programs take ports, too.
        async with bare(folder).running() as stack:
            ports.append(stack.http_port)
    assert ports[-2] == ports[-1]
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # Or another program has it, which is as good.
            taken.bind(("127.0.0.1", ports[-1]))
            taken.listen()
        async with bare(folder).running() as stack:
            assert stack.http_port != ports[-1]


async def test_a_port_in_use_is_told_before_anything_starts(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CommandFailed, match="in use"):
            await bare(folder, port=taken.getsockname()[1]).start()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["hub", "order", "Store", "a b", ""])
def test_a_site_with_an_impossible_name_is_refused(name, folder):
    with pytest.raises(CommandFailed, match="no name for a site"):
        bare(folder, sites=[name])


INTAKE = {
    "name": "INTAKE_STORE_1",
    "duplicate_window": 0,
    "sources": [
        StreamSource(
            name=permissions.SITE_STREAM,
            external=ExternalStream(api="$JS.store-1.API"),
            subject_transforms=[SubjectTransform(src="sale.>", dest="intake.store-1.>")],
        )
    ],
}


def linked(stack):
    """Whether the hub has a site on its line."""

    def look():
        url = f"http://127.0.0.1:{stack.hub.monitor_port}/leafz"
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            return bool(json.load(answer).get("leafs"))

    return asyncio.to_thread(look)


async def test_a_site_sells_on_while_it_is_cut_off_and_everything_arrives_once(folder):
    async with bare(folder).running() as stack:
        site = stack.endpoints().sites["store-1"]
        till = await nats.connect(site.url, user=site.user, password=stack.secrets.of("nats_store-1-till"))
        gateway = await nats.connect(
            stack.hub.url,
            user="gateway",
            password=stack.secrets.of("nats_gateway"),
            inbox_prefix=permissions.inbox_of("gateway").encode(),
            reconnect_time_wait=0.05,
            max_reconnect_attempts=-1,
        )
        hub, store = gateway.jetstream(timeout=PATIENCE_SECONDS), till.jetstream(timeout=PATIENCE_SECONDS)
        connected = []

        async def note(message):
            connected.append(json.loads(message.data)["client"])

        await gateway.subscribe(permissions.CLIENT_CONNECTED, cb=note)
        await hub.add_stream(StreamConfig(**INTAKE))

        async def sell(first):
            for number in range(first, first + 5):
                await store.publish("sale.order", b"%d" % number)

        async def copied():
            """Messages in the hub's copy."""
            return (await hub.stream_info("INTAKE_STORE_1")).state.messages

        async def announced():
            return any(client["kind"] == "Leafnode" and client["user"] == "store-1" for client in connected)

        async def resume():
            """Putting the sources back resumes them sooner than the hub would by itself."""
            await hub.update_stream(StreamConfig(**{**INTAKE, "sources": []}))
            await hub.update_stream(StreamConfig(**INTAKE))

        async def is_copied(number):
            async def look():
                return await copied() == number

            await until(look)

        async def is_linked():
            return await linked(stack)

        async def is_cut():
            return not await linked(stack)

        await sell(0)
        await is_copied(5)
        connected.clear()
        stack.cut("store-1")
        await until(is_cut)
        await sell(5)
        assert await copied() == 5
        stack.mend("store-1")
        await until(announced)  # To the gateway, which goes by it.
        await resume()
        await is_copied(10)

        stack.restart_hub(kill=True)
        await sell(10)
        await until(is_linked)  # The site may be faster than the gateway, which hears of it no more then.
        await resume()
        await is_copied(15)
        bodies = [(await hub.get_msg("INTAKE_STORE_1", number)).data for number in range(1, 16)]
        assert sorted(map(int, bodies)) == list(range(15))
        await till.close()
        await gateway.close()


async def test_a_database_that_a_killed_recovery_left_closed_is_open_after_the_next_start(folder):
    stack = bare(folder)
    async with stack.running():
        await databases.prepare(stack.postgres, stack.secrets, ("order",))
        connection = await asyncpg.connect(stack.postgres.url())
        try:
            await connection.execute("ALTER DATABASE tieout_order ALLOW_CONNECTIONS false")
            await databases.prepare(stack.postgres, stack.secrets, ("order",))
            open_ = await connection.fetchval("SELECT datallowconn FROM pg_database WHERE datname = 'tieout_order'")
        finally:
            await connection.close()
    assert open_


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
async def test_a_foreground_stack_says_at_its_end_where_its_data_lies_and_how_to_go_on(folder, ended_by, capsys):
    stack = bare(folder, sites=())
    arguments = argparse.Namespace(dir=folder, quiet=True, replicas={"order": 2})
    hints.about(folder)
    running = asyncio.create_task(up._foreground(arguments, stack))
    out = ""
    async with asyncio.timeout(120):
        while not running.done():
            out += capsys.readouterr().out
            if "ready " in out:
                os.kill(os.getpid(), ended_by)
                break
            await asyncio.sleep(0.05)
        assert await running == 0
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert last.startswith(f"stopped; what it has stored stays in {folder}. Start it again with: ")
    assert last.endswith(f"up --replicas order=2{hints.option(folder)}")
    assert (folder / "postgres").is_dir()


LAUNCHED = """
import sys
from pathlib import Path
from tieout.devstack import processes

ask = "import os; print(*(os.readlink(f'/proc/self/fd/{fd}') for fd in (0, 1, 2)), *os.listdir('/proc/self/fd'))"
processes.start([sys.executable, "-c", ask], log=Path(sys.argv[1])).wait()
print("ready")
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells which files a process has open")
def test_a_server_holds_no_pipe_of_its_launcher(tmp_path):
    """`tieout up --detach | tail` ends when the launcher does, and not when the servers do."""
    reader, writer = os.pipe()
    try:
        log = tmp_path / "server.log"
        launched = subprocess.run(
            [sys.executable, "-c", LAUNCHED, str(log)], capture_output=True, text=True, pass_fds=[writer], check=True
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert launched.stdout == "ready\n"
    given, out, error, *held = log.read_text().split()
    assert (given, out, error) == ("/dev/null", str(log), str(log))
    assert set(held) <= {"0", "1", "2", "3"}  # The last is its look at the list itself.
