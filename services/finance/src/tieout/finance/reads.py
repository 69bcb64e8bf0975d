"""Questions about the books: they read, decide nothing and lock nothing."""

from datetime import date
from typing import Any, Literal, cast
from uuid import UUID

from tieout.contracts.event import event_id
from tieout.contracts.finance import (
    ACCOUNTS,
    CHART,
    COMPANIES,
    FINANCE_OUTCOMES,
    RECEIVABLES,
    REQUESTS,
    STANDING_COUNTS,
    TRIAL_BALANCE,
    VOUCHER,
    VOUCHERS,
    AccountTurnover,
    AccountTurnoverRequest,
    AccountTurnovers,
    Chart,
    Companies,
    DocumentSettled,
    FinanceOutcome,
    FinanceOutcomes,
    FinanceOutcomesRequest,
    LedgerAccountView,
    ListCompanies,
    ListReceivables,
    ListRequests,
    ListStandingCounts,
    ListVouchers,
    Receivable,
    ReceivablePage,
    Requests,
    ShowChart,
    ShowVoucher,
    StandingCount,
    StandingCounts,
    StandingSum,
    TrialBalance,
    TrialBalanceLine,
    TrialBalanceRequest,
    VoucherLine,
    VoucherPage,
    VoucherView,
)
from tieout.contracts.operation import MoneyPaper, MoneyStanding, OrderNamed, Trail, TrailEntry, TrailRequest
from tieout.finance import approvals
from tieout.finance.flows.put_company import view
from tieout.servicekit import Connection, Database, Refused, operation, sql

statements = sql.load(__file__)

# What a journey calls a voucher, by its template.
STEPS = {
    "T01": "billed",
    "T02": "on its way",
    "T02b": "billed at delivery",
    "T04": "back in stock",
    "T01t": "taxed",
    "T03b": "released",
    "T05": "credited",
    "T06": "credited",
    "T07": "credited",
    "T05s": "restocked",
    "T08": "refunded",
    "T09": "paid",
    "T10": "paid",
    "T10a": "applied",
    "T11": "paid",
    "T10c": "released",
    "T11b": "settled",
    "T14b": "discounted",
    "T15": "written off",
    "T15r": "recovered",
    "T19b": "approved",
    "T22": "declared",
    "T21": "revalued",
    "T21r": "revalued",
    "T16": "stocked",
    "T17": "stocked",
}


@operation(COMPANIES)
async def list_companies(request: ListCompanies, database: Database) -> Companies:
    async with database.read() as c:
        rows = await c.fetch(statements.companies, request.company)
    return Companies(tuple(view(row, dict(zip(row["roles"], row["codes"], strict=True))) for row in rows))


@operation(CHART)
async def show_chart(request: ShowChart, database: Database) -> Chart:
    async with database.read() as c:
        await _functional_currency(c, request.company)
        rows = await c.fetch(statements.chart, request.company)
    return Chart(tuple(LedgerAccountView(code, name, zh, kind, tuple(roles)) for code, name, zh, kind, roles in rows))


@operation(VOUCHERS)
async def list_vouchers(request: ListVouchers, database: Database) -> VoucherPage:
    async with database.read() as c:
        rows = await c.fetch(
            statements.vouchers_of_order if request.order_no else statements.vouchers,
            request.company,
            request.order_no or request.period,
            request.account,
            request.after,
            request.limit + 1,
            *((request.period,) if request.order_no else ()),
        )
        more, rows = len(rows) > request.limit, rows[: request.limit]
        found = await _vouchers(c, rows)
    return VoucherPage(found, rows[-1]["position"] if more else 0)


@operation(VOUCHER)
async def show_voucher(request: ShowVoucher, database: Database) -> VoucherView:
    parts = voucher_parts(request.voucher_no)
    if parts is None:
        detail = f"{request.voucher_no!r} is no voucher number. Write it like 记-2026-11-000123."
        raise Refused("invalid", detail, field="voucher_no")
    async with database.read() as c:
        rows = await c.fetch(statements.voucher, request.company, *parts)
        found = await _vouchers(c, rows)
    if not found:
        detail = f"Company {request.company} has no voucher {request.voucher_no}."
        raise Refused("not_found", detail, field="voucher_no", status=404)
    return found[0]


async def _vouchers(c: Connection, rows: list[Any]) -> tuple[VoucherView, ...]:
    lines: dict[int, list[VoucherLine]] = {row["position"]: [] for row in rows}
    for position, line_no, side, account, name, name_zh, role, amount, currency, functional, order_no in await c.fetch(
        statements.lines, list(lines)
    ):
        text: Literal["debit", "credit"] = "debit" if side == b"D" else "credit"
        lines[position].append(
            VoucherLine(line_no, text, account, name, name_zh, role, amount, currency, functional, order_no)
        )
    return tuple(
        VoucherView(
            voucher_no=voucher_no(row),
            company=row["company"],
            period=row["period"],
            template=row["template"],
            business_date=row["business_date"],
            posting_date=row["posting_date"],
            deferred_from=row["deferred_from"],
            document_id=row["document_id"],
            document_no=row["document_no"],
            order_no=row["order_no"],
            customer=row["customer"],
            currency=row["currency"],
            functional_currency=row["functional_currency"],
            total_minor=row["total_minor"],
            prepared_by=row["prepared_by"],
            posted_at=row["posted_at"],
            position=row["position"],
            lines=tuple(lines[row["position"]]),
            reviewed_by=row["reviewed_by"],
        )
        for row in rows
    )


def voucher_parts(text: str) -> tuple[str, str, int] | None:
    """Word, period and number of 记-2026-11-000123, with or without the zeros; None where it is none."""
    word, _, rest = text.strip().partition("-")
    period, _, number = rest.rpartition("-")
    if not number.isascii() or not number.isdigit() or len(number) > 9 or len(period) != 7:
        return None
    return word, period, int(number)


def voucher_no(row: Any) -> str:
    return f"{row['word']}-{row['period']}-{row['number']:06d}"


async def _functional_currency(c: Connection, company: str) -> str:
    currency = await c.fetchval(statements.functional_currency, company)
    if currency is None:
        detail = f"There is no company {company}. ./tieout periods list (GET /v1/companies) lists them."
        raise Refused("not_found", detail, field="company", status=404)
    return cast("str", currency)


@operation(TRIAL_BALANCE)
async def show_trial_balance(request: TrialBalanceRequest, database: Database) -> TrialBalance:
    async with database.read() as c:
        currency = await _functional_currency(c, request.company)
        last = request.to_period or "9999-12"
        rows = await c.fetch(statements.trial_balance, request.company, request.from_period, last)
    lines = tuple(TrialBalanceLine(*sql.exact(row)) for row in rows)
    debit, credit = sum(line.debit_minor for line in lines), sum(line.credit_minor for line in lines)
    balanced = debit == credit and not sum(line.closing_minor for line in lines)
    return TrialBalance(
        request.company, currency, request.from_period, request.to_period, lines, debit, credit, balanced
    )


@operation(RECEIVABLES)
async def list_receivables(request: ListReceivables, database: Database) -> ReceivablePage:
    after = UUID(int=0)
    if request.after:
        try:
            after = UUID(request.after)
        except ValueError:
            raise Refused("invalid", "Give the `next` of the page before.", field="after") from None
    as_of = request.as_of or date.max
    async with database.read() as c:
        await _functional_currency(c, request.company)
        rows = await c.fetch(
            statements.receivables, request.company, as_of, request.customer, request.order_no, after, request.limit + 1
        )
        totals = []
        if not request.after:
            totals = await c.fetch(statements.open_totals, request.company, as_of, request.customer, request.order_no)
    more, rows = len(rows) > request.limit, rows[: request.limit]
    found = tuple(Receivable(*sql.exact(row)) for row in rows)
    return ReceivablePage(
        found, str(rows[-1]["item_id"]) if more else "", {currency: int(total) for currency, total in totals}
    )


@operation(REQUESTS)
async def list_requests(request: ListRequests, database: Database) -> Requests:
    async with database.read() as c:
        rows = await c.fetch(approvals.statements.requests, request.company, request.state, request.limit)
        return Requests(tuple(await approvals.views(c, rows)), rows[0]["found"] if rows else 0)


@operation(STANDING_COUNTS)
async def list_standing_counts(request: ListStandingCounts, database: Database) -> StandingCounts:
    async with database.read() as c:
        rows = await c.fetch(
            approvals.statements.standing_counts, request.company, request.period, request.limit, request.skip
        )
        sums = await c.fetch(approvals.statements.standing_sums, request.company, request.period)
    return StandingCounts(
        tuple(
            StandingCount(
                company=row["company"],
                source=row["source"],
                number=row["document_no"],
                business_date=row["business_date"],
                posted_at=row["posted_at"],
                currency=row["currency"],
                left_minor=-row["left_minor"],
                request_id=None if row["rejected"] else row["request_id"],
                asked_by=row["requested_by"] or "",
                asked_at=row["requested_at"],
                approvals=row["given"],
                approvals_needed=row["needed"],
                rejected=row["rejected"],
            )
            for row in rows
        ),
        tuple(StandingSum(*row) for row in sums),
    )


@operation(FINANCE_OUTCOMES)
async def show_outcomes(request: FinanceOutcomesRequest, database: Database) -> FinanceOutcomes:
    async with database.read() as c:
        rows = [
            *await c.fetch(statements.booked, request.company, request.source),
            *await c.fetch(statements.credited, request.company, request.source),
            *await c.fetch(statements.money, request.company, request.source),
        ]
    return FinanceOutcomes(tuple(FinanceOutcome(*sql.exact(row)) for row in rows))


@operation(ACCOUNTS)
async def show_turnovers(request: AccountTurnoverRequest, database: Database) -> AccountTurnovers:
    async with database.read() as c:
        rows = await c.fetch(statements.turnovers, request.company, request.by == "business")
    return AccountTurnovers(tuple(AccountTurnover(*sql.exact(row)) for row in rows))


async def trail(request: TrailRequest, database: Database) -> Trail:
    """Vouchers of a chain, payments of several orders included, papers that changed nothing, its order's money.

    Asked for the chain of a payment, also which orders it is of; asked for no chain, those of a voucher of that number.
    """
    chain = UUID(request.chain_id)
    entries: list[TrailEntry] = []
    if not chain.int:
        return Trail((), await _orders_of_voucher(request.order_no, database))
    async with database.read() as c:
        for row in await c.fetch(statements.trail, chain):
            template = row["template"]
            also = "for" if row["only_named"] else "also for"
            detail = f"template {template}" + (", nothing of it for this order" if row["only_named"] else "")
            opened = template in ("T01", "T02b")
            kind = "finance.receivable_opened.v1" if opened else "finance.voucher_posted.v1"
            key = (row["document_id"],) if opened else (template, row["document_id"])
            entries.append(
                TrailEntry(
                    at=row["posted_at"].isoformat(),
                    step=STEPS.get(template, "posted"),
                    document=row["document_no"],
                    event_id=event_id(kind, *key),
                    voucher_no=voucher_no(row),
                    amount_minor=row["amount"],
                    currency=row["currency"],
                    detail=detail + (f", {also} {row['others']}" if row["others"] else ""),
                )
            )
        for at, number, kind, outcome, reason, detail, intake, claim in await c.fetch(statements.without_effect, chain):
            told = ": ".join(part for part in (reason, detail) if part) or f"a {kind} that came again"
            if outcome == "accepted" and not claim:
                told += " Settled since."
            step = outcome if outcome != "accepted" else "above what came"
            entries.append(
                TrailEntry(at.isoformat(), step, number, event_id(DocumentSettled.SUBJECT, intake), detail=told)
            )
        money = await _money(c, chain)
        orders = await c.fetch(statements.orders_of_money, chain)
    return Trail(tuple(entries), tuple(OrderNamed(*row) for row in orders), money)


async def _orders_of_voucher(number: str, database: Database) -> tuple[OrderNamed, ...]:
    parts = voucher_parts(number)
    if parts is None:
        return ()
    async with database.read() as c:
        return tuple(OrderNamed(*row) for row in await c.fetch(statements.orders_of_voucher, *parts))


async def _money(c: Connection, chain: UUID) -> tuple[MoneyStanding, ...]:
    """By currency: of the order itself, or of the customer whom a paper without an order is of."""
    items = await c.fetch(statements.money_of_chain, chain)
    if not items:
        return ()
    papers: dict[tuple[UUID, str], list[MoneyPaper]] = {}
    for row in await c.fetch(statements.money_papers, chain, [item["item_id"] for item in items]):
        whole = row["whole"] if abs(row["amount"]) != row["whole"] else 0
        paper = MoneyPaper(row["kind"], row["number"], row["amount"], whole)
        papers.setdefault((row["item_id"], row["currency"]), []).append(paper)
    return tuple(
        MoneyStanding(
            currency=item["currency"],
            received_minor=item["received"],
            applied_minor=item["settled"] - item["forgiven"] + item["passed"],
            held_minor=item["held"],
            refunded_minor=item["refunded"] - item["passed"],
            open_minor=item["billed"] - item["credited"] - item["settled"],
            billed_minor=item["billed"],
            credited_minor=item["credited"],
            forgiven_minor=item["forgiven"],
            customer="" if item["of_order"] else item["customer"],
            papers=tuple(papers.get((item["item_id"], item["currency"]), ())),
        )
        for item in items
    )
