"""inventory.put_articles -> inventory.articles_listed"""

from tieout.contracts.event import document_id
from tieout.contracts.inventory import PUT_ARTICLES, ArticlesListed, ArticlesPut, PutArticles
from tieout.servicekit import Database, operation, sql

statements = sql.load(__file__)

SKUS_PER_LISTING_MAX = 5_000  # 64 characters each stay well below a message's 1 MiB.


@operation(PUT_ARTICLES)
async def put_articles(request: PutArticles, database: Database) -> ArticlesPut:
    """Add or change articles. Only new SKUs are announced; the rest of an article is inventory's own affair."""
    articles = {article.sku: article for article in request.articles}
    rows = [
        (a.sku, a.name or a.sku, a.uom, a.standard_cost_minor, a.standard_quantity_micro) for a in articles.values()
    ]
    async with database.transaction() as tx:
        put = await tx.fetch(statements.put_articles, request.company, *map(list, zip(*rows, strict=True)))
        added = sorted(row["sku"] for row in put if row["added"])
        chunks = [added[i : i + SKUS_PER_LISTING_MAX] for i in range(0, len(added), SKUS_PER_LISTING_MAX)]
        positions = await tx.positions(len(chunks))
        for position, skus in zip(positions, chunks, strict=True):
            listing = f"articles-{position}"
            tx.announce(
                ArticlesListed(request.company, listing, tuple(skus)),
                position=position,
                key=(request.company, listing),
                chain=document_id("listing", request.company, "", listing),
                company=request.company,
            )
    return ArticlesPut(len(added), len(put) - len(added))
