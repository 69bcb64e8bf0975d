"""inventory.put_warehouse -> inventory.articles_listed, so that the gateway knows the warehouse's name"""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET
from tieout.contracts.event import document_id
from tieout.contracts.inventory import PUT_WAREHOUSE, ArticlesListed, PutWarehouse, WarehouseView
from tieout.inventory import companies
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)

UNDESCRIBED = {"name": "", "stock_policy": "refuse", "fulfilment": "auto", "method": "moving_average"}


@operation(PUT_WAREHOUSE)
async def put_warehouse(request: PutWarehouse, database: Database) -> WarehouseView:
    """Describe a warehouse. Its valuation method cannot change any more once goods have moved: past issues are never
    valued again, and two methods in one stock would leave a value that nobody can explain."""
    await companies.known(request.company, database)
    async with database.transaction() as tx:
        await tx.execute(statements.lock_warehouses, request.company)
        rules = {row["warehouse"]: row for row in await tx.fetch(statements.rules, request.company)}
        put = put_rule(request, rules)
        before = (rules.get(request.warehouse) or rules.get("MAIN") or UNDESCRIBED)["method"]
        if put.method != before and await tx.fetchval(statements.has_moved, request.company, request.warehouse):
            raise Refused(
                "method_in_use",
                f"Goods of {request.warehouse} are valued by {before}. Open a new warehouse for {put.method}.",
                field="method",
                status=409,
            )
        await tx.execute(
            statements.put_warehouse,
            put.company,
            put.warehouse,
            put.name,
            put.stock_policy,
            put.fulfilment,
            put.method,
        )
        if request.warehouse not in rules:
            (position,) = await tx.positions(1)
            listing = f"warehouse-{request.warehouse}"
            tx.announce(
                ArticlesListed(request.company, listing, (), (request.warehouse,)),
                position=position,
                key=(request.company, listing),
                chain=document_id("listing", request.company, "", listing),
                company=request.company,
            )
    return put


def put_rule(request: PutWarehouse, rules: Mapping[str, Any]) -> WarehouseView:
    """Each field as it was named, else as it stands. A new warehouse begins as it worked undescribed: like MAIN."""
    like = rules.get("MAIN") or UNDESCRIBED
    known = rules.get(request.warehouse) or {**like, "name": ""}
    fields = ("stock_policy", "fulfilment", "method", "name")
    told = {field: getattr(request, field) for field in fields}
    return WarehouseView(
        request.company,
        request.warehouse,
        **{field: known[field] if value is UNSET else value for field, value in told.items()},
    )
