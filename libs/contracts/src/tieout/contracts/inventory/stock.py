"""Warehouses, articles, and what lies there: questions and settings."""

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from tieout.contracts.event import Company, Period, Sku, Warehouse
from tieout.contracts.operation import Operation

StockPolicy = Literal[
    "refuse",  # An order that a line cannot be served of is refused as a whole.
    "back_order",  # What is there is promised, the rest waits; first come, first served.
    "allow_negative",  # Everything is promised; below zero goods leave at an estimate that their receipt corrects.
]

Fulfilment = Literal["auto", "confirmed"]  # Goods leave at once, or when the warehouse's own system confirms.

Method = Literal[
    "moving_average",
    "fifo",
    "period_average",  # 月末一次加权平均: moving average during the period, corrected to the period's at its end.
]


class WarehouseView(Struct, frozen=True):
    company: str
    warehouse: str
    stock_policy: StockPolicy
    fulfilment: Fulfilment
    method: Method
    name: str


class PutWarehouse(Struct, frozen=True):
    """A warehouse that was never described works like MAIN; an undescribed MAIN refuses, ships at once, and is valued
    by moving average. What is not named stays as it works now; the method can only change before goods have moved."""

    company: Company
    warehouse: Warehouse
    stock_policy: StockPolicy | UnsetType = UNSET
    fulfilment: Fulfilment | UnsetType = UNSET
    method: Method | UnsetType = UNSET
    name: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET


class ListWarehouses(Struct, frozen=True):
    company: str = ""


class Warehouses(Struct, frozen=True):
    warehouses: tuple[WarehouseView, ...]


class Article(Struct, frozen=True, omit_defaults=True):
    """`standard_cost_minor` for `standard_quantity_micro`: used only where goods come in without any known cost.

    What is not named stays as it is; of a new article it is the SKU, PCS, 0 and one piece.
    """

    sku: Sku
    name: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    uom: Annotated[str, Meta(min_length=1, max_length=20)] | UnsetType = UNSET
    standard_cost_minor: Annotated[int, Meta(ge=0, le=10**15)] | UnsetType = UNSET
    standard_quantity_micro: Annotated[int, Meta(ge=1, le=10**15)] | UnsetType = UNSET


class PutArticles(Struct, frozen=True):
    """Known SKUs are changed, new ones are added and announced. The last one wins where an SKU stands there twice."""

    company: Company
    articles: Annotated[tuple[Article, ...], Meta(min_length=1, max_length=10_000)]


class ArticlesPut(Struct, frozen=True):
    added: int
    changed: int


class ListStock(Struct, frozen=True):
    """By company, warehouse, SKU. `after` is the `next` of the page before."""

    company: str = ""
    warehouse: str = ""
    sku: str = ""
    back_ordered_only: bool = False
    after: Annotated[str, Meta(max_length=200)] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class StockView(Struct, frozen=True):
    company: str
    warehouse: str
    sku: str
    on_hand_micro: int
    reserved_micro: int
    back_ordered_micro: int
    free_micro: int  # On hand - reserved: what may still be promised.
    value_minor: int
    currency: str
    moves: int  # Valued moves so far.


class StockPage(Struct, frozen=True):
    stock: tuple[StockView, ...]
    next: str = ""  # "": this was the last page.


class ListMoves(Struct, frozen=True):
    """The stock ledger, oldest first. `after` is the `next` of the page before."""

    company: str = ""
    warehouse: str = ""
    sku: str = ""
    document_no: str = ""  # Of the order, credit note, receipt or count.
    after: Annotated[str, Meta(max_length=200)] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class MoveView(Struct, frozen=True):
    position: int
    line_no: int
    kind: Literal["issue", "return", "recall", "opening", "purchase", "count", "revaluation", "scrap"]
    company: str
    warehouse: str
    sku: str
    quantity_micro: int  # Signed.
    value_minor: int  # Signed.
    seq: int  # Counts the valued moves of this stock.
    document_no: str
    business_date: date
    period: Period
    recorded_at: datetime


class MovePage(Struct, frozen=True):
    moves: tuple[MoveView, ...]
    next: str = ""


PUT_WAREHOUSE = Operation(
    "inventory.put_warehouse",
    "PUT",
    "/v1/companies/{company}/warehouses/{warehouse}",
    PutWarehouse,
    WarehouseView,
    "Describe a warehouse: what it promises, how goods leave it, how they are valued",
    scope="admin",
)

WAREHOUSES = Operation(
    "inventory.warehouses", "GET", "/v1/warehouses", ListWarehouses, Warehouses, "The described warehouses"
)

PUT_ARTICLES = Operation(
    "inventory.put_articles",
    "PUT",
    "/v1/companies/{company}/articles",
    PutArticles,
    ArticlesPut,
    "Add or change articles, up to 10,000 at once; orders may name only these",
    scope="write",
)

STOCK = Operation(
    "inventory.stock", "GET", "/v1/stock", ListStock, StockPage, "Quantities, promises and value by warehouse and SKU"
)

MOVES = Operation("inventory.moves", "GET", "/v1/stock-moves", ListMoves, MovePage, "The stock ledger, oldest first")
