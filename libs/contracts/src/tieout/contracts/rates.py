"""Exchange rates, for documents that bring none. Kept by the gateway."""

from datetime import date, datetime
from typing import Annotated

from msgspec import Meta, Struct
from tieout.contracts.currency import Currency
from tieout.contracts.operation import Operation

Rate = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$")]  # An exact decimal: 7.1034.


class ExchangeRate(Struct, frozen=True):
    """What one unit of `currency` is worth in `quoted_in`, the company's own currency: 1 USD = 7.1034 CNY."""

    currency: Currency
    quoted_in: Currency
    date: date
    rate: Rate
    source: Annotated[str, Meta(min_length=1, max_length=100)]  # Who says so: PBOC, ECB, the bank's name.


class PutRates(Struct, frozen=True):
    """Documents of a currency that is not the company's take the newest rate at or before their business date.

    A rate of the same pair and date takes the place of the one before for documents that are mapped from now on. What
    was handed over keeps the rate that stands on it.
    """

    rates: Annotated[tuple[ExchangeRate, ...], Meta(min_length=1, max_length=1000)]


class RatesPut(Struct, frozen=True):
    rates: int
    new: int  # The others stood so already.


class ListRates(Struct, frozen=True):
    """Newest date first. `until`: only those at or before this date."""

    currency: str = ""
    quoted_in: str = ""
    until: date | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class RateView(Struct, frozen=True):
    currency: str
    quoted_in: str
    date: date
    rate_micro: int
    source: str
    put_at: datetime
    put_by: str


class RatePage(Struct, frozen=True):
    rates: tuple[RateView, ...]


PUT_RATES = Operation(
    "gateway.put_rates",
    "PUT",
    "/v1/exchange-rates",
    PutRates,
    RatesPut,
    "Exchange rates by pair and date, for documents that bring none",
    scope="write",
)
RATES = Operation(
    "gateway.rates", "GET", "/v1/exchange-rates", ListRates, RatePage, "Exchange rates that documents may take"
)

OPERATIONS = (PUT_RATES, RATES)
