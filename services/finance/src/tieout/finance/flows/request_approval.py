"""POST …/reopen, …/write-offs, …/count-approvals, …/bad-debt-provisions

Asked for by one person, done when others have approved it. Nothing is posted here.
Who asked, when and why stays for ever, also where it is rejected.
"""

from uuid import UUID

from tieout.contracts.currency import spelled
from tieout.contracts.event import document_id, order_id
from tieout.contracts.finance import (
    REQUEST_COUNT_APPROVAL,
    REQUEST_PROVISION,
    REQUEST_REOPENING,
    REQUEST_WRITE_OFF,
    RequestCountApproval,
    RequestProvision,
    RequestReopening,
    RequestView,
    RequestWriteOff,
)
from tieout.finance import approvals, ledger, open_items
from tieout.finance.approvals import Wish
from tieout.finance.people import asking
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(REQUEST_REOPENING)
async def request_reopening(request: RequestReopening, database: Database) -> RequestView:
    actor = asking()
    async with database.transaction() as tx:
        company = await ledger.company(tx, request.company)
        closed_through, calendar, _ = await tx.fetchrow(statements.calendar, request.company)  # type: ignore[misc]
        if request.period > closed_through:
            detail = (
                f"Period {request.period} of {request.company} is open. Closed through: {closed_through or 'none'}."
            )
            raise Refused("open", detail, field="period", status=409)
        rejected = await tx.fetchval(approvals.statements.rejected_before, request.company, "reopening", request.period)
        wish = Wish(
            request_id=document_id("reopening", request.company, str(calendar), f"{request.period} {rejected}"),
            kind="reopening",
            company=request.company,
            subject=request.period,
            reason=request.reason,
            requested_by=actor,
            currency=company.currency,
        )
        return await approvals.ask(tx, wish)


@operation(REQUEST_WRITE_OFF)
async def request_write_off(request: RequestWriteOff, database: Database) -> RequestView:
    actor = asking()
    async with database.transaction() as tx:
        await ledger.company(tx, request.company)
        await open_items.find_order(tx, request.company, request.order_source, request.order_no, request.currency)
        kind = "recovery" if request.recover else "write_off"
        wish = Wish(
            request_id=document_id(kind, request.company, "", request.number),
            kind=kind,
            company=request.company,
            subject=f"{request.order_no} of {request.order_source}",
            reason=request.reason,
            requested_by=actor,
            currency=request.currency,
            amount=request.amount_minor,
            item_id=order_id(request.company, request.order_source, request.order_no),
            business_date=request.business_date,
            cause=request.number,
        )
        return await approvals.ask(tx, wish)


@operation(REQUEST_COUNT_APPROVAL)
async def request_count_approval(request: RequestCountApproval, database: Database) -> RequestView:
    actor = asking()
    async with database.transaction() as tx:
        company = await ledger.company(tx, request.company)
        count = await tx.fetchrow(statements.count, request.company, request.source, request.number)
        if count is None:
            source = f"of source {request.source}" if request.source else "without a source"
            detail = f"Count {request.number} {source} has left nothing on 1901 of {request.company}."
            raise Refused("not_found", detail, field="number", status=404)
        check_tax(request, count["left"], company.currency)
        subject = f"{request.number} of {request.source}" if request.source else request.number
        rejected = await tx.fetchval(approvals.statements.rejected_before, request.company, "count", subject)
        identity: UUID = count["document_id"]
        wish = Wish(
            request_id=document_id("count", request.company, str(identity), str(rejected)),
            kind="count",
            company=request.company,
            subject=subject,
            reason=request.reason,
            requested_by=actor,
            currency=company.currency,
            amount=count["left"],
            tax=request.input_tax_minor,
            document_id=identity,
            business_date=count["business_date"],
            cause=request.cause,
        )
        return await approvals.ask(tx, wish)


def check_tax(request: RequestCountApproval, missing: int, currency: str) -> None:
    """Input tax is transferred out for what bad management lost only, and never more than the goods were worth."""
    tax = request.input_tax_minor
    if request.abnormal != bool(tax):
        detail = "An abnormal loss names the input tax of its goods, and no other loss does: give both, or neither."
        raise Refused("invalid", detail, field="input_tax_minor" if request.abnormal else "abnormal")
    if not tax:
        return
    if request.cause == "disaster":
        detail = "Goods lost to a disaster keep their input tax; abnormal is what was lost by bad management."
        raise Refused("invalid", detail, field="abnormal")
    if tax > missing:
        worth, no = spelled(max(missing, 0), currency), spelled(tax, currency)
        detail = f"The goods that are missing were worth {worth}; their input tax cannot be {no}."
        raise Refused("too_much", detail, field="input_tax_minor", status=409)


@operation(REQUEST_PROVISION)
async def request_provision(request: RequestProvision, database: Database) -> RequestView:
    actor = asking()
    if not request.amount_minor:
        raise Refused("invalid", "A provision of 0 changes nothing.", field="amount_minor")
    async with database.transaction() as tx:
        company = await ledger.company(tx, request.company)
        wish = Wish(
            request_id=document_id("provision", request.company, "", request.number),
            kind="provision",
            company=request.company,
            subject=request.number,
            reason=request.reason,
            requested_by=actor,
            currency=company.currency,
            amount=request.amount_minor,
            business_date=request.business_date,
            cause=request.number,
        )
        return await approvals.ask(tx, wish)
