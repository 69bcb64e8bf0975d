"""The end of a month where stock is valued by period average: its issues get the average, the difference is announced.

Whoever asks, and how often: each move enters one valuation, so a second request, a redelivered close or a period that
was closed again after it had been reopened announces only what is new. Moves are never edited.
"""

from calendar import monthrange
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, cast
from uuid import UUID

from tieout.contracts.event import document_id, event_id
from tieout.contracts.inventory import MovedLine, StockRevalued
from tieout.inventory.journal import LINES_PER_SHIPMENT_MAX, Moved, columns
from tieout.inventory.period_average import COGS, Month, settle
from tieout.inventory.stockroom import Stockroom
from tieout.inventory.valuation import Stock
from tieout.servicekit import Received, sql

statements = sql.load(__file__)

VALUATION = columns(
    "stock_id period ordinal opening_micro opening_minor came_micro came_minor accounts gone_micro gone_minor "
    "first_seq upto_seq next_seq"
)


class Change(NamedTuple):
    """One line to announce: so much more or less value, on account of what left."""

    stock: Stock
    account: str
    value: int
    seq: int
    ordinal: int  # Of the valuation that it is due to.


class Books(NamedTuple):
    """Changes that one event may tell together."""

    company: str
    warehouse: str
    valued: str  # The period whose average it is.
    belongs_to: str  # The period whose goods bear it: the same one, or the next.


Changes = defaultdict[Books, list[Change]]


class Valued(NamedTuple):
    stocks: int
    changes: Changes


async def value_months(room: Stockroom, upto: Mapping[str, str], causes: Mapping[str, Received[Any]]) -> Valued:
    """Value all periods up to `upto` (by company) that had moves since. The room has entered the companies and is left
    by the caller. Answers what was announced, and locks all of the stock concerned."""
    await room.lock_averaged(upto)
    stock_ids = list(room.stocks)
    changes: Changes = defaultdict(list)
    last = {row["stock_id"]: row for row in await room.tx.fetch(statements.last_valuations, stock_ids)}
    moved: defaultdict[int, list[Any]] = defaultdict(list)
    for row in await room.tx.fetch(statements.moved_since, stock_ids):
        moved[row["stock_id"]].append(row)
    valuations = []
    for stock_id, rows in moved.items():
        stock = room.stocks[stock_id]
        valuations += _value(stock, upto[stock.company], last.get(stock_id), rows, changes)
    await room.tx.copy("valuation", columns=VALUATION, records=valuations)
    for books, some in changes.items():
        for start in range(0, len(some), LINES_PER_SHIPMENT_MAX):
            _announce(room, books, some[start : start + LINES_PER_SHIPMENT_MAX], causes.get(books.company))
    return Valued(len({row[0] for row in valuations}), changes)


def _value(stock: Stock, upto: str, last: Any, rows: Sequence[Any], changes: Changes) -> list[tuple[Any, ...]]:
    """All months of one stock that are due, oldest first; answers the rows to keep of them."""
    due: dict[str, list[Any]] = {}
    later: list[int] = []
    for row in rows:
        if row["period"] <= upto:
            due.setdefault(row["period"], []).append(row)
        else:
            later.append(row["first_seq"])
    if not due:
        return []
    month = _as_valued(last) if last is not None else Month("")
    valuations = []
    for period, flows in due.items():
        if period != month.period:
            month = Month(period, month.closing, month.closing_value)
        for row in flows:
            if row["account"]:
                month.left(row["account"], -row["quantity"], -row["value"])
            else:
                month.arrived(row["quantity"], row["value"])
        first_seq = stock.seq + 1
        for account, more in month.value().items():
            stock.value -= more
            _note(changes, stock, month, period, account, -more)
        accounts = sorted(month.gone)
        valuations.append(
            (
                stock.stock_id,
                period,
                month.ordinal,
                month.opening,
                month.opening_value,
                month.came,
                month.came_value,
                accounts,
                [month.gone[account][0] for account in accounts],
                [month.gone[account][1] for account in accounts],
                first_seq,
                stock.seq,
                min([*later, stock.seq + 1]),
            )
        )
    if rest := settle(stock):
        _note(changes, stock, month, following(month.period), COGS, rest)
    return valuations


def _as_valued(row: Any) -> Month:
    month = Month(row["period"], row["opening_micro"], row["opening_minor"])
    month.ordinal = row["ordinal"]
    month.arrived(row["came_micro"], row["came_minor"])
    for account, quantity, value in zip(row["accounts"], row["gone_micro"], row["gone_minor"], strict=True):
        month.left(account, quantity, value)
    return month


def _note(changes: Changes, stock: Stock, month: Month, belongs_to: str, account: str, value: int) -> None:
    stock.seq += 1
    stock.touched = True
    books = Books(stock.company, stock.warehouse, month.period, belongs_to)
    changes[books].append(Change(stock, account, value, stock.seq, month.ordinal))


def _announce(room: Stockroom, books: Books, changes: Sequence[Change], cause: Received[Any] | None) -> None:
    company, warehouse, valued, belongs_to = books
    house, day = room.houses[company], last_day(belongs_to) if belongs_to == valued else first_day(belongs_to)
    first = changes[0]
    key = valued, belongs_to, first.stock.stock_id, first.ordinal, first.account  # Each stands in one event only.
    revaluation_id = UUID(event_id("valuation", company, warehouse, *key))
    lines = tuple(
        MovedLine(n, change.stock.sku, 0, change.value, cast(Any, change.account))
        for n, change in enumerate(changes, 1)
    )
    event = StockRevalued(
        revaluation_id, company, warehouse, valued, house.currency, day, house.period(day), lines, "period_average"
    )
    moved = [Moved(n, change.stock, 0, change.value, change.seq) for n, change in enumerate(changes, 1)]
    document = document_id("period", company, "", valued), valued, day  # The journey of the period's close.
    room.journal.moved("revaluation", event, company, document, moved, cause, key=revaluation_id)


def following(period: str) -> str:
    year, month = int(period[:4]), int(period[5:])
    return f"{year + month // 12:04d}-{month % 12 + 1:02d}"


def first_day(period: str) -> date:
    return date(int(period[:4]), int(period[5:]), 1)


def last_day(period: str) -> date:
    year, month = int(period[:4]), int(period[5:])
    return date(year, month, monthrange(year, month)[1])
