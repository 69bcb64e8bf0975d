"""Open items in the database: locked, sorted, before anything about them is read; saved once per batch."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from tieout.contracts.event import order_id
from tieout.finance.domain.open_item import OpenItem
from tieout.servicekit import Refused, Transaction, sql

statements = sql.load(__file__)

Key = tuple[UUID, str]  # Item and currency.
Items = dict[Key, OpenItem]


async def lock(tx: Transaction, wanted: Mapping[Key, OpenItem]) -> Items:
    """All wanted items, locked. Those that nobody has named before are inserted as `wanted` describes them."""
    await make(tx, wanted)
    return await find(tx, list(wanted))


async def make(tx: Transaction, wanted: Mapping[Key, OpenItem]) -> None:
    """Insert those that nobody has named before, and lock no other yet: two flows of which each held an old item and
    waited for the new one of the other would stand for a second, until the database ended one of them."""
    rows = await tx.fetch(statements.known_items, [key[0] for key in wanted], [key[1] for key in wanted])
    known = {(row[0], row[1]) for row in rows}
    new = [item for key, item in wanted.items() if key not in known]
    if new:
        await tx.execute(
            statements.insert_items,
            [item.item_id for item in new],
            [item.currency for item in new],
            [item.company for item in new],
            [item.customer for item in new],
            [item.source for item in new],
            [item.order_no for item in new],
            [item.of_order for item in new],
            [item.rate_micro for item in new],
        )


async def find(tx: Transaction, keys: list[Key]) -> Items:
    """Those of the items that are there, locked."""
    rows = await tx.fetch(statements.lock_items, [key[0] for key in keys], [key[1] for key in keys])
    return {(row[0], row[1]): OpenItem(*row) for row in rows}


async def save(tx: Transaction, items: Iterable[OpenItem]) -> None:
    """Everything that a document may have changed."""
    changed = list(items)
    if not changed:
        return
    await tx.execute(
        statements.save_items,
        [item.item_id for item in changed],
        [item.currency for item in changed],
        [item.awaited for item in changed],
        [item.order_net for item in changed],
        [item.order_tax for item in changed],
        [item.rate_micro for item in changed],
        [item.billed for item in changed],
        [item.credited for item in changed],
        [item.received for item in changed],
        [item.refunded for item in changed],
        [item.stopped for item in changed],
        [item.settled for item in changed],
        [item.deposit_net for item in changed],
        [item.deposit_tax for item in changed],
        [item.refundable for item in changed],
        [item.unapplied for item in changed],
        [item.order_no for item in changed],
        [item.money_date for item in changed],
    )
    await save_seldom(tx, [item for item in changed if item.tax_point is not None or item.forgiven])


async def save_seldom(tx: Transaction, items: list[OpenItem]) -> None:
    """What only items with a later tax point, a discount or a write-off have."""
    if items:
        await tx.execute(
            statements.save_seldom,
            [item.item_id for item in items],
            [item.currency for item in items],
            [item.forgiven for item in items],
            [item.tax_point for item in items],
            [item.tax_billed for item in items],
            [item.tax_invoiced for item in items],
            [item.tax_due for item in items],
        )


async def save_billed(tx: Transaction, items: Iterable[OpenItem]) -> None:
    """The common case: a shipment of an order that nobody has paid yet."""
    changed = list(items)
    if changed:
        await tx.execute(
            statements.save_billed,
            [item.item_id for item in changed],
            [item.currency for item in changed],
            [item.billed for item in changed],
        )


async def find_order(tx: Transaction, company: str, source: str, order_no: str, currency: str) -> OpenItem:
    """The item of one order, locked, for an operation that names it."""
    item_id = order_id(company, source, order_no)
    found = await find(tx, [(item_id, currency)])
    if not found:
        detail = f"There is no order {order_no} of source {source} in {currency} in the books of {company}."
        raise Refused("not_found", detail, field="order_no", status=404)
    return found[item_id, currency]
