"""What control has heard is kept for so many days. Nothing that a proof or a person needs is forgotten: disagreements,
watermarks, open tickets and what they rest on stay, and the services' own books are none of control's.
"""

import asyncio

import structlog
from tieout.control.settings import Settings
from tieout.servicekit import Database, sql
from tieout.servicekit.errors import Cause, cause_of

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

EVERY_SECONDS = 600.0
SOME = 1_000  # Notices in one transaction; each may bring some hundred rows of `heard` with it.
ITEMS = 10_000  # Of replays in one transaction; a replay has up to half a million of them.
BREATH_SECONDS = 0.2  # Between two of them: nobody waits for forgetting.


async def forget(database: Database, settings: Settings) -> None:
    """For as long as the service runs."""
    while True:
        try:
            found = await forget_once(database, settings)
            if any(found.values()):
                log.info("forgotten", **found)
        except Exception as error:
            if cause_of(error) is Cause.CODE:
                raise
            log.warning("forgetting waits", error=repr(error)[:300])
        await asyncio.sleep(EVERY_SECONDS)


async def forget_once(database: Database, settings: Settings) -> dict[str, int]:
    """Rows that went, by what they were. 0 days: nothing of it goes."""
    comes_again = settings.stream_max_age_days  # An event may; 0 there: for ever.
    ticketed_days = max(settings.tickets_days, comes_again + 1) if settings.tickets_days and comes_again else 0
    plan = {
        "latencies": (statements.forget_latencies, settings.counts_days, SOME),
        "tallies": (statements.forget_tallies, settings.counts_days, SOME),
        "notices": (statements.forget_notices, settings.journey_days, SOME),
        "memberships": (statements.forget_memberships, settings.journey_days, SOME),
        "letters": (statements.forget_letters, settings.letters_days, SOME),
        "tickets": (statements.forget_tickets, settings.tickets_days, SOME),
        "ticketed": (statements.forget_ticketed, ticketed_days, SOME),
        "claims": (statements.forget_claims, ticketed_days, SOME),
        "replays": (statements.forget_replays, settings.replays_days, ITEMS),
        "alarms": (statements.forget_alarms, settings.alarms_days, SOME),
    }
    found = dict.fromkeys(plan, 0)
    for name, (statement, days, most) in plan.items():
        if days <= 0:
            continue
        while True:
            async with database.pool.acquire() as connection, connection.transaction():
                gone = await connection.fetchval(statement, days, most)
            found[name] += gone
            if gone < most:
                break
            await asyncio.sleep(BREATH_SECONDS)
    return found
