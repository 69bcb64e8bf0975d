"""In which minutes each satellite sent something: noted in memory as documents are kept, written now and then."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime

import structlog
from tieout.contracts.watch import RHYTHMS, Rhythms, RhythmsRequest, SatelliteRhythm
from tieout.gateway.domain.rhythm import DAYS, judge
from tieout.servicekit import Database, operation, sql
from tieout.servicekit.errors import Cause, cause_of

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

EVERY_SECONDS = 15.0
SILENT_SECONDS_MAX = 86_400.0  # A longer silence is compared by its last day.


class Rhythm:
    """What came since the last write; lost with the process, which costs at most a quarter of a minute of history."""

    def __init__(self) -> None:
        self._heard: set[tuple[str, int]] = set()

    def hear(self, satellites: Iterable[str]) -> None:
        minute = int(time.time()) // 60
        self._heard.update((satellite, minute) for satellite in satellites)

    async def run(self, database: Database) -> None:
        """For as long as the service runs."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.write(database)
            except Exception as error:
                if cause_of(error) is Cause.CODE:
                    raise
                log.warning("noting the rhythm waits", error=repr(error)[:300])

    async def write(self, database: Database) -> None:
        if not self._heard:
            return
        heard = sorted(self._heard)
        minutes = [datetime.fromtimestamp(minute * 60, UTC) for _, minute in heard]
        async with database.pool.acquire() as connection:
            await connection.execute(statements.note, [satellite for satellite, _ in heard], minutes)
            await connection.execute(statements.forget, DAYS + 2)
        self._heard.difference_update(heard)


@operation(RHYTHMS)
async def rhythms(request: RhythmsRequest, database: Database) -> Rhythms:
    async with database.read() as connection:
        rows = await connection.fetch(statements.rhythms, request.satellite, DAYS, SILENT_SECONDS_MAX)
    found = []
    for row in rows:
        silence = judge(row["silent"], row["history"], row["active"], row["earlier"])
        found.append(
            SatelliteRhythm(
                row["satellite"],
                row["last"].astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                round(row["silent"], 1),
                silence.expected,
                silence.alarming and not row["held"],
                row["held"],
            )
        )
    return Rhythms(tuple(found))
