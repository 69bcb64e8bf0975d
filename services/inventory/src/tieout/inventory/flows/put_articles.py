"""inventory.put_articles -> inventory.articles_listed"""

import msgspec
from msgspec import UNSET
from tieout.contracts.event import document_id
from tieout.contracts.inventory import PUT_ARTICLES, ArticlesListed, ArticlesPut, PutArticles
from tieout.inventory import companies
from tieout.servicekit import Database, operation, sql

statements = sql.load(__file__)

SKUS_PER_LISTING_MAX = 5_000  # 64 characters each stay well below a message's 1 MiB.


@operation(PUT_ARTICLES)
async def put_articles(request: PutArticles, database: Database) -> ArticlesPut:
    """Add or change articles. Only new SKUs are announced; the rest of an article is inventory's own affair."""
    articles = {article.sku: article for article in request.articles}
    rows = [
        tuple(None if value is UNSET else value for value in msgspec.structs.astuple(article))
        for article in articles.values()
    ]
    await companies.known(request.company, database)
    async with database.transaction() as tx:
        await tx.execute(statements.lock_articles, request.company)
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
