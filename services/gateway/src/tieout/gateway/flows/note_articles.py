"""inventory.articles_listed -> known_sku: what orders may name."""

from tieout.contracts.inventory import ArticlesListed
from tieout.servicekit import Database, Received, batch_flow, sql

statements = sql.load(__file__)


@batch_flow("gateway-note-articles", ArticlesListed, size=50)
async def note_articles(batch: list[Received[ArticlesListed]], database: Database) -> None:
    listed = sorted({(received.data.company, sku) for received in batch for sku in received.data.skus})
    async with database.transaction() as tx:
        await tx.execute(statements.note, [company for company, _ in listed], [sku for _, sku in listed])
