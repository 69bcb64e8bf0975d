"""What the warehouse system and the bank say on that day, beside what belongs to a single order."""

from collections.abc import Sequence

from tieout.devstack.trading_day import canonical
from tieout.devstack.trading_day.catalogue import (
    AMPLE,
    CN,
    COMPANIES,
    EU,
    MICRO,
    NEGATIVE,
    PLACES,
    SCARCE,
    STORE_DEPOT,
    STORE_SHELF,
    WEB_CONFIRMED,
)
from tieout.devstack.trading_day.plan import Teller
from tieout.devstack.trading_day.sales import Sale


def tell(teller: Teller, sales: Sequence[Sale]) -> None:
    for story in (rare_pots_arrive, daily_bags_arrive, a_count_finds_differences):
        teller.story = story.__name__
        story(teller)
    for several in (one_payment_for_several_orders, money_that_names_no_order):
        teller.story = several.__name__
        several(teller, sales)


def rare_pots_arrive(teller: Teller) -> None:
    """In the afternoon: serves those who were promised one."""
    for company, warehouse in ((EU, WEB_CONFIRMED), (CN, STORE_DEPOT)):
        at = teller.orders * 0.7
        pieces = 10 + teller.orders // 50
        lines = [(article, pieces * MICRO) for article in SCARCE]
        number = f"GR-RARE-{warehouse}"
        receipt = canonical.receipt(company, number, teller.clock(at), warehouse, "purchase", lines)
        teller.again(teller.office(at, receipt), at + 3)


def daily_bags_arrive(teller: Teller) -> None:
    at = teller.orders * 0.8
    lines = [(article, (50 + teller.orders // 10) * MICRO) for article in NEGATIVE]
    receipt = canonical.receipt(CN, "GR-DAILY", teller.clock(at), STORE_SHELF, "purchase", lines)
    teller.office(at, receipt)


def a_count_finds_differences(teller: Teller) -> None:
    by_code = {company.code: company for company in COMPANIES}
    for ordinal, place in enumerate(PLACES):
        at = teller.orders * (0.5 + ordinal / 10)
        for part, quantity in enumerate((-2, 1), 1):
            number = f"COUNT-{place.code}-{part}"
            article = AMPLE[ordinal + part]
            company = by_code[place.company]
            body = canonical.adjustment(company, number, teller.clock(at), place.code, article, quantity * MICRO)
            teller.office(at, body)


def one_payment_for_several_orders(teller: Teller, sales: Sequence[Sale]) -> None:
    """A bank transfer names three orders of one company; whatever is above what they owe stays unapplied."""
    for company in COMPANIES:
        own = [sale for sale in sales if sale.company is company]
        for ordinal in range(min(len(own) // 60 + 1, 10)):
            named = teller.random.sample(own, min(3, len(own)))
            if not named:
                continue
            at = teller.orders * (0.85 + ordinal / 100)
            body = canonical.payment(
                company,
                f"BANK-{company.code}-{ordinal + 1}",
                teller.clock(at),
                named[0].customer,
                sum(sale.gross_minor for sale in named),
                [(sale, None) for sale in named],
                fee_minor=30,
            )
            teller.office(at, body)


def money_that_names_no_order(teller: Teller, sales: Sequence[Sale]) -> None:
    for company in COMPANIES:
        at = teller.orders * 0.9
        number = f"BANK-{company.code}-X"
        teller.office(at, canonical.payment(company, number, teller.clock(at), 9999, 12_345, []))
