"""Vouchers as drafts: lines with account, side, amount; the ledger numbers and posts them.

The templates T01 ... are those of the chart's documentation; a red line keeps side and account with a negative amount.
"""

from datetime import date
from uuid import UUID

from msgspec import Struct
from tieout.finance.domain.amounts import convert
from tieout.finance.domain.open_item import HELD_ROLES, OpenItem

DEBIT, CREDIT = b"D", b"C"
LEFT_OVER = ("fx_realised", "rounding")  # On either side, last in every template.

# position, amount, functional amount, open item, line number, side, account, role, currency: voucher_line's columns.
Line = tuple[int, int, int, UUID | None, int, bytes, str, str, str]


class Company(Struct, frozen=True):
    """What a posting needs to know of its company."""

    company: str
    currency: str
    tax_point: str
    voucher_words: str
    closed_through: str
    accounts: dict[str, str]  # By role.

    def account(self, role: str) -> str:
        """Providers of payments may have an account of their own: role wallet:stripe, else wallet."""
        return self.accounts.get(role) or self.accounts[role.partition(":")[0]]

    def word(self, kind: str) -> str:
        return {"receipt": "收", "payment": "付"}.get(kind, "转") if self.voucher_words == "three" else "记"


class Draft(Struct, gc=False):
    company: Company
    template: str
    period: str
    posting_date: date
    deferred_from: str
    business_date: date
    chain_id: UUID
    document_id: UUID
    document_no: str
    order_no: str
    customer: str
    currency: str
    cause: str  # Producer of the event it is posted for.
    cause_position: int
    kind: str = "transfer"  # receipt, payment or transfer: the word, where there are three.
    lines: list[Line] = []
    position: int = 0  # Of the event that announces it.
    number: int = 0
    prepared_by: str = ""  # A person, and those who approved; "" for what a template made of an event.
    reviewed_by: str = ""

    def debit(self, role: str, amount: int, functional: int, currency: str, item_id: UUID | None = None) -> None:
        self.put(DEBIT, role, amount, functional, currency, item_id)

    def credit(self, role: str, amount: int, functional: int, currency: str, item_id: UUID | None = None) -> None:
        self.put(CREDIT, role, amount, functional, currency, item_id)

    def put(self, side: bytes, role: str, amount: int, functional: int, currency: str, item_id: UUID | None) -> None:
        if amount or functional:
            lines, accounts = self.lines, self.company.accounts
            account = accounts[role] if role in accounts else self.company.account(role)
            lines.append((self.position, amount, functional, item_id, len(lines) + 1, side, account, role, currency))

    def put_on(self, account: str, side: bytes, role: str, amount: int, functional: int, currency: str) -> None:
        """On an account itself, where no role says which one it is."""
        self.lines.append((self.position, amount, functional, None, len(self.lines) + 1, side, account, role, currency))

    def place(self, position: int) -> None:
        """Give it its position, where that was not known before its lines, and its lines the order of the templates.

        That is debits, then credits, then what exchange and rounding leave.
        """
        self.position = position
        ordered = sorted(self.lines, key=_rank)
        self.lines = [(position, *line[1:4], number, *line[5:]) for number, line in enumerate(ordered, 1)]

    @property
    def word(self) -> str:
        return self.company.word(self.kind)

    @property
    def voucher_no(self) -> str:
        return f"{self.word}-{self.period}-{self.number:06d}"

    @property
    def total_functional(self) -> int:
        """Sum of the debits in the company's currency."""
        total = 0
        for line in self.lines:
            if line[5] == DEBIT:
                total += line[2]
        return total

    @property
    def total(self) -> int:
        """Sum of the debits in the document's own currency."""
        return sum([line[1] for line in self.lines if line[5] == DEBIT and line[8] == self.currency])


def _rank(line: Line) -> int:
    if line[7] in LEFT_OVER:
        return 2
    return 0 if line[5] == DEBIT else 1


def move_money(
    draft: Draft, item: OpenItem, before: tuple[int, ...], functional_before: tuple[int, ...] | None
) -> None:
    """Lines for what `OpenItem.settle` moved: a balance that grew is credited, one that shrank is debited.

    `before` is `item.held()` of then, `functional_before` is `item.functional()`, None where both currencies are one.
    """
    after = item.held()
    booked = after if functional_before is None else item.functional(draft.company.currency)
    booked_before = before if functional_before is None else functional_before
    for role, old, new, old_booked, new_booked in zip(HELD_ROLES, before, after, booked_before, booked, strict=True):
        change, booked_change = new - old, new_booked - old_booked
        if change > 0 or (change == 0 and booked_change > 0):
            draft.credit(role, change, booked_change, item.currency, item.item_id)
        elif change or booked_change:
            draft.debit(role, -change, -booked_change, item.currency, item.item_id)


def move_tax(draft: Draft, item: OpenItem, due_before: int) -> None:
    """Tax that has reached its tax point since then leaves 2221.06 for 2221.01.01; in red where it went back."""
    change = item.tax_due - due_before
    if change:
        functional = draft.company.currency
        rate = item.rate_micro or 1_000_000
        booked = convert(item.tax_due, rate, item.currency, functional)
        booked -= convert(due_before, rate, item.currency, functional)
        draft.debit("output_tax_pending", change, booked, item.currency, item.item_id)
        draft.credit("output_tax", change, booked, item.currency)


def balance(draft: Draft, role: str, amount: int, currency: str) -> None:
    """One more line of `amount` debits (credits where it is negative) that balances the voucher in both currencies."""
    off = sum([line[2] if line[5] == DEBIT else -line[2] for line in draft.lines])
    if amount > 0:
        draft.debit(role, amount, -off, currency)
    else:
        draft.credit(role, -amount, off, currency)


def level(draft: Draft, role: str = "fx_realised") -> None:
    """Close a difference that only exists in the company's currency: two rates met, or parts were rounded."""
    off = 0
    for line in draft.lines:
        off += line[2] if line[5] == DEBIT else -line[2]
    if off > 0:
        draft.credit(role, 0, off, draft.company.currency)
    elif off < 0:
        draft.debit(role, 0, -off, draft.company.currency)
