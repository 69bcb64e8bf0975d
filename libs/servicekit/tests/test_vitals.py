"""A service says what it is doing, and what its earlier processes died of."""

import asyncio
import os
import signal
import sys

import asyncpg
import pytest
from tieout.contracts.watch import Vitals, VitalsRequest
from tieout.devstack.patience import PATIENCE_SECONDS, ask
from tieout.servicekit import Database
from tieout.servicekit import vitals as vitals_
from tieout.servicekit.vitals import _how

MB = 1 << 20


@pytest.fixture
def patient(monkeypatch):
    """A database that answers, however slowly, is not away."""
    monkeypatch.setattr(vitals_, "DATABASE_SECONDS_MAX", PATIENCE_SECONDS)
    monkeypatch.setattr(vitals_, "FREE_SECONDS_MAX", PATIENCE_SECONDS)


async def test_a_process_that_was_killed_is_found_by_the_next_one_and_one_that_stopped_is_not(
    start_service, owner, operator, patient
) -> None:
    service = await start_service()
    await service.stop()
    assert await owner.fetchval("SELECT ended FROM process_run") == "stopped"
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    add = (
        "INSERT INTO process_run (host, pid, version, memory_bytes, memory_limit_bytes, oom_kills) "
        "SELECT host, $1, version, $2, $3, 0 FROM process_run LIMIT 1"
    )
    await owner.execute(add, ended.pid, 60 * MB, 256 * MB)
    await owner.execute(add, ended.pid, 250 * MB, 256 * MB)
    await owner.execute(add, os.getppid(), 60 * MB, 0)  # A replica beside us.
    await start_service()
    told = await ask(operator, "rpc.inventory.vitals", VitalsRequest(tables=True), Vitals)
    assert sorted(ending.how for ending in told.endings) == ["killed", "out_of_memory"]
    assert (told.pid, told.database) == (os.getpid(), "")
    assert told.tables
    assert await owner.fetchval("SELECT count(*) FROM process_run WHERE ended = ''") == 2


async def test_a_process_that_a_restored_backup_knows_as_living_was_not_killed(start_service, owner, operator) -> None:
    service = await start_service()
    await service.stop()
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    await owner.execute("UPDATE process_run SET ended = '', ended_at = NULL, pid = $1", ended.pid)
    await owner.execute("UPDATE database_home SET database = 1")
    await start_service()
    assert (await vitals(operator)).endings == ()
    assert await owner.fetchval("SELECT count(*) FROM process_run WHERE ended = 'lost'") == 1


async def vitals(operator) -> Vitals:
    return await ask(operator, "rpc.inventory.vitals", VitalsRequest(), Vitals)


async def test_vitals_come_although_the_database_hangs(start_service, owner, toy, operator) -> None:
    service = await start_service()
    stopped: set[int] = set()

    async def hangs() -> Vitals | None:
        """Its pools may open further sessions meanwhile: stop these as well, until it has none that answers."""
        query = "SELECT pid FROM pg_stat_activity WHERE usename = 'inventory_app' AND datname = current_database()"
        for session in await owner.fetch(query):
            if session["pid"] not in stopped:
                os.kill(session["pid"], signal.SIGSTOP)
                stopped.add(session["pid"])
        told = await vitals(operator)
        return told if told.database else None

    try:
        told = await toy.until(hangs)
        assert "no answer within" in told.database
        assert [flow.durable for flow in told.flows] == [flow.durable for flow in service.flows]
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    async def answers() -> bool:
        return (await vitals(operator)).database == ""

    await toy.until(answers)


async def test_commits_that_do_not_wait_for_the_disk_are_told_by_what_lets_them(
    start_service, testbed, toy_database, operator, patient
) -> None:
    """The server of tests does not wait for its disk either."""
    superuser = await asyncpg.connect(testbed.postgres.url(toy_database.name))
    await superuser.execute(f"ALTER DATABASE {toy_database.name} SET synchronous_commit = off")
    await superuser.close()
    await start_service()
    told = await vitals(operator)
    assert told.unsafe == ("fsync", "full_page_writes", "synchronous_commit")


async def test_a_lock_on_the_kits_own_tables_is_no_database_that_is_away(
    start_service, owner, operator, patient
) -> None:
    await start_service()
    held = owner.transaction()
    await held.start()
    await owner.execute("LOCK TABLE parked, process_run")
    told = await vitals(operator)
    assert (told.database, told.endings) == ("", ())
    await held.rollback()


def test_a_process_was_killed_for_its_memory_where_the_kernel_says_so_or_its_limit_was_near() -> None:
    assert _how(10 * MB, 0, counted=True) == "out_of_memory"
    assert _how(250 * MB, 256 * MB, counted=False) == "out_of_memory"
    assert _how(100 * MB, 256 * MB, counted=False) == "killed"
    assert _how(900 * MB, 0, counted=False) == "killed"


async def test_whoever_answers_tells_of_every_process_that_runs(start_service, owner, operator) -> None:
    from tieout.contracts.operation import UNSEEN_SECONDS_MAX, Health, Nothing

    service = await start_service()
    await service.database.outbox.open.wait()  # Before that it says, and rightly, that it is not ready.
    beside = (
        "INSERT INTO process_run (host, pid, version, memory_bytes, memory_limit_bytes, oom_kills, "
        "ready, stopped, seen_at) VALUES ($1, $2, '2', 60, 0, 0, true, $3, now() - $4 * interval '1 minute')"
    )
    await owner.execute(beside, "b", 7, '{"inventory-take-back": "here"}', 0)
    await owner.execute(beside, "c", 8, "{}", 2)
    await owner.execute(beside, "d", 9, "{}", 20)
    await service._runs.note()  # What is of another host and silent for long is lost.
    health = await ask(operator, "rpc.inventory.health", Nothing(), Health)
    (mine, b, c) = sorted(health.replicas, key=lambda one: (one.pid != os.getpid(), one.host))
    assert (mine.ready, mine.stopped, mine.unseen_seconds) == (True, {}, 0.0)
    assert mine.memory_bytes > MB
    assert (b.host, b.pid, b.stopped) == ("b", 7, {"inventory-take-back": "here"})
    assert b.unseen_seconds < UNSEEN_SECONDS_MAX < c.unseen_seconds
    assert await owner.fetchval("SELECT ended FROM process_run WHERE host = 'd'") == "lost"
    assert not (await vitals(operator)).endings  # Nobody knows that it was killed.


async def test_a_process_notes_that_it_is_ready_at_once_for_those_who_answer_for_it(
    start_service, owner, monkeypatch
) -> None:
    """Else its replicas would tell for seconds that it is not, while it says that it is."""
    monkeypatch.setattr("tieout.servicekit.vitals.NOTE_SECONDS", 3600.0)
    await start_service()
    async with asyncio.timeout(60):
        while True:
            if await owner.fetchval("SELECT ready FROM process_run WHERE pid = $1", os.getpid()):
                return
            await asyncio.sleep(0.05)


async def test_what_could_not_be_noted_is_noted_at_the_next_look(toy_database) -> None:
    """Else an idle process would tell for half a minute what is true no more."""
    gone = await asyncpg.create_pool(toy_database.app_url, min_size=0, max_size=1)
    there = await asyncpg.create_pool(toy_database.app_url, min_size=0, max_size=1)
    await gone.close()
    runs = vitals_.RunLog(Database(gone, service="inventory"), "1")
    with pytest.raises(asyncpg.InterfaceError):
        await runs.note()
    assert runs._noted is None
    runs._database = Database(there, service="inventory")
    await runs.note()
    assert runs._noted is not None
    await there.close()
