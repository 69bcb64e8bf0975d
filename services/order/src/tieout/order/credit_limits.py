"""How much of a customer's credit limit is used. Only customers who have one are looked at."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from tieout.contracts.order import SubmitOrder
from tieout.order import balances
from tieout.order.domain import Conflict, judge_credit_limit, worth
from tieout.servicekit import Received, Transaction, sql

statements = sql.load(__file__)

Key = tuple[str, str, str]  # Company, customer, currency.
COLUMNS = ("company", "customer", "currency", "order_position")


async def used(source: balances.Reads, keys: Collection[Key]) -> Counter[Key]:
    """What may still come in from each customer's open orders."""
    found: Counter[Key] = Counter()
    columns = [list(column) for column in zip(*keys, strict=True)] if keys else [[], [], []]
    owners = {row[3]: (row[0], row[1], row[2]) for row in await source.fetch(statements.open_orders, *columns)}
    for position, order in (await balances.load(source, list(owners))).items():
        found[owners[position]] += max(order.billable_minor - order.credited_minor - order.settled_minor, 0)
    return found


class Limits:
    """Of the customers of one batch; locked, so that two batches do not both give away what is left."""

    def __init__(self, limits: dict[Key, int], used: Counter[Key]) -> None:
        self._limits = limits
        self._used = used
        self._placed: list[tuple[Any, ...]] = []

    def judge(self, order: SubmitOrder) -> Conflict | None:
        key = order.company, order.customer, order.currency
        limit = self._limits.get(key)
        return None if limit is None else judge_credit_limit(order, self._used[key], limit)

    def take(self, order: SubmitOrder, position: int) -> None:
        """It is placed: the next one of the batch finds less left."""
        key = order.company, order.customer, order.currency
        if key in self._limits:
            self._used[key] += worth(order)
            self._placed.append((*key, position))

    async def save(self, tx: Transaction) -> None:
        if self._placed:
            await tx.copy("limited_order", columns=COLUMNS, records=self._placed)


async def lock(tx: Transaction, batch: Iterable[Received[SubmitOrder]]) -> Limits:
    keys = {(r.data.company, r.data.customer, r.data.currency) for r in batch}
    rows = await tx.fetch(statements.lock, *map(list, zip(*keys, strict=True)))
    limits = {(row[0], row[1], row[2]): row[3] for row in rows}
    return Limits(limits, await used(tx, limits))
