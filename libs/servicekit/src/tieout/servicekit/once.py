"""Commands that do one thing and end: what a schedule runs beside the service.

Both are done by every running service as well, in its own rhythm. A schedule makes them due at an hour that somebody
chose, also where no process has run for long, and leaves a job behind that says how it ended.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from tieout.contracts.agreement import Violations
from tieout.servicekit.app import Service
from tieout.servicekit.errors import Cause, ServersAway, cause_of
from tieout.servicekit.retention import Retention

log = structlog.get_logger(__name__)


async def retain(service: Service) -> dict[str, int]:
    """Forget what outbox, stream and the service's own tables may forget. Rows that went, by what they were."""
    async with _servers(service, "database", "broker"):
        database, settings = service.database, service.settings
        js = service.jetstream
        found = {"outbox": await Retention(js, database.outbox, database.pool, settings).run()}
        for forget in service.forgets:
            found |= await forget(database)
    log.info("retained", **found)
    return found


async def scrub(service: Service) -> Violations:
    """The whole look for what breaks a rule: the service's own rules, digests, what hands have touched."""
    async with _servers(service, "database"):
        await service.evidence.start()
        found = await service.findings.scrub(service.database)
    if found.violations:
        named = sorted({violation.rule for violation in found.violations})
        log.error("scrub found something", findings=len(found.violations), rules=named, runbook="BooksDiffer")
    elif not found.unchecked:
        log.info("scrub found nothing", rules=len(found.rules))
    if found.unchecked:
        log.error("scrub not complete", rules=[one.rule for one in found.unchecked], runbook="BooksDiffer")
    return found


@asynccontextmanager
async def _servers(service: Service, *wanted: str) -> AsyncIterator[None]:
    """Those that are wanted, for as long as the work takes. Raises ServersAway where they are silent before or then."""
    waited = ""
    try:
        for waited in wanted:
            async with asyncio.timeout(service.settings.servers_seconds_max):
                await (service.open_database() if waited == "database" else service.servers.open_broker())
        waited = ""
        yield
    except Exception as error:
        if cause_of(error) is not Cause.PASSING:
            raise
        silent = waited or "database or broker"
        raise ServersAway(f"{silent} did not answer: {str(error) or repr(error)}") from error
    finally:
        await service.servers.close_broker()
        if hasattr(service, "database"):
            await asyncio.to_thread(service.tracing.close)
        await service.servers.close_database()
