"""A hand deletes a stream while everything runs: somebody tells it, and what can go on goes on."""

import asyncio
import io
from pathlib import Path

import asyncpg
import httpx
import msgspec
import nats
import nats.js.errors
from rich.console import Console
from tieout.contracts.control import Agreement
from tieout.contracts.gateway import PUT_SATELLITE
from tieout.contracts.streams import site_stream
from tieout.contracts.watch import Checkup, LeafSites
from tieout.devstack import agreement, permissions, sites, status
from tieout.devstack.patience import until
from tieout.devstack.postgres import UNSAFE_BUT_FAST
from tieout.devstack.suite import Stack
from tieout.gateway.flows.take_in_sites import LOOK_SECONDS

SITE = "store-1"


async def test_a_stores_stream_that_was_deleted_is_made_anew_and_told_with_what_was_lost_and_nothing_later_is(tmp_path):
    """The new stream begins at 1, below the place that the hub has copied, and grows above it before the hub asks."""
    stack = Stack(tmp_path / "stack", postgres_settings=UNSAFE_BUT_FAST)
    async with stack.running():
        endpoints = stack.endpoints()
        site = endpoints.sites[SITE]
        till = await nats.connect(site.url, user=site.user, password=Path(site.password_file).read_text().strip())
        database = endpoints.databases["gateway"]
        password = Path(database.auditor_password_file).read_text().strip()
        books = await asyncpg.connect(database.auditor_dsn, password=password)
        keeper = await sites.connect(stack.sites[SITE], permissions.OPERATOR, stack.secrets.of(f"nats_{SITE}-operator"))
        hub = (await stack.operator()).jetstream()
        copy = site_stream(SITE)

        async with endpoints.async_client() as client:

            async def asked(path: str, kind: type[msgspec.Struct]):
                answer = await client.get(path)
                answer.raise_for_status()
                return msgspec.json.decode(answer.content, type=kind)

            async def own():
                (told,) = (await asked("/v1/sites", LeafSites)).sites
                return told

            async def sell(first: int, count: int) -> None:
                for number in range(first, first + count):
                    body = msgspec.json.encode({"kind": "order", "number": str(number)})
                    await till.jetstream().publish("sale.order", body, headers={"Nats-Msg-Id": str(number)})

            async def kept() -> set[str]:
                rows = await books.fetch("SELECT body FROM raw_document WHERE satellite = $1", SITE)
                return {msgspec.json.decode(row["body"])["number"] for row in rows}

            async def delete() -> str:
                """Which stream was deleted."""
                created = (await keeper.jetstream().stream_info(permissions.SITE_STREAM)).created
                await keeper.jetstream().delete_stream(permissions.SITE_STREAM)
                return str(created)

            async def made_anew(before: str) -> bool:
                found = await keeper.jetstream().stream_info(permissions.SITE_STREAM)
                return str(found.created) != before

            await client.put(PUT_SATELLITE.path.replace("{satellite}", SITE), json={"authentication": "leaf"})
            await sell(0, 5)
            await until(kept, lambda found: len(found) == 5)
            await until(own, lambda told: told.state == "ok")

            copied = await hub.stream_info(copy)
            copied.config.max_bytes = copied.state.bytes + 1  # It is full, so two sales wait at the store.
            await hub.update_stream(copied.config)
            await sell(5, 2)
            await asyncio.sleep(2 * LOOK_SECONDS)  # Seen there.

            before = await delete()
            await until(lambda: made_anew(before), passing=(nats.js.errors.NotFoundError,))
            await sell(100, 12)
            copied.config.max_bytes = -1
            await hub.update_stream(copied.config)
            await until(kept, lambda found: len(found) >= 17)
            assert await kept() == {*map(str, range(5)), *map(str, range(100, 112))}

            told = await until(own, lambda told: told.remade_at and told.state == "ok")
            assert (told.lost_first, told.lost_last) == (6, 7)
            checkup = await asked("/v1/checkup", Checkup)
            (check,) = [check for check in checkup.checks if check.name == "sites"]
            assert check.state == "look"
            assert "2 messages were lost with it (6 to 7 of the one before)" in check.found
            assert check.next_step.endswith(f"./tieout census {SITE} FILE")

            proved = await asked("/v1/agreement", Agreement)
            assert proved.verdict == "agree"
            assert f"Sales of {SITE} may be missing" in proved.sentence
            shown = io.StringIO()
            agreement.render(proved, Console(file=shown, width=160))
            assert f"What was lost at {SITE}" in shown.getvalue()
            state, failure = status._ask(endpoints)
            assert state is not None, failure
            shown = io.StringIO()
            status.show(Console(file=shown, width=160), "", [], state, "")
            assert f"the stream that {SITE} sells into was deleted, made anew" in shown.getvalue()

            stack.kill_service("gateway")  # What was lost stands with the hub's copy.
            passing = (httpx.HTTPError,)
            again = await until(own, lambda told: told.state == "ok", passing=passing)
            assert (again.lost_first, again.lost_last) == (6, 7)
        await books.close()
        await keeper.close()
        await till.close()


async def test_while_a_stores_stream_is_gone_it_is_told_as_gone(tmp_path):
    """Its launcher cannot make it anew: here another stream has its subject."""
    stack = Stack(tmp_path / "stack", postgres_settings=UNSAFE_BUT_FAST)
    async with stack.running():
        keeper = await sites.connect(stack.sites[SITE], permissions.OPERATOR, stack.secrets.of(f"nats_{SITE}-operator"))
        async with stack.endpoints().async_client() as client:

            async def told() -> list[str]:
                answer = await client.get("/v1/checkup")
                checks = msgspec.json.decode(answer.content, type=Checkup).checks
                return [check.found for check in checks if check.name == "sites" and check.state == "wrong"]

            await keeper.jetstream().add_stream(name="OTHER", subjects=["other"])
            await keeper.jetstream().delete_stream(permissions.SITE_STREAM)
            await keeper.jetstream().update_stream(name="OTHER", subjects=[permissions.SITE_SUBJECT])
            (found,) = await until(told, passing=(httpx.HTTPError,))
            assert f"{SITE} has had no stream of its own since" in found
            proved = msgspec.json.decode((await client.get("/v1/agreement")).content, type=Agreement)
            assert [one.state for one in proved.sites] == ["missing"]
        await keeper.close()
