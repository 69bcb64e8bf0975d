"""Foreign money: rates that people put, and what documents make of them."""

from datetime import date

import pytest
from tieout.contracts.finance import SubmitPayment
from tieout.contracts.order import SubmitOrder


def rate(day, worth, **more):
    return {"currency": "USD", "quoted_in": "CNY", "date": day, "rate": worth, "source": "PBOC", **more}


async def put(house, *rates):
    return await house.client.put("/v1/exchange-rates", json={"rates": rates}, headers=house.admin)


async def test_an_order_in_foreign_money_takes_the_newest_rate_at_or_before_its_day(house):
    told = await put(
        house,
        rate("2026-10-25", "7.1"),
        rate("2026-10-30", "7.1034"),
        rate("2026-11-01", "7.2"),
        rate("2026-10-31", "0.9", currency="EUR"),
    )
    assert told.json() == {"rates": 4, "new": 4}
    bought = house.shopify_order(currency="USD")  # At 23:59:59 of 2026-10-31, where the company is.
    found = await house.document(await house.webhook("orders/create", bought))
    assert found["state"] == "mapped"
    paid = {"id": 9, "order_id": bought["id"], "kind": "sale", "status": "success", "amount": "118.52"}
    paid |= {"currency": "USD", "created_at": "2026-11-02T10:00:00+08:00", "gateway": "card"}
    assert (await house.document(await house.webhook("order_transactions/create", paid)))["state"] == "mapped"
    (order,) = await house.commands(SubmitOrder)
    assert (order.rate_micro, order.rate_date) == (7_103_400, date(2026, 10, 30))
    (payment,) = await house.commands(SubmitPayment)
    assert payment.rate_micro == 7_200_000


async def test_without_a_rate_it_waits_for_people_and_goes_on_once_they_put_one(house):
    await put(house, rate("2026-10-20", "7.0"), rate("2026-11-02", "7.3"))  # Too old; too young.
    found = await house.document(await house.webhook("orders/create", house.shopify_order(currency="USD")))
    assert found["state"] == "quarantined"
    (refusal,) = found["refusals"]
    assert (refusal["reason"], refusal["field"]) == ("missing_rate", "rate_micro")
    assert "PUT /v1/exchange-rates" in refusal["detail"]
    await put(house, rate("2026-10-31", "7.1034"))
    told = await house.post(f"/v1/quarantine/{found['intake_id']}/resubmit")
    assert told.status_code == 200
    assert (await house.settled(found["intake_id"]))["state"] == "mapped"
    (order,) = await house.commands(SubmitOrder)
    assert (order.rate_micro, order.rate_date) == (7_103_400, date(2026, 10, 31))


async def test_a_documents_own_rate_stands_and_so_does_its_fingerprint(house):
    await put(house, rate("2026-10-31", "7.1034"))
    at = {"occurred_at": "2026-10-31T10:00:00Z", "currency": "USD"}
    own = house.order(rate_micro=7_000_000, rate_date="2026-10-30", **at)
    assert (await house.document(await house.send(own)))["state"] == "mapped"
    put_here = house.order(**at)
    assert (await house.document(await house.send(put_here)))["state"] == "mapped"
    await put(house, rate("2026-10-31", "7.2"))
    assert (await house.document(await house.send(put_here)))["state"] == "mapped"
    stated, first, again = await house.commands(SubmitOrder)
    assert (stated.rate_micro, stated.rate_date) == (7_000_000, date(2026, 10, 30))
    assert (first.rate_micro, again.rate_micro) == (7_103_400, 7_200_000)
    assert first.fingerprint == again.fingerprint  # The same document, whatever money was worth when it came.


async def test_rates_are_checked_listed_and_signed(house):
    assert (await put(house, rate("2026-10-31", "7.1"))).json() == {"rates": 1, "new": 1}
    assert (await put(house, rate("2026-10-31", "7.10"))).json() == {"rates": 1, "new": 0}
    assert (await put(house, rate("2026-10-31", "7.2"), rate("2026-10-30", "7.0"))).json() == {"rates": 2, "new": 2}
    listed = await house.get("/v1/exchange-rates", currency="USD", until="2026-10-31")
    assert [(r["date"], r["rate_micro"], r["put_by"]) for r in listed["rates"]] == [
        ("2026-10-31", 7_200_000, "admin"),
        ("2026-10-30", 7_000_000, "admin"),
    ]
    assert (await house.get("/v1/exchange-rates", until="2026-10-30"))["rates"][0]["rate_micro"] == 7_000_000
    for wrong, field in (
        (rate("2026-10-31", "7.1234567"), "rates[0].rate"),
        (rate("2026-10-31", "0"), "rates[0].rate"),
        (rate("2026-10-31", 7.1), "rates[0].rate"),
        (rate("yesterday", "7.1"), "rates[0].date"),
        (rate("2026-10-31", "7.1", currency="ZZZ"), "rates[0].currency"),
        (rate("2026-10-31", "7.1", currency="CNY"), "rates[0].quoted_in"),
        (rate("2026-10-31", "7.1", source=""), "rates[0].source"),
    ):
        told = await put(house, wrong)
        assert (told.status_code, told.json()["field"]) == (422, field), told.text
    twice = await put(house, rate("2026-10-31", "7.1"), rate("2026-10-31", "7.2"))
    assert (twice.status_code, twice.json()["field"]) == (422, "rates[1].date")


@pytest.mark.parametrize("wrong", [{"rate_micro": 0}, {"rate_micro": -7_000_000}, {"rate_micro": 10**15}])
async def test_a_rate_that_is_none_is_quarantined(house, wrong):
    found = await house.document(await house.send(house.order(currency="USD", rate_date="2026-10-30", **wrong)))
    assert [(one["reason"], one["field"]) for one in found["refusals"]] == [("bad_rate", "rate_micro")]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"rate_micro": 7_000_000}, "rate_micro"), ({"due_days": 10**9}, "due_days"), ({"due_days": -5}, "due_days")],
)
async def test_terms_that_make_no_sense_are_quarantined(house, wrong, field):
    found = await house.document(await house.send(house.order(**wrong)))
    assert [one["field"] for one in found["refusals"]] == [field]
