"""The made-up trading day: the same seed gives the same day, and what it says of itself is true."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from tieout.devstack.trading_day import Day, Expected, plan, stories_of_the_store, stories_of_the_web
from tieout.devstack.trading_day.catalogue import STORE, WEB

UNTIL = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)


def accepted_orders(day: Day, satellite: str) -> list[dict[str, Any]]:
    return [
        json.loads(fed.body)
        for fed in day.documents
        if fed.satellite == satellite
        and fed.expected[0].kind == "order"
        and fed.expected[0].outcome in ("accepted", "duplicate", "conflict")
    ]


@given(seed=some.integers(0, 10**6), orders=some.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_the_same_seed_gives_the_same_bytes(seed: int, orders: int) -> None:
    assert plan(seed, orders, UNTIL) == plan(seed, orders, UNTIL)


def test_another_seed_gives_another_day() -> None:
    assert plan(1, 50, UNTIL).documents != plan(2, 50, UNTIL).documents


def test_a_day_without_orders_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one order"):
        plan(1, 0, UNTIL)


def test_every_story_is_told_on_a_day_of_a_hundred_orders() -> None:
    told = plan(3, 100, UNTIL).stories()
    for story, _ in (*stories_of_the_web.STORIES, *stories_of_the_store.STORIES):
        assert told[story.__name__], story.__name__


def test_shopify_totals_tie_to_their_lines() -> None:
    for order in accepted_orders(plan(5, 200, UNTIL), WEB):
        net = sum(
            Decimal(line["price"]) * line["quantity"]
            - sum(Decimal(off["amount"]) for off in line["discount_allocations"])
            for line in order["line_items"]
        )
        carriage = sum(Decimal(line["price"]) for line in order["shipping_lines"])
        taxes = [line["tax_lines"][0] for line in (*order["line_items"], *order["shipping_lines"])]
        assert Decimal(order["subtotal_price"]) == net
        assert Decimal(order["total_tax"]) == sum(Decimal(tax["price"]) for tax in taxes)
        assert Decimal(order["total_price"]) == net + carriage + Decimal(order["total_tax"])


def test_nothing_lies_in_the_future_but_what_is_dirty_on_purpose() -> None:
    day = plan(5, 200, UNTIL)
    for order in accepted_orders(day, WEB):
        assert datetime.fromisoformat(order["created_at"]) <= UNTIL
    for order in accepted_orders(day, STORE):
        assert UNTIL - timedelta(hours=10) < datetime.fromisoformat(order["occurred_at"]) <= UNTIL


def test_each_delivery_has_an_id_of_its_own_and_a_duplicate_has_the_same_bytes() -> None:
    day = plan(5, 300, UNTIL)
    deliveries = [fed.delivery for fed in (*day.opening, *day.documents)]
    assert len(set(deliveries)) == len(deliveries)
    bodies: dict[bytes, set[str]] = defaultdict(set)
    for fed in day.documents:
        bodies[fed.body].add(fed.expected[0].outcome)
    assert all("accepted" in outcomes for outcomes in bodies.values() if "duplicate" in outcomes)


def test_of_two_orders_with_one_number_exactly_one_is_expected_to_be_accepted() -> None:
    day = plan(5, 400, UNTIL)
    accepted: dict[tuple[str, str], int] = defaultdict(int)
    for fed in day.documents:
        for expected in fed.expected:
            if expected.kind == "order":
                accepted[fed.satellite, fed.number] += expected.outcome == "accepted"
    conflicting = {
        (fed.satellite, fed.number) for fed in day.documents if fed.expected[0] == Expected("order", "conflict")
    }
    assert conflicting
    assert all(accepted[key] == 1 for key in conflicting)
