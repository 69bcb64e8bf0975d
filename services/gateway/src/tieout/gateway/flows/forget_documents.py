"""Raw documents are let go by whole weeks, once they are old enough and settled; the weeks to come are made ready.

What the documents led to (commands, refusals, decisions) stays: those are the books.
"""

import asyncio

import structlog
from tieout.servicekit import Database, sql
from tieout.servicekit.errors import Cause, cause_of

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

EVERY_SECONDS = 3600.0
WEEKS_AHEAD = 8


async def forget_documents(database: Database, days: int, bytes_max: int) -> None:
    """For as long as the service runs. `days` 0: nothing is let go by age."""
    while True:
        try:
            await forget_once(database, days, bytes_max)
        except Exception as error:
            if cause_of(error) is Cause.CODE:
                raise
            log.warning("forgetting waits", error=repr(error)[:300])
        await asyncio.sleep(EVERY_SECONDS)


async def forget_once(database: Database, days: int, bytes_max: int) -> list[str]:
    """Names of the weeks that were let go."""
    async with database.pool.acquire() as connection:
        await connection.execute(statements.prepare, WEEKS_AHEAD)
        rows = await connection.fetch(statements.forget, days, bytes_max)
    gone = [row["part"] for row in rows]
    if gone:
        log.info("raw documents let go", weeks=gone)
    return gone
