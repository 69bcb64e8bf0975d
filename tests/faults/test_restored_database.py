"""The databases of gateway and control go back to older backups. The gateway comes back from its commands, and what its
satellites send again is booked once; control hears again what the streams hold."""

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import nats
from tieout.contracts.control import SHOW_JOURNEY, JourneyRequest
from tieout.contracts.gateway import PROGRESS, SHOW_DOCUMENT, DocumentView, ProgressRequest, ShowDocument
from tieout.contracts.ticket import CHANGE_TICKET, ChangeTicket
from tieout.devstack import recover
from tieout.devstack.calling import call
from tieout.devstack.chaos import backups, seeded
from tieout.devstack.chaos.load import Load
from tieout.devstack.failures import CommandFailed
from tieout.devstack.patience import until
from tieout.devstack.suite import Stack
from tieout.devstack.trading_day import plan
from tieout.devstack.trading_day.catalogue import STORE


async def test_a_gateway_restored_from_an_older_backup_has_its_commands_again_and_what_is_sent_again_is_booked_once(
    tmp_path, furnished
):
    folder = tmp_path / "stack"
    await asyncio.to_thread(subprocess.run, ["cp", "-a", furnished, folder], check=True)
    keys = json.loads((folder / "keys.json").read_text())
    day = plan(11, 40, datetime.now(UTC))
    stack = Stack(folder, postgres_settings=seeded.POSTGRES)
    async with stack.running(), stack.endpoints().async_client(timeout=60) as client:
        where = stack.endpoints()
        half = len(day.documents) // 2
        first = Load(stack, keys)
        await first.send(day.documents[:half], 1.0)
        await backups.back_up(stack, "gateway", folder / "gateway.dump")
        later = Load(stack, keys)
        await later.send(day.documents[half:], 1.0)
        await _until(lambda: _mapped(client), "every document is mapped")
        before = await _commands(stack)

        await backups.restore(stack, "gateway", folder / "gateway.dump")
        await _until(lambda: _refuses(folder), "the gateway refuses to start and says what to do")
        lost = before - await _commands(stack)
        looked = await recover.preview(where, folder, "gateway")
        assert await _commands(stack) < before  # Nothing was changed yet.
        done = await recover.bring_forward(where, folder, "gateway")

        assert before <= await _commands(stack)
        assert done["exact"]
        assert looked["exact"]
        assert looked["again"] == done["again"] >= len(lost) > 0  # A store's last sales may come after we counted.
        told = {one["sender"]: one for one in done["send_again"]}
        assert sum(one["rebuilt"] for one in told.values()) > 0
        assert told[STORE]["taken_again"] > 0
        assert any("API tokens" in line for line in done["not_back"])

        async def served() -> DocumentView:
            mapped = next(one for one in later.sent if one.intake_id and one.expected[0][1] == "accepted")
            return await call(client, SHOW_DOCUMENT, ShowDocument(mapped.intake_id))

        view = await _until(served, "the gateway serves again")
        assert view.state == "rebuilt"
        assert view.commands
        assert "lost" in view.remark

        await later.send_again(done["send_again"])
        assert not later.surprises
        sent = [*first.sent, *later.sent]
        assert await seeded.settle(stack, sent, 40, sent_again=1) == []
        assert await seeded.agreement(stack) == "agree"


async def test_a_control_restored_from_an_older_backup_hears_again_what_it_forgot_and_its_tickets_keep_their_numbers(
    tmp_path, furnished
):
    folder = tmp_path / "stack"
    await asyncio.to_thread(subprocess.run, ["cp", "-a", furnished, folder], check=True)
    keys = json.loads((folder / "keys.json").read_text())
    day = plan(12, 40, datetime.now(UTC))
    stack = Stack(folder, postgres_settings=seeded.POSTGRES)
    async with stack.running(), stack.endpoints().async_client(timeout=60) as client:
        where = stack.endpoints()
        half = len(day.documents) // 2
        await Load(stack, keys).send(day.documents[:half], 1.0)
        await backups.back_up(stack, "control", folder / "control.dump")
        later = Load(stack, keys)
        await later.send(day.documents[half:], 1.0)
        await _until(lambda: _mapped(client), "every document is mapped")
        assert await seeded.agreement(stack) == "agree"
        hub = await nats.connect(
            where.hub.url, user=where.hub.user, password=Path(where.hub.password_file).read_text().strip()
        )
        for number in range(3):
            await hub.jetstream().publish("order.submit.v1", f"no event {number}".encode())
        await hub.close()

        async def complained() -> bool:
            return any(row[1] == "dead_letter" for row in await _tickets(stack))

        await _until(complained, "the dead letters have a ticket")
        tickets, heard = await _tickets(stack), await _heard(stack)
        (number,) = (row[0] for row in tickets if row[1] == "dead_letter")
        await call(client, CHANGE_TICKET, ChangeTicket(number, "comment", "we look at it"))

        await backups.restore(stack, "control", folder / "control.dump")
        await _until(lambda: _refuses(folder, "control"), "control refuses to start and says what to do")
        assert await _heard(stack) < heard
        looked = await recover.preview(where, folder, "control")
        commands = await recover.commands_since(where, "control", looked["backup_at"])
        done = await recover.bring_forward(where, folder, "control")

        assert looked["heard_anew"] == done["heard_anew"] > 0
        assert [one.operation for one in commands] == [CHANGE_TICKET.name]  # Told: a comment stands in no stream.
        assert any("what people did with tickets" in line for line in done["not_back"])
        assert done["exact"]
        assert await _heard(stack) >= heard
        assert await _tickets(stack) == tickets

        async def agrees() -> bool:
            return await seeded.agreement(stack) == "agree"

        await _until(agrees, "the books agree")
        order = next(fed for fed in reversed(day.documents) if ("order", "accepted") in _expected(fed))
        found = await call(client, SHOW_JOURNEY, JourneyRequest(order.number))
        assert found.journeys
        assert {"gateway", "order"} <= {step.service for step in found.journeys[0].steps}


def _expected(fed) -> set:
    return {(one.kind, one.outcome) for one in fed.expected}


async def _tickets(stack) -> set:
    return await _rows(stack, "control", "SELECT number, kind, fingerprint, times FROM ticket")


async def _heard(stack) -> set:
    return await _rows(stack, "control", "SELECT producer, first_position FROM notice")


async def _until(attempt, what):
    try:
        return await until(attempt, passing=(CommandFailed, asyncpg.PostgresError, OSError, httpx.TransportError))
    except AssertionError as late:
        raise AssertionError(f"{what}: {late}") from None


async def _mapped(client) -> bool:
    progress = await call(client, PROGRESS, ProgressRequest())
    return bool(progress.satellites) and not any(one.pending or one.waiting for one in progress.satellites)


async def _refuses(folder: Path, service: str = "gateway") -> bool:
    logs = (folder / "logs").glob(f"{service}*.log")
    return any(f"./tieout recover {service}" in log.read_text() for log in logs)


async def _commands(stack) -> set:
    """All but when the row was written."""
    columns = "position, quantity_micro, amount_minor, id, chain_id, business_date, lines, kind, company, satellite"
    return await _rows(stack, "gateway", f"SELECT {columns}, number, order_no, currency FROM command")


async def _rows(stack, service: str, statement: str) -> set:
    connection = await asyncpg.connect(stack.postgres.url(f"tieout_{service}"))
    try:
        return {tuple(row) for row in await connection.fetch(statement)}
    finally:
        await connection.close()
