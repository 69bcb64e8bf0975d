"""inventory.articles_listed -> known_sku, known_warehouse: what documents may name."""

from tieout.contracts.inventory import ArticlesListed
from tieout.servicekit import Database, Received, batch_flow, sql

statements = sql.load(__file__)


@batch_flow("gateway-note-articles", ArticlesListed, size=50)
async def note_articles(batch: list[Received[ArticlesListed]], database: Database) -> None:
    listed = sorted({(received.data.company, sku) for received in batch for sku in received.data.skus})
    places = sorted({(received.data.company, name) for received in batch for name in received.data.warehouses})
    async with database.transaction() as tx:
        rows = await tx.fetch(statements.note, *_columns(listed)) if listed else ()
        new = {(row["company"], row["sku"]) for row in rows}
        rows = await tx.fetch(statements.note_warehouses, *_columns(places)) if places else ()
        described = {(row["company"], row["warehouse"]) for row in rows}
        for received in batch if new or described else ():
            told = received.data
            if any((told.company, sku) in new for sku in told.skus) or any(
                (told.company, name) in described for name in told.warehouses
            ):
                tx.changed(received)


def _columns(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [company for company, _ in pairs], [name for _, name in pairs]
