"""Unrealised exchange differences: what open monetary items are worth at a closing rate, and the voucher T21.

Monetary are receivables, payables and money. Goods, and money for goods that are still to come or to go (1405, 1123,
2203, 2204), are not: they stay at the rate of their day.
"""

from collections.abc import Iterable, Mapping

from tieout.finance.domain.amounts import convert
from tieout.finance.domain.voucher import CREDIT, DEBIT, Draft

MONETARY_ROLES = ("receivable", "refundable", "bank", "wallet")
NEVER_ROLES = ("stock", "deposit", "unapplied")
PAYABLE = "2202"

Balance = tuple[str, int, int]  # Account, foreign amount and what it is booked at: debits minus credits.


def monetary_accounts(accounts: Mapping[str, str], chart: Iterable[str]) -> list[str]:
    """Accounts by role, and all of the chart -> those to be valued at closing rates."""
    found = {code for role, code in accounts.items() if role.partition(":")[0] in MONETARY_ROLES}
    found |= {code for code in chart if code.partition(".")[0] == PAYABLE}
    return sorted(found - {accounts[role] for role in NEVER_ROLES})


def revalue(draft: Draft, balances: Iterable[Balance], rate_micro: int, currency: str) -> int:
    """Lines that bring each balance to the closing rate, and 6603.04 for all of them. The gain comes back."""
    functional = draft.company.currency
    gain = 0
    for account, amount, booked in balances:
        change = convert(amount, rate_micro, currency, functional) - booked
        gain += change
        if change:
            side = DEBIT if change > 0 else CREDIT
            draft.put_on(account, side, "revaluation", 0, abs(change), currency)
    if gain:
        draft.put(CREDIT if gain > 0 else DEBIT, "fx_unrealised", 0, abs(gain), currency, None)
    return gain


def reverse(draft: Draft, original: Draft) -> None:
    """The same accounts and sides in red."""
    draft.lines = [(0, -line[1], -line[2], *line[3:]) for line in original.lines]
