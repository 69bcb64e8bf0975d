"""inventory.articles_listed -> known_sku: what orders may name."""

from tieout.contracts.inventory import ArticlesListed
from tieout.servicekit import Database, Received, batch_flow, sql

statements = sql.load(__file__)


@batch_flow("gateway-note-articles", ArticlesListed, size=50)
async def note_articles(batch: list[Received[ArticlesListed]], database: Database) -> None:
    listed = sorted({(received.data.company, sku) for received in batch for sku in received.data.skus})
    async with database.transaction() as tx:
        rows = await tx.fetch(statements.note, [company for company, _ in listed], [sku for _, sku in listed])
        new = {(row["company"], row["sku"]) for row in rows}
        for received in batch if new else ():
            if any((received.data.company, sku) in new for sku in received.data.skus):
                tx.changed(received)
