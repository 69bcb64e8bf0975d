"""Names of deliveries are forgotten after some time; their documents stay."""

import asyncio

import structlog
from tieout.servicekit import Database, sql
from tieout.servicekit.errors import Cause, cause_of

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

EVERY_SECONDS = 3600.0
SOME = 10_000


async def forget_deliveries(database: Database, days: int) -> None:
    """For as long as the service runs."""
    while True:
        try:
            await forget_deliveries_once(database, days)
        except Exception as error:
            if cause_of(error) is Cause.CODE:
                raise
            log.warning("forgetting waits", error=repr(error)[:300])
        await asyncio.sleep(EVERY_SECONDS)


async def forget_deliveries_once(database: Database, days: int) -> int:
    """Names that went."""
    gone = 0
    async with database.pool.acquire() as connection:
        while True:
            some = int((await connection.execute(statements.forget, days, SOME)).split()[-1])
            gone += some
            if some < SOME:
                return gone
