"""POST /v1/requests/{request_id}/decide -> period_reopened, or voucher_posted (T15, T15r, T15p, T19t, T19b) and settled

A verdict by another person than the one who asked; the last approval needed and what it allows are one transaction. Who
prepared a voucher has never reviewed it: the database checks that too.
"""

from typing import Any
from uuid import UUID

from msgspec import structs
from tieout.contracts.event import document_id
from tieout.contracts.finance import DECIDE_REQUEST, DecideRequest, PeriodReopened, RequestView
from tieout.finance import approvals, ledger, open_items
from tieout.finance.domain.periods import period_before, posting
from tieout.finance.domain.voucher import Draft
from tieout.finance.forgiving import Paper, forgive
from tieout.finance.people import asking
from tieout.servicekit import Database, Refused, Transaction, operation, sql

statements = sql.load(__file__)


@operation(DECIDE_REQUEST)
async def decide_request(request: DecideRequest, database: Database) -> RequestView:
    actor = asking()
    async with database.transaction() as tx:
        await tx.execute(approvals.statements.hold, request.request_id)
        row = await tx.fetchrow(approvals.statements.request, request.request_id)
        if row is None:
            detail = "There is no such request. See ./tieout approvals list (GET /v1/requests)."
            raise Refused("not_found", detail, field="request_id", status=404)
        before = (await approvals.views(tx, [row]))[0]
        if any(verdict.by == actor and verdict.approved == request.approve for verdict in before.verdicts):
            return before  # The same again.
        refuse(before, actor, request.approve)
        await tx.execute(
            approvals.statements.give, request.request_id, actor, row["requested_by"], request.approve, request.note
        )
        after = (await approvals.views(tx, [row]))[0]
        voucher_no = ""
        if after.state == "done":
            reviewers = ", ".join(verdict.by for verdict in after.verdicts)
            act = {"reopening": reopen, "count": clear_count, "provision": provide}.get(row["kind"], forgive_item)
            voucher_no = await act(tx, row, reviewers)
        return approvals.view(row, after.verdicts, voucher_no)


def refuse(before: RequestView, actor: str, approve: bool) -> None:
    if before.state != "waiting":
        detail = f"This request is {before.state} already. Ask again where it is needed."
        raise Refused("decided", detail, field="request_id", status=409)
    if approve and actor == before.requested_by:
        detail = f"{actor} has asked for it; somebody else must approve."
        raise Refused("same_person", detail, field="request_id", status=403)
    if any(verdict.by == actor for verdict in before.verdicts):
        detail = f"{actor} has given a verdict already; somebody else must give the next one."
        raise Refused("same_person", detail, field="request_id", status=403)


async def reopen(tx: Transaction, row: Any, reviewers: str) -> str:
    company, period = row["company"], row["subject"]
    closed_through = await tx.fetchval(statements.lock_company, company)
    if period > closed_through:
        raise Refused("open", f"Period {period} of {company} is open again already.", field="request_id", status=409)
    still_closed = period_before(period)
    (position,) = await tx.positions(1)
    await tx.execute(
        statements.reopen,
        company,
        period,
        still_closed,
        row["requested_by"],
        reviewers,
        row["reason"],
        row["request_id"],
        position,
    )
    revision = await tx.fetchval(statements.close_through, company, still_closed)
    tx.announce(
        PeriodReopened(company, period, period, revision),
        position=position,
        key=(company, period, revision),
        chain=document_id("period", company, "", period),
        order_no=period,
        company=company,
    )
    return ""


async def forgive_item(tx: Transaction, row: Any, reviewers: str) -> str:
    company = await ledger.company(tx, row["company"])
    items = await open_items.find(tx, [(row["item_id"], row["currency"])])
    paper = Paper(
        row["request_id"],
        row["cause"],
        row["kind"],
        row["amount_minor"],
        row["business_date"],
        row["requested_by"],
        reviewers,
    )
    return await forgive(tx, company, items[row["item_id"], row["currency"]], paper)


async def clear_count(tx: Transaction, row: Any, reviewers: str) -> str:
    """T19b: 1901 becomes zero for this count. What bad management lost takes its input tax along (T19t)."""
    company = await ledger.company(tx, row["company"])
    identity: UUID = row["document_id"]
    chain, number, missing, found = await tx.fetchrow(statements.count, identity)  # type: ignore[misc]
    if missing - found != row["amount_minor"]:
        detail = f"1901 has {missing - found} of this count now, not {row['amount_minor']}. Reject this and ask again."
        raise Refused("changed", detail, field="request_id", status=409)
    when = posting(row["business_date"], company.closed_through)
    draft = Draft(
        company,
        "T19b",
        when.period,
        when.day,
        when.deferred_from,
        row["business_date"],
        chain,
        identity,
        number,
        "",
        "",
        company.currency,
        "",
        0,
        lines=[],
        prepared_by=row["requested_by"],
        reviewed_by=reviewers,
    )
    tax = row["tax_minor"]
    taxed = structs.replace(draft, template="T19t", lines=[])
    taxed.debit("count_difference", tax, tax, company.currency)
    taxed.credit("input_tax_out", tax, tax, company.currency)
    draft.debit("count_" + row["cause"], missing + tax, missing + tax, company.currency)
    draft.credit("count_difference", missing + tax, missing + tax, company.currency)
    draft.debit("count_difference", found, found, company.currency)
    draft.credit("count_management", found, found, company.currency)
    await post(tx, [taxed, draft] if tax else [draft])
    return draft.voucher_no


async def provide(tx: Transaction, row: Any, reviewers: str) -> str:
    """T15: D 6702 C 1231; what is released again, the other way round, and never more than stands there."""
    company = await ledger.company(tx, row["company"])
    amount = row["amount_minor"]
    if amount < 0:
        await tx.execute(statements.hold_allowance, company.company)
        provided = await tx.fetchval(statements.allowance, company.company)
        if provided + amount < 0:
            detail = f"1231 of {company.company} has {max(provided, 0)}; {-amount} cannot be released."
            raise Refused("too_much", detail, field="request_id", status=409)
    when = posting(row["business_date"], company.closed_through)
    draft = Draft(
        company,
        "T15p",
        when.period,
        when.day,
        when.deferred_from,
        row["business_date"],
        row["request_id"],
        row["request_id"],
        row["subject"],
        "",
        "",
        company.currency,
        "",
        0,
        lines=[],
        prepared_by=row["requested_by"],
        reviewed_by=reviewers,
    )
    debited, credited = ("credit_loss", "allowance") if amount > 0 else ("allowance", "credit_loss")
    draft.debit(debited, abs(amount), abs(amount), company.currency)
    draft.credit(credited, abs(amount), abs(amount), company.currency)
    await post(tx, [draft])
    return draft.voucher_no


async def post(tx: Transaction, drafts: list[Draft]) -> None:
    for draft, position in zip(drafts, await tx.positions(len(drafts)), strict=True):
        draft.place(position)
    await ledger.post(tx, drafts)
    ledger.announce_vouchers(tx, [(draft, None) for draft in drafts])
