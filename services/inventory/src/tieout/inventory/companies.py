"""Whether finance has opened a company, as far as inventory has heard."""

import asyncio
import time

from tieout.servicekit import Database, Refused

HEARD_SECONDS_MAX = 2.0


async def known(company: str, database: Database) -> None:
    """Refused where nobody opened it. One that was opened a moment ago is heard of within a second, so this waits for
    it: who describes a house in one go needs no second attempt."""
    deadline = time.monotonic() + HEARD_SECONDS_MAX
    while True:
        async with database.read() as connection:
            if await connection.fetchval("SELECT true FROM company WHERE company = $1 AND revision > 0", company):
                return
        if time.monotonic() > deadline:
            detail = f"No company {company} keeps its books here. Open it first: PUT /v1/companies/{company}."
            raise Refused("unknown_company", detail, field="company", status=422)
        await asyncio.sleep(0.05)
