"""POST /v1/requests/{request_id}/decide -> period_reopened, or voucher_posted (T15, T15r, T19b) and settled

A verdict by another person than the one who asked; the last approval needed and what it allows are one transaction. Who
prepared a voucher has never reviewed it: the database checks that too.
"""

from typing import Any
from uuid import UUID

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
            raise Refused(
                "not_found", "There is no such request. See GET /v1/requests.", field="request_id", status=404
            )
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
            act = {"reopening": reopen, "count": clear_count}.get(row["kind"], forgive_item)
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
    """T19b: 1901 becomes zero for this count."""
    company = await ledger.company(tx, row["company"])
    identity: UUID = row["document_id"]
    chain, missing, found = await tx.fetchrow(statements.count, identity)  # type: ignore[misc]
    if missing - found != row["amount_minor"]:
        detail = f"1901 has {missing - found} of this count now, not {row['amount_minor']}. Reject this and ask again."
        raise Refused("changed", detail, field="request_id", status=409)
    when = posting(row["business_date"], company.closed_through)
    number, _, _ = row["subject"].partition(" of ")
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
    draft.debit("count_" + row["cause"], missing, missing, company.currency)
    draft.credit("count_difference", missing, missing, company.currency)
    draft.debit("count_difference", found, found, company.currency)
    draft.credit("count_management", found, found, company.currency)
    draft.place((await tx.positions(1))[0])
    await ledger.post(tx, [draft])
    ledger.announce_vouchers(tx, [(draft, None)])
    return draft.voucher_no
