"""Each voucher has a paper behind it. One that the owner writes by hand is balanced and numbered, and has none."""

import pytest

RULE = "voucher_comes_from_what_caused_it"

# A balanced voucher of two lines that no control account sees, like the newest one of a template but for what is given.
FORGE = """
WITH old AS (SELECT * FROM voucher ORDER BY position DESC LIMIT 1),
next AS (UPDATE voucher_counter SET last_number = last_number + 1 RETURNING company, word, period, last_number)
INSERT INTO voucher (position, cause_position, total_minor, chain_id, document_id, number, business_date, posting_date,
    line_count, company, word, period, template, currency, document_no, order_no, customer, cause, prepared_by)
SELECT 990, {position}, 5, chain_id, {document}, last_number, business_date, posting_date, 2,
    old.company, old.word, old.period, {template}, currency, document_no, order_no, customer, {cause}, 'Mallory'
FROM old JOIN next USING (company, word, period)
"""
LINES = """
INSERT INTO voucher_line (position, amount_minor, functional_minor, line_no, side, account, role, currency)
VALUES (990, 5, 5, 1, 'D', '6602', 'cost', 'CNY'), (990, 5, 5, 2, 'C', '6001', 'revenue', 'CNY')
"""


async def forge(owner, template, cause="cause", position="cause_position", document="document_id"):
    async with owner.transaction():
        await owner.execute(LINES)
        forged = FORGE.format(template=f"'{template}'", cause=cause, position=position, document=document)
        await owner.execute(forged)


@pytest.mark.parametrize(
    ("template", "made_up"),
    [
        ("T01", {}),  # A second one of the same shipment.
        ("T01", {"document": "gen_random_uuid()"}),
        ("T11b", {"position": "cause_position + 1"}),
        ("T17", {}),  # Nothing was received.
        ("T09", {"cause": "'gateway'"}),
        ("T05", {"cause": "'order'"}),
        ("T11", {"cause": "'order'", "document": "chain_id"}),  # No money came.
        ("T01t", {"cause": "''", "position": "0"}),  # No invoice was issued.
        ("T15p", {"cause": "''", "position": "0", "document": "gen_random_uuid()"}),
        ("T99", {}),
    ],
)
async def test_a_voucher_without_a_paper_breaks_a_rule_by_name(desk, owner, template, made_up):
    await desk.give(desk.placed(), desk.shipped())
    assert await desk.violations() == []
    await forge(owner, template, **made_up)
    found = [row[1:4] for row in await desk.violations() if row[0] == RULE]
    assert found == [("记-2026-11-2", f"{template} for 1001", "no such paper")]


async def test_a_paper_has_one_voucher_of_each_template(desk, owner):
    await desk.give(desk.pay(339, ("1001", 339)), desk.placed(), desk.shipped())
    assert [template for template, _ in await desk.vouchers()] == ["T10", "T11", "T01", "T11b"]
    assert await desk.violations() == []
    await forge(owner, "T11b")
    assert [row[:4] for row in await desk.violations()] == [
        (RULE, "记-2026-11-4", "T11b for 1001", "2 vouchers of one paper")
    ]
