"""Open monetary items in foreign currencies, as the ledger has them at the end of a period."""

from tieout.finance.domain.revaluing import Balance, monetary_accounts
from tieout.finance.domain.voucher import Company
from tieout.servicekit import Transaction, sql

statements = sql.load(__file__)


async def balances(tx: Transaction, company: Company, period: str) -> dict[str, list[Balance]]:
    """By currency; currencies of which nothing is open or booked are left out."""
    chart = [row[0] for row in await tx.fetch(statements.accounts, company.company)]
    monetary = monetary_accounts(company.accounts, chart)
    found: dict[str, list[Balance]] = {}
    rows = await tx.fetch(statements.balances, company.company, period, company.currency, monetary)
    for currency, account, amount, booked in rows:
        if amount or booked:
            found.setdefault(currency, []).append((account, amount, booked))
    return found


async def times_revalued(tx: Transaction, company: Company, period: str) -> dict[str, int]:
    return {row[0]: row[1] for row in await tx.fetch(statements.revalued, company.company, period)}


async def not_revalued(tx: Transaction, company: Company, period: str) -> tuple[str, ...]:
    """Currencies with open amounts that nobody has valued at a closing rate of this period."""
    done = await times_revalued(tx, company, period)
    found = await balances(tx, company, period)
    return tuple(sorted(c for c, rows in found.items() if c not in done and any(amount for _, amount, _ in rows)))
