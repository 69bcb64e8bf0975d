"""The two companies of the trading day: what they sell, where it lies, and on whose terms it leaves.

`EU` sells tea things in euros through a web shop; `CN` sells the same in yuan in a store that hangs on a leaf node.
Ample articles never run out, so what becomes of their orders is known beforehand; scarce ones are over-sold on purpose.
"""

from typing import Literal

from msgspec import Struct

MICRO = 1_000_000

WEB = "web-shop"  # Speaks Shopify's dialect over HTTP, signed with an HMAC.
STORE = "store-1"  # A leaf site with its own JetStream domain.
OFFICE = "back-office"  # Warehouse system and bank: canonical documents over HTTP.


class Company(Struct, frozen=True):
    code: str
    name: str
    currency: str
    zone: str
    tax_percent: int
    satellite: str  # Where its sales come from.


class Place(Struct, frozen=True):
    """A warehouse and its policies."""

    company: str
    code: str
    stock: Literal["refuse", "back_order", "allow_negative"]
    fulfilment: Literal["auto", "confirmed"]


class Article(Struct, frozen=True):
    sku: str
    name: str
    price_minor: int  # Net, per piece or kilogram, in either currency: these are tea things, not currencies.
    cost_minor: int
    uom: str = "PCS"


EU = Company("EU", "Tieout Tea GmbH", "EUR", "Europe/Berlin", 19, WEB)
CN = Company("CN", "对账茶业有限公司", "CNY", "Asia/Shanghai", 13, STORE)
COMPANIES = (EU, CN)

WEB_WAREHOUSE = "EU-AUTO"
WEB_CONFIRMED = "EU-HAND"
STORE_SHELF = "CN-SHELF"
STORE_DEPOT = "CN-DEPOT"
PLACES = (
    Place("EU", WEB_WAREHOUSE, "refuse", "auto"),
    Place("EU", WEB_CONFIRMED, "back_order", "confirmed"),
    Place("CN", STORE_SHELF, "allow_negative", "auto"),
    Place("CN", STORE_DEPOT, "back_order", "confirmed"),
)

AMPLE = tuple(
    Article(f"TEA-{number:03}", name, price, price * 2 // 5)
    for number, (name, price) in enumerate(
        (
            ("Cast iron pot", 4990),
            ("Gaiwan, white", 1850),
            ("Cup, celadon", 990),
            ("Tray, bamboo", 3475),
            ("Strainer", 645),
            ("Caddy, tin", 1299),
            ("Kettle, glass", 2795),
            ("Scoop", 399),
            ("Whisk, bamboo", 1560),
            ("Bowl, raku", 5200),
            ("Cloth, linen", 875),
            ("Pu'er cake 2011", 8999),
        ),
        1,
    )
)
LOOSE = Article("LOOSE-001", "Longjing, loose", 36800, 14700, "KG")  # Sold by weight.
SCARCE = tuple(Article(f"RARE-{number:02}", f"Yixing pot no. {number}", 12800, 5100) for number in range(1, 5))
NEGATIVE = tuple(Article(f"DAILY-{number:02}", f"Jasmine bag {number}", 1280, 500) for number in range(1, 3))
CARRIAGE = Article("CARRIAGE", "Carriage", 490, 0)
ARTICLES = (*AMPLE, LOOSE, *SCARCE, *NEGATIVE, CARRIAGE)
GOODS = tuple(article for article in ARTICLES if article is not CARRIAGE)

SCARCE_PIECES = 12  # On hand at opening, per SKU and warehouse.
NEGATIVE_PIECES = 5
