"""Requests that other people approve: append-only facts, and a view of where each of them stands."""

from collections.abc import Iterable
from datetime import date
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct
from tieout.contracts.finance import RequestView, Verdict
from tieout.servicekit import Connection, Refused, Transaction, sql

statements = sql.load(__file__)

# By kind: how many people must agree, none of them the one who asked.
NEEDED = {"reopening": 1, "write_off": 2, "recovery": 1, "count": 1, "provision": 1}


class Wish(Struct, frozen=True, kw_only=True):
    request_id: UUID
    kind: str
    company: str
    subject: str
    reason: str
    requested_by: str
    currency: str
    amount: int = 0
    tax: int = 0
    item_id: UUID | None = None
    document_id: UUID | None = None
    business_date: date | None = None
    cause: str = ""


async def ask(tx: Transaction, wish: Wish) -> RequestView:
    """Note it. The same again is answered as it stands now; another one under its id is a conflict."""
    content = (
        wish.request_id,
        wish.kind,
        wish.company,
        wish.subject,
        wish.item_id,
        wish.document_id,
        wish.currency,
        wish.amount,
        wish.tax,
        wish.business_date,
        wish.cause,
        wish.reason,
        wish.requested_by,
        NEEDED[wish.kind],
    )
    await tx.execute(statements.hold, wish.request_id)
    await tx.execute(statements.ask, *content)
    row = await tx.fetchrow(statements.request, wish.request_id)
    assert row is not None
    if tuple(row)[:14] != content:
        detail = (
            f"{row['requested_by']} has asked for this already, with the reason “{row['reason']}”. "
            "Approve or reject that, or give this one a number of its own."
        )
        raise Refused("conflict", detail, field="reason", status=409)
    return (await views(tx, [row]))[0]


async def views(c: Connection | Transaction, rows: Iterable[Any], voucher_no: str = "") -> list[RequestView]:
    rows = list(rows)
    given: dict[UUID, list[Verdict]] = {row["request_id"]: [] for row in rows}
    for request_id, by, at, approved, note in await c.fetch(statements.verdicts, list(given)):
        given[request_id].append(Verdict(by, at, approved, note))
    return [view(row, tuple(given[row["request_id"]]), voucher_no) for row in rows]


def state_of(verdicts: Iterable[Verdict], needed: int) -> Literal["waiting", "done", "rejected"]:
    """One who rejects is enough."""
    approved = [verdict.approved for verdict in verdicts]
    if not all(approved):
        return "rejected"
    return "done" if len(approved) >= needed else "waiting"


def view(row: Any, verdicts: tuple[Verdict, ...], voucher_no: str) -> RequestView:
    return RequestView(
        request_id=row["request_id"],
        kind=row["kind"],
        company=row["company"],
        subject=row["subject"],
        currency=row["currency"],
        amount_minor=-row["amount_minor"] if row["kind"] == "count" else row["amount_minor"],
        reason=row["reason"],
        requested_by=row["requested_by"],
        requested_at=row["requested_at"],
        approvals_needed=row["approvals_needed"],
        verdicts=verdicts,
        state=state_of(verdicts, row["approvals_needed"]),
        voucher_no=voucher_no,
        tax_minor=row["tax_minor"],
    )
