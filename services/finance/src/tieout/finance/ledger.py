"""The ledger: companies locked against a close, vouchers numbered and posted, all in batches.

Numbers are drawn from one counter row per company, word and period, locked last and advanced by n; the database refuses
a voucher that is not balanced, not complete, not in an open period, or that leaves a gap (migrations/0001).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from tieout.contracts.event import event_id
from tieout.contracts.finance import VoucherPosted
from tieout.finance.domain.periods import Posting, posting
from tieout.finance.domain.voucher import Company, Draft, Line
from tieout.servicekit import Received, Refused, Transaction, sql

statements = sql.load(__file__)

VOUCHER_COLUMNS = (
    *("position", "cause_position", "total_minor", "chain_id", "document_id", "number", "business_date"),
    *("posting_date", "line_count", "company", "word", "period", "deferred_from", "template"),
    *("currency", "document_no", "order_no", "customer", "cause"),
)
LINE_COLUMNS = (
    *("position", "amount_minor", "functional_minor", "item_id", "line_no", "side", "account", "role", "currency"),
)


def company_key(company: str) -> str:
    """Under which messages wait for a company that nobody has opened yet."""
    return f"company {company}"


async def lock_companies(tx: Transaction, batch: Sequence[Received[Any]]) -> dict[str, Company]:
    """The companies of a batch, locked so that none of their periods can be closed before we commit.

    Messages of companies that are not there are parked; look for their company before you handle them.
    """
    names = sorted({received.data.company for received in batch})
    found = await _read_companies(tx, names)
    missing = [name for name in names if name not in found]
    if missing:
        # Whoever opens a company holds this lock for himself, so it cannot appear between our look and our parking.
        await tx.execute(statements.hold_names, missing)
        found |= await _read_companies(tx, missing)
        for received in batch:
            if received.data.company not in found:
                tx.park(received, key=company_key(received.data.company), reason="waits for its company to be opened")
    return found


async def _read_companies(tx: Transaction, names: Sequence[str]) -> dict[str, Company]:
    rows = await tx.fetch(statements.lock_companies, names)
    return {
        name: Company(name, currency, tax_point, words, closed_through, dict(zip(roles, codes, strict=True)))
        for name, currency, tax_point, words, closed_through, roles, codes in rows
    }


async def company(tx: Transaction, name: str) -> Company:
    """One company for an operation, locked like those of a batch."""
    found = await _read_companies(tx, [name])
    if name not in found:
        detail = f"There is no company {name}. Open it with PUT /v1/companies/{name}."
        raise Refused("not_found", detail, field="company", status=404)
    return found[name]


class Calendar:
    """Posting dates of one batch; the same few dates are asked for again and again."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Posting] = {}

    def posting(self, company: Company, business_date: Any, stamped: str = "") -> Posting:
        key = company.company, business_date, stamped
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = posting(business_date, company.closed_through, stamped)
        return found


async def post(tx: Transaction, drafts: Sequence[Draft]) -> None:
    """Number the drafts in their order and post them. Their positions must be set. Call it once per transaction."""
    if not drafts:
        return
    groups: dict[tuple[str, str, str], list[Draft]] = defaultdict(list)
    for draft in drafts:
        groups[draft.company.company, draft.word, draft.period].append(draft)
    keys = sorted(groups)
    rows = await tx.fetch(
        statements.advance_counters,
        [key[0] for key in keys],
        [key[1] for key in keys],
        [key[2] for key in keys],
        [len(groups[key]) for key in keys],
    )
    for company, word, period, last in rows:
        group = groups[company, word, period]
        for number, draft in enumerate(group, last - len(group) + 1):
            draft.number = number

    lines: list[Line] = []
    vouchers: list[tuple[Any, ...]] = []
    for draft in drafts:
        position = draft.position
        lines += draft.lines
        total = draft.total_functional
        vouchers.append(
            (
                position,
                draft.cause_position,
                total,
                draft.chain_id,
                draft.document_id,
                draft.number,
                draft.business_date,
                draft.posting_date,
                len(draft.lines),
                draft.company.company,
                draft.word,
                draft.period,
                draft.deferred_from,
                draft.template,
                draft.currency,
                draft.document_no,
                draft.order_no,
                draft.customer,
                draft.cause,
            )
        )
    await tx.copy("voucher_line", columns=LINE_COLUMNS, records=lines)
    if any(draft.prepared_by for draft in drafts):  # By people: a batch of a flow has none of these.
        vouchers = [(*row, one.prepared_by, one.reviewed_by) for row, one in zip(vouchers, drafts, strict=True)]
        await tx.copy("voucher", columns=(*VOUCHER_COLUMNS, "prepared_by", "reviewed_by"), records=vouchers)
    else:
        await tx.copy("voucher", columns=VOUCHER_COLUMNS, records=vouchers)


def announce_vouchers(tx: Transaction, drafts: Iterable[tuple[Draft, Received[Any] | None]]) -> None:
    """Say of each posted draft that it is a voucher now, with its number."""
    for draft, cause in drafts:
        company = draft.company.company
        key = draft.template, draft.document_id
        event = VoucherPosted(
            voucher_id=_voucher_id(draft),
            company=company,
            voucher_no=draft.voucher_no,
            period=draft.period,
            template=draft.template,
            document_id=draft.document_id,
            document_no=draft.document_no,
            total_minor=draft.total or draft.total_functional,
            currency=draft.currency,
        )
        tx.announce(
            event,
            position=draft.position,
            key=key,
            chain=draft.chain_id,
            order_no=draft.order_no or draft.document_no,
            company=company,
            cause=cause,
        )


def _voucher_id(draft: Draft) -> UUID:
    return UUID(event_id("voucher", draft.template, draft.document_id))
