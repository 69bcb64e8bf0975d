"""inventory.put_warehouse -> inventory.articles_listed, so that the gateway knows the warehouse's name"""

from tieout.contracts.event import document_id
from tieout.contracts.inventory import PUT_WAREHOUSE, ArticlesListed, PutWarehouse, WarehouseView
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(PUT_WAREHOUSE)
async def put_warehouse(request: PutWarehouse, database: Database) -> WarehouseView:
    """Describe a warehouse. Its valuation method cannot change any more once goods have moved: past issues are never
    valued again, and two methods in one stock would leave a value that nobody can explain."""
    async with database.transaction() as tx:
        await tx.execute(statements.lock_warehouses, request.company)
        methods = {name: method for name, method in await tx.fetch(statements.methods, request.company)}
        before = methods.get(request.warehouse) or methods.get("MAIN") or "moving_average"
        if request.method != before and await tx.fetchval(statements.has_moved, request.company, request.warehouse):
            raise Refused(
                "method_in_use",
                f"Goods of {request.warehouse} are valued by {before}. Open a new warehouse for {request.method}.",
                field="method",
                status=409,
            )
        await tx.execute(
            statements.put_warehouse,
            request.company,
            request.warehouse,
            request.name,
            request.stock_policy,
            request.fulfilment,
            request.method,
        )
        if request.warehouse not in methods:
            (position,) = await tx.positions(1)
            listing = f"warehouse-{request.warehouse}"
            tx.announce(
                ArticlesListed(request.company, listing, (), (request.warehouse,)),
                position=position,
                key=(request.company, listing),
                chain=document_id("listing", request.company, "", listing),
                company=request.company,
            )
    return WarehouseView(
        request.company, request.warehouse, request.stock_policy, request.fulfilment, request.method, request.name
    )
