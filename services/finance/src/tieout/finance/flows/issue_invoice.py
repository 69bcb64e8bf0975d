"""POST /v1/companies/{company}/invoices -> voucher_posted (T01t: 2221.06 to 2221.01.01)

Only what has shipped or was prepaid can be invoiced, so 2221.06 never shows a claim. Under goods issue the tax of what
has shipped is due already: the invoice is noted and moves nothing.
"""

from typing import Any
from uuid import UUID

from tieout.contracts.event import document_id, order_id
from tieout.contracts.finance import ISSUE_INVOICE, InvoiceView, IssueInvoice
from tieout.finance import ledger, money, open_items
from tieout.finance.domain.open_item import OpenItem
from tieout.finance.domain.paper import draft_of
from tieout.finance.people import asking
from tieout.servicekit import Database, Refused, Transaction, operation, sql

statements = sql.load(__file__)


@operation(ISSUE_INVOICE)
async def issue_invoice(request: IssueInvoice, database: Database) -> InvoiceView:
    actor = asking()
    identity = document_id("invoice", request.company, "", request.number)
    async with database.transaction() as tx:
        company = await ledger.company(tx, request.company)
        await tx.execute(statements.hold, identity)
        item = await open_items.find_order(
            tx, request.company, request.order_source, request.order_no, request.currency
        )
        known = await tx.fetchrow(statements.known, identity)
        if known is not None:
            check_same(request, known, item)
            return view(request, item, await tax_of(tx, item), known["voucher_no"], repeated=True)
        if company.tax_point != "goods_issue" or not item.billed:
            item.tax_point = item.tax_point or (None if item.billed or item.credited else company.tax_point)
        invoiced, due, pending = await tax_of(tx, item)
        check_amount(request, invoiced, due + pending + item.deposit_tax - max(invoiced, 0))

        before = money.Before.of(item, company.currency)
        draft = draft_of(company, money.TAX_POINT, item, (identity, request.number), request.business_date, actor)
        if item.tax_point is not None:
            item.tax_invoiced += request.tax_minor
            item.settle()
            money.transfer(draft, item, before)
            await open_items.save(tx, [item])
        if draft.lines:
            draft.place((await tx.positions(1))[0])
            await ledger.post(tx, [draft])
            ledger.announce_vouchers(tx, [(draft, None)])
        voucher_no = draft.voucher_no if draft.lines else ""
        await tx.execute(
            statements.note,
            identity,
            item.item_id,
            request.net_minor,
            request.tax_minor,
            voucher_no,
            request.business_date,
            request.company,
            request.number,
            request.currency,
            actor,
        )
        return view(request, item, await tax_of(tx, item), voucher_no, repeated=False)


async def tax_of(tx: Transaction, item: OpenItem) -> tuple[int, int, int]:
    """Tax of an order: on invoices, at its tax point, before it."""
    invoiced: int = await tx.fetchval(statements.invoiced, item.item_id, item.currency)
    if item.tax_point is not None:
        return invoiced, item.tax_due, item.tax_billed - item.tax_due
    return invoiced, await tx.fetchval(statements.taxed, item.item_id, item.currency), 0


def check_amount(request: IssueInvoice, invoiced: int, left: int) -> None:
    if request.tax_minor > max(left, 0):
        detail = (
            f"Of the tax of what order {request.order_no} has shipped or prepaid, {max(left, 0)} can still be invoiced."
        )
        raise Refused("too_much", detail, field="tax_minor", status=409)
    if invoiced + request.tax_minor < 0:
        detail = f"A red invoice of {-request.tax_minor} tax, but only {invoiced} was invoiced of this order."
        raise Refused("too_much", detail, field="tax_minor", status=409)


def check_same(request: IssueInvoice, known: Any, item: OpenItem) -> None:
    asked: tuple[UUID, str, int, int, Any] = (
        order_id(request.company, request.order_source, request.order_no),
        request.currency,
        request.net_minor,
        request.tax_minor,
        request.business_date,
    )
    if asked != tuple(known)[:5]:
        detail = f"Invoice {request.number} is booked with other content. Correct it by a red one."
        raise Refused("conflict", detail, field="number", status=409)


def view(
    request: IssueInvoice, item: OpenItem, tax: tuple[int, int, int], voucher_no: str, *, repeated: bool
) -> InvoiceView:
    return InvoiceView(
        request.number,
        item.order_no,
        item.currency,
        request.net_minor,
        request.tax_minor,
        *tax,
        voucher_no,
        repeated,
    )
