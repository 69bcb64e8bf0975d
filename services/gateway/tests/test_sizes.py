"""What nobody could announce as a whole is refused when it comes, and not where its announcement would be made."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from msgspec import structs
from tieout.contracts.order import CreditLine, SubmitCredit
from tieout.gateway.domain.faults import Fault
from tieout.gateway.domain.sizes import check

ONE = 1_000_000


def lines(count, **more):
    numbers = range(1, count + 1)
    made = {"sku": "A", "quantity_micro": ONE, "net_minor": 100, "tax_minor": 13, **more}
    return [{"line_no": n, **made, **({"order_line_no": n} if "restock" in more else {})} for n in numbers]


async def refused(house, *documents):
    """Reason and field of what was refused, lines of what was taken. Never a document itself."""
    for document in documents:
        await house.send(document)
    await house.quiet()
    rows = await house.pool.fetch("SELECT reason, field FROM refusal ORDER BY id")
    return [tuple(row) for row in rows], [len(command.lines) for command in await house.commands()]


async def test_a_credit_note_too_long_for_its_announcement_is_refused_with_field_and_limit(house):
    credits = [
        house.order(kind="credit", order_number="1001", number=f"K{n}", lines=lines(n, restock="yes"))
        for n in (6_500, 5_000)
    ]
    assert await refused(house, *credits) == ([("too_large", "lines")], [5_000])


async def test_an_order_too_long_for_its_shipment_is_refused_with_field_and_limit(house):
    orders = [house.order(lines=lines(n)) for n in (8_000, 5_500)]
    assert await refused(house, *orders) == ([("too_large", "lines")], [5_500])


def test_the_refusal_says_how_many_lines_are_possible():
    numbers = range(1, 10_001)
    credit = SubmitCredit(
        intake_id=UUID(int=1),
        company="C1",
        source="shop",
        number="K1",
        version="1",
        fingerprint="",
        customer="17",
        currency="CNY",
        zone="UTC",
        business_date=date(2026, 11, 23),
        occurred_at=datetime(2026, 11, 23, tzinfo=UTC),
        lines=tuple(CreditLine(n, "A", ONE, 100, 13, order_line_no=n, restock="yes") for n in numbers),
        order_number="1001",
    )
    with pytest.raises(Fault, match=r"10000 lines need \d+ bytes .* about 5\d\d\d such lines\. Send the credit note"):
        check(credit)
    check(structs.replace(credit, lines=credit.lines[:5_000]))
