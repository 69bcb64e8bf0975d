"""The three books side by side, per company and to the minor unit: the same sums asked from three services.

Unlike the agreement, which compares event by event, these are the totals that an accountant would lay side by side.
"""

import httpx
from tieout.contracts.finance import (
    RECEIVABLES,
    TRIAL_BALANCE,
    ListReceivables,
    ReceivablePage,
    TrialBalance,
    TrialBalanceRequest,
)
from tieout.contracts.inventory import STOCK, ListStock, StockPage, StockView
from tieout.contracts.order import LIST_ORDERS, ListOrders, OrderPage
from tieout.devstack.calling import call
from tieout.devstack.demo_report import Side
from tieout.devstack.outcomes import Books
from tieout.devstack.outcomes import read as read_books
from tieout.devstack.trading_day.catalogue import COMPANIES, Company


async def read(client: httpx.AsyncClient) -> tuple[Side, ...]:
    books = await read_books(client)
    sides: list[Side] = []
    for company in COMPANIES:
        sides += await _of_company(client, company, books)
    return tuple(sides)


async def _of_company(client: httpx.AsyncClient, company: Company, books: Books) -> list[Side]:
    balance: TrialBalance = await call(client, TRIAL_BALANCE, TrialBalanceRequest(company=company.code))
    closing = {line.account: line.closing_minor for line in balance.lines}
    billed, settled = await _orders(client, company.code)
    credited = sum(
        row.amount_minor
        for row in books.order
        if row.company == company.code and row.kind == "credit" and row.outcome == "accepted"
    )
    return [
        _side(company, "billed to customers", order=billed, finance=_booked(books, company, "booked")),
        _side(company, "credited to customers", order=credited, finance=-_booked(books, company, "credited")),
        _side(company, "money applied to orders", order=settled, finance=await _settled(client, company.code)),
        _side(company, "value of the stock", stock=await _stock_value(client, company.code), finance=closing["1405"]),
    ]


def _side(
    company: Company, what: str, *, order: int | None = None, stock: int | None = None, finance: int | None = None
) -> Side:
    return Side(company.code, what, company.currency, order, stock, finance)


def _booked(books: Books, company: Company, outcome: str) -> int:
    return sum(
        row.net_minor + row.tax_minor
        for row in books.finance
        if row.company == company.code and row.outcome == outcome and not row.account
    )


async def _orders(client: httpx.AsyncClient, company: str) -> tuple[int, int]:
    billed = settled = after = 0
    while True:
        page: OrderPage = await call(client, LIST_ORDERS, ListOrders(company=company, after=after, limit=200))
        billed += sum(order.billed_minor for order in page.orders)
        settled += sum(order.settled_minor for order in page.orders)
        after = page.next
        if not after:
            return billed, settled


async def _settled(client: httpx.AsyncClient, company: str) -> int:
    settled, after = 0, ""
    while True:
        page: ReceivablePage = await call(client, RECEIVABLES, ListReceivables(company=company, after=after, limit=200))
        settled += sum(item.settled_minor for item in page.receivables)
        after = page.next
        if not after:
            return settled


async def _stock_value(client: httpx.AsyncClient, company: str) -> int:
    return sum(line.value_minor for line in await _stock(client, company))


async def promised(client: httpx.AsyncClient) -> tuple[int, int]:
    """What orders still wait for, in millionths: reserved for them, and back-ordered."""
    stock = [line for company in COMPANIES for line in await _stock(client, company.code)]
    return sum(line.reserved_micro for line in stock), sum(line.back_ordered_micro for line in stock)


async def _stock(client: httpx.AsyncClient, company: str) -> list[StockView]:
    found: list[StockView] = []
    after = ""
    while True:
        page: StockPage = await call(client, STOCK, ListStock(company=company, after=after, limit=200))
        found += page.stock
        after = page.next
        if not after:
            return found
