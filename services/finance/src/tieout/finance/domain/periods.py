"""Which posting period a fact belongs to. Everything up to `closed_through` is closed, all after it is open."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple


class Posting(NamedTuple):
    period: str  # 2026-11
    day: date  # The posting date: the business date, or the first day of a later period.
    deferred_from: str  # The period it belonged to by its business date; "" where that one is open.


def period_of(day: date) -> str:
    return f"{day.year:04d}-{day.month:02d}"


def next_period(period: str) -> str:
    year, month = int(period[:4]), int(period[5:])
    return f"{year + month // 12:04d}-{month % 12 + 1:02d}"


def first_day(period: str) -> date:
    return date(int(period[:4]), int(period[5:]), 1)


def last_day(period: str) -> date:
    return first_day(next_period(period)) - timedelta(days=1)


def period_before(period: str) -> str:
    year, month = int(period[:4]), int(period[5:])
    return f"{year - 1:04d}-12" if month == 1 else f"{year:04d}-{month - 1:02d}"


def listed(closed_through: str, current: str, known: Iterable[str], closed_max: int) -> list[str]:
    """Which months of a calendar to show, the oldest first: the latest closed ones, and the open ones.

    Open are those that something is `known` of, the current one, and all that lie between the last closed one and it.
    """
    months = {*known, current} | ({closed_through} if closed_through else set())
    month = next_period(closed_through) if closed_through else current
    while month < current:
        months.add(month)
        month = next_period(month)
    closed = sorted(month for month in months if month <= closed_through)
    return closed[max(len(closed) - closed_max, 0) :] + sorted(month for month in months if month > closed_through)


def posting(business_date: date, closed_through: str, stamped: str = "") -> Posting:
    """The business date's period, or the one that inventory stamped, or the first open one: the latest of them."""
    own = period_of(business_date)
    period = max(own, stamped)
    if period <= closed_through:
        period = next_period(closed_through)
    if period == own:
        return Posting(own, business_date, "")
    return Posting(period, first_day(period), own)
