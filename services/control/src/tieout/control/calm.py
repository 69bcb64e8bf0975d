"""Looks that nobody asked for: often while something happens, seldom while nothing does."""

import asyncio
import time

from tieout.servicekit import Database

REST_SECONDS_MAX = 10.0  # A hand may edit, or a process die, while nothing is heard.


async def rest(database: Database, seconds: float, *, calm: bool, listen_seconds: float | None = None) -> None:
    """`seconds`; where the last look found all well, and until we hear of something, up to REST_SECONDS_MAX.

    `listen_seconds`: how soon what is heard after that ends the rest; otherwise `seconds` as well.
    """
    listen = seconds if listen_seconds is None else min(seconds, listen_seconds)
    heard = database.transactions  # Every notice that comes is one.
    end = time.monotonic() + REST_SECONDS_MAX
    await asyncio.sleep(seconds)
    while calm and database.transactions == heard and time.monotonic() + listen < end:  # noqa: ASYNC110 - a look
        await asyncio.sleep(listen)
