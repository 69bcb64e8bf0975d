"""Receivables that close without money: cash discounts (T14b), write-offs (T15), recoveries of these."""

from datetime import date
from uuid import UUID

from msgspec import Struct, structs
from tieout.contracts.currency import spelled
from tieout.finance import claims, ledger, money, open_items
from tieout.finance.domain.open_item import OpenItem
from tieout.finance.domain.paper import draft_of
from tieout.finance.domain.voucher import Company, Draft, balance, move_money, move_tax
from tieout.servicekit import Refused, Transaction, sql

statements = sql.load(__file__)

TEMPLATES = {"discount": "T14b", "write_off": "T15", "recovery": "T15r"}
ROLES = {"discount": "cash_discount", "write_off": "allowance", "recovery": "allowance"}


class Paper(Struct, frozen=True):
    document_id: UUID
    number: str
    kind: str  # discount, write_off, recovery
    amount: int
    business_date: date
    prepared_by: str
    reviewed_by: str = ""


async def forgive(tx: Transaction, company: Company, item: OpenItem, paper: Paper) -> str:
    """Post it and tell the order; the voucher's number comes back. The item is locked."""
    if paper.kind == "recovery":
        left, what = item.forgiven, "is written off"
    else:
        left, what = item.owed, "is open"
    if paper.amount > left:
        open_now, asked = spelled(max(left, 0), item.currency), spelled(paper.amount, item.currency)
        detail = f"Of order {item.order_no} {open_now} {what}, not {asked}."
        raise Refused("too_much", detail, field="amount_minor", status=409)
    amount = -paper.amount if paper.kind == "recovery" else paper.amount
    document = paper.document_id, paper.number
    draft = draft_of(company, TEMPLATES[paper.kind], item, document, paper.business_date, paper.prepared_by)
    draft.reviewed_by = paper.reviewed_by
    taxed = structs.replace(draft, template=money.TAX_POINT, lines=[])
    settlement = money.Settlement(
        paper.document_id,
        paper.number,
        item.company,
        item.currency,
        "write_off",
        draft.posting_date,
        None,
        [],
    )
    told, claimed = item.told, item.claim
    close(draft, taxed, item, paper.kind, amount)
    settlement.add(item, told)

    drafts = [one for one in (draft, taxed) if one.lines]
    *places, settlement.position = await tx.positions(len(drafts) + 1)
    for one, position in zip(drafts, places, strict=True):
        one.place(position)
    await open_items.save(tx, [item])
    await open_items.save_seldom(tx, [item])  # A recovery may leave nothing forgiven.
    await ledger.post(tx, drafts)
    await note(tx, draft, item, paper.kind, amount)
    ledger.announce_vouchers(tx, [(one, None) for one in drafts])
    if settlement.items:
        await money.write_settlements(tx, [settlement])
    if claimed:
        await claims.tell(tx, [claims.Ended(item, paper.document_id, paper.number, None)])
    if paper.kind == "recovery":
        await claims.tell_reopened(tx, item, paper.document_id, paper.number)
    return draft.voucher_no


def close(draft: Draft, taxed: Draft, item: OpenItem, kind: str, amount: int) -> None:
    """Lines of `draft` that close so much of the receivable without money; `taxed` takes the tax that is due by it."""
    before = money.Before.of(item, draft.company.currency)
    item.forgiven += amount
    item.settle()
    move_money(draft, item, before.held, before.functional)
    move_tax(taxed, item, before.tax_due)
    balance(draft, ROLES[kind], amount, item.currency)


async def note(tx: Transaction, draft: Draft, item: OpenItem, kind: str, amount: int) -> None:
    """The fact behind `forgiven`; the draft is posted."""
    head = draft.document_id, kind, item.item_id, amount, draft.voucher_no, draft.business_date
    await tx.execute(statements.note, *head, item.company, draft.document_no, item.currency)
