"""PUT /v1/companies/{company}/customers/{customer}/credit-limits/{currency}, and who has a limit

A limit holds for orders that are placed from now on; those that are open count against it. It is checked where an order
is placed, under the lock of its customer's limit, and changes no book.
"""

import asyncio
import time

from tieout.contracts.credit_limit import (
    CREDIT_LIMITS,
    PUT_CREDIT_LIMIT,
    CreditLimits,
    CreditLimitView,
    ListCreditLimits,
    PutCreditLimit,
)
from tieout.order import credit_limits
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)

OLDER_SECONDS_MAX = 10.0


@operation(PUT_CREDIT_LIMIT)
async def put_credit_limit(request: PutCreditLimit, database: Database) -> CreditLimitView:
    key = request.company, request.customer, request.currency
    async with database.transaction() as tx:
        if request.limit_minor is None:
            await tx.execute(statements.drop, *key)
        else:
            await tx.execute(statements.put, *key, request.limit_minor)
    if request.limit_minor is None:
        return CreditLimitView(*key, None, 0)
    # Orders that are being placed at this moment may not know of the limit: they are waited for, and then counted.
    await _wait_for_older_ones(database)
    async with database.transaction() as tx:
        await tx.execute(statements.count_open_orders, *key)
    async with database.read() as connection:
        return CreditLimitView(*key, request.limit_minor, (await credit_limits.used(connection, [key]))[key])


@operation(CREDIT_LIMITS)
async def list_credit_limits(request: ListCreditLimits, database: Database) -> CreditLimits:
    async with database.read() as connection:
        asked = request.company, request.customer, request.after, request.limit
        rows = await connection.fetch(statements.limits, *asked)
        used = await credit_limits.used(connection, [(row[0], row[1], row[2]) for row in rows])
    views = [
        CreditLimitView(company, customer, currency, limit_minor, used[company, customer, currency])
        for company, customer, currency, limit_minor in rows
    ]
    last = views[-1] if len(views) == request.limit else None
    return CreditLimits(tuple(views), last.currency + last.customer if last else "")


async def _wait_for_older_ones(database: Database) -> None:
    deadline = time.monotonic() + OLDER_SECONDS_MAX
    async with database.read() as connection:
        newest = await connection.fetchval(statements.newest)
    while True:
        async with database.read() as connection:
            if await connection.fetchval(statements.older_ones_are_done, newest):
                return
        if time.monotonic() > deadline:
            detail = "The limit holds, but a long transaction keeps open orders from being counted. Put it again later."
            raise Refused("busy", detail, status=503)
        await asyncio.sleep(0.02)
