"""What the database refuses, whoever asks: the last line of defence is not in Python."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest
from tieout.contracts import finance
from tieout.servicekit import Refused

LINE = (
    "INSERT INTO voucher_line (position, amount_minor, functional_minor, line_no, side, account, role, currency)"
    " VALUES ($1, $2, $2, $3, $4, '1002', 'bank', 'CNY')"
)
VOUCHER = (
    "INSERT INTO voucher (position, cause_position, total_minor, chain_id, document_id, number, business_date,"
    " posting_date, line_count, company, word, period, template, prepared_by, currency, document_no, order_no,"
    " customer, cause) VALUES ($1, 0, 5, $2, $2, $3, $4::date, $4::date, 2, 'C1', '记',"
    " to_char($4::date, 'YYYY-MM'), 'T00', 'me', 'CNY', 'X', '', '', '')"
)
COUNTER = (
    "INSERT INTO voucher_counter VALUES ('C1', '记', $1, 1)"
    " ON CONFLICT (company, word, period) DO UPDATE SET last_number = voucher_counter.last_number + 1"
)


async def write(owner, position, debit, credit, number, day="2026-11-30", counter=True):
    from datetime import date

    async with owner.transaction():
        await owner.execute(LINE, position, debit, 1, b"D")
        await owner.execute(LINE, position, credit, 2, b"C")
        if counter:
            await owner.execute(COUNTER, day[:7])
        await owner.execute(VOUCHER, position, uuid4(), number, date.fromisoformat(day))


async def test_a_voucher_that_is_not_balanced_is_refused_for_everybody(desk, owner):
    with pytest.raises(asyncpg.RaiseError, match="debits differ from credits by 1"):
        await write(owner, 900, 5, 4, 1)
    await write(owner, 900, 5, 5, 1)
    assert len(await desk.vouchers()) == 1


async def test_a_posted_voucher_takes_no_further_line(desk, owner):
    await desk.give(desk.shipped())
    (position,) = (await desk.rows("SELECT position FROM voucher"))[0]
    with pytest.raises(asyncpg.RaiseError, match="takes no further line"):
        await owner.execute(LINE, position, 5, 9, b"D")


async def test_a_number_out_of_turn_is_refused(desk, owner):
    await desk.give(desk.shipped())
    with pytest.raises(asyncpg.RaiseError, match="numbers have gaps"):
        await write(owner, 900, 5, 5, 3)
    with pytest.raises(asyncpg.RaiseError, match="numbers have gaps"):
        await write(owner, 900, 5, 5, 2, counter=False)
    await write(owner, 900, 5, 5, 2)


async def test_a_closed_period_is_closed_on_every_path(desk, owner):
    await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period="2026-10")
    with pytest.raises(asyncpg.RaiseError, match="closed through 2026-10"):
        await write(owner, 900, 5, 5, 1, day="2026-10-31")
    await write(owner, 900, 5, 5, 1, day="2026-11-01")


async def test_facts_cannot_be_changed_by_the_service_itself(desk):
    await desk.give(desk.shipped())
    for table in ("voucher", "voucher_line", "receivable", "posted_line", "period_close", "settlement", "money_part"):
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await desk.rows(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await desk.rows("UPDATE voucher_line SET amount_minor = 1")


async def test_a_posting_and_a_close_never_overlap(desk):
    """Either the posting is first and the close waits, or it finds the period closed and goes into the next one."""
    shipments = [desk.message(desk.shipped(number=str(n))) for n in range(40)]
    flow = desk.flows["inventory.shipped.v1"]

    async def post():
        for message in shipments:
            await flow([message], desk.database)

    async def close():
        await asyncio.sleep(0.03)
        await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period="2026-11")

    await asyncio.gather(post(), close())
    assert await desk.violations() == []
    assert len(await desk.announced(finance.ReceivableOpened)) == 40


async def test_replicas_number_without_gaps_and_bill_once(desk):
    """Four replicas race for the same shipments, two of them see everything twice."""
    messages = [desk.message(desk.shipped(number=str(n))) for n in range(60)]
    flow = desk.flows["inventory.shipped.v1"]

    async def run(batch):
        for start in range(0, len(batch), 7):
            for _ in range(5):
                try:
                    await flow(batch[start : start + 7], desk.database)
                    break
                except (asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError):
                    continue

    await asyncio.gather(run(messages), run(messages[::-1]), run(messages[30:]), run(messages[:30]))
    numbers = await desk.rows("SELECT number FROM voucher ORDER BY number")
    assert numbers == [(n,) for n in range(1, 61)]
    assert await desk.violations() == []


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE open_item SET billed = billed + 1",
        "UPDATE open_item SET unapplied = unapplied + 1, received = received + 1",
        "UPDATE voucher_line SET amount_minor = amount_minor + 1 WHERE line_no = 1",
        "UPDATE voucher_counter SET last_number = 7",
        "UPDATE posted_line SET value_minor = value_minor + 1",
        "DELETE FROM voucher",
        "DELETE FROM receivable",
    ],
)
async def test_what_is_edited_by_hand_breaks_a_rule_by_name(desk, owner, edit):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(10, ("1001", 10)))
    assert await desk.violations() == []
    async with owner.transaction():
        for table in ("voucher", "voucher_line"):
            await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER refuse_edit")
        await owner.execute(edit)
    assert await desk.violations() != []


@pytest.mark.parametrize("table", ["voucher", "voucher_line"])
async def test_a_posted_voucher_is_edited_by_nobody(desk, owner, table):
    await desk.give(desk.placed(), desk.shipped())
    for edit in (f"UPDATE {table} SET position = position", f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with pytest.raises(asyncpg.RaiseError, match="never"):
            await owner.execute(edit)
    assert await desk.violations() == []


async def test_a_company_keeps_its_currency_and_takes_new_policies(desk):
    with pytest.raises(Refused, match="cannot change") as caught:
        await desk.open(currency="USD")
    assert caught.value.problem.field == "currency"
    for more, field in (
        ({"zone": "Mars/Base"}, "zone"),
        ({"roles": {"goods": "1002"}}, "roles"),
        ({"roles": {"bank": "9999"}}, "roles"),
    ):
        with pytest.raises(Refused) as caught:
            await desk.open(**more)
        assert caught.value.problem.field == field
    again = await desk.open()
    assert again.revision == 1
    changed = await desk.open(tax_point="invoice", roles={"line:goods": "6001.09"})
    assert changed.revision == 2
    await desk.give(desk.shipped())
    assert (await desk.balances())["2221.06"] == -39
    assert (await desk.balances())["6001.09"] == -300
    assert [one.revision for one in await desk.announced(finance.CompanyOpened)] == [1, 2]


async def test_of_a_company_only_what_is_named_changes_and_a_new_one_says_what_it_needs(desk):
    before = await desk.open()
    after = await desk.ask(finance.PUT_COMPANY, company="C1", tax_point="invoice")
    assert (after.name, after.currency, after.zone, after.tax_point) == (
        before.name,
        before.currency,
        before.zone,
        "invoice",
    )
    assert (await desk.ask(finance.PUT_COMPANY, company="C1", name="Renamed")).tax_point == "invoice"
    with pytest.raises(Refused, match="no company C77 yet, and a new one needs name, zone") as caught:
        await desk.ask(finance.PUT_COMPANY, company="C77", currency="CNY")
    assert caught.value.problem.field == "name"


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        ("UPDATE open_item SET order_net = order_net - 1", "open_item_has_the_amounts_of_its_lines"),
        ("UPDATE open_item SET lines[4] = lines[4] + 1", "open_item_has_the_amounts_of_its_lines"),
        ("UPDATE open_item SET stopped = 1", "stopped_is_what_its_lines_will_never_be_billed"),
        ("UPDATE company SET closed_through = '2026-12'", "company_is_closed_through_its_last_close"),
    ],
)
async def test_what_is_kept_beside_the_facts_is_proved_by_them(desk, owner, edit, rule):
    """A period that is opened by hand would take vouchers again, and nobody would know."""
    await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period="2026-10")
    await desk.give(desk.placed(), desk.shipped())
    assert await desk.violations() == []
    await owner.execute(edit)
    assert {name for name, *_ in await desk.violations()} == {rule}
