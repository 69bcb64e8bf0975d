"""What an invoice of the UCI "Online Retail" data means, and which sale a credit belongs to. Pure rules.

The data set is a wholesaler's ledger: sales, credit notes (`C…`), bad debt (`A…`) and stock corrections share one
numbering and one table, without a column that tells them apart. First matching rule wins, in the order of `classify`.
Amounts are pence, prices millionths of a pound, quantities whole pieces.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

Kind = Literal["sale", "credit", "adjustment", "write_off", "faulty"]

GOODS_SKU = re.compile(r"(\d{5}[A-Z]{0,2}|DCGS\w{1,10}|PADS)\Z")
SALE_NUMBER = re.compile(r"\d{6}\Z")
CREDIT_NUMBER = re.compile(r"C\d{6}\Z")
WRITE_OFF_NUMBER = re.compile(r"A\d{6}\Z")
NO_CUSTOMER = "ANON"

# Service lines have no stock; each stands on an account of its own (see contracts.order.Account).
SERVICES = {
    "POST": "carriage",
    "DOT": "carriage",
    "C2": "carriage",
    "M": "other",
    "S": "sample",
    "AMAZONFEE": "commission",
    "CRUK": "commission",
    "BANK CHARGES": "bank_charge",
    "D": "allowance",
}
GIFT_VOUCHER = "GIFT_"


class Line(Struct, frozen=True):
    """One row. `quantity` and `price_micro` are None where the text is no number; `quantity_text` keeps it."""

    line_no: int  # Within its invoice, in the order of the files, from 1.
    sku: str
    name: str
    quantity: int | None
    price_micro: int | None
    quantity_text: str = ""
    price_text: str = ""

    @property
    def account(self) -> str:
        return "gift_voucher" if self.sku.startswith(GIFT_VOUCHER) else SERVICES.get(self.sku, "goods")

    @property
    def is_goods(self) -> bool:
        return GOODS_SKU.match(self.sku) is not None

    @property
    def amount(self) -> int:
        """Pence, signed, half up by size: a credit mirrors its sale."""
        if self.quantity is None or self.price_micro is None:
            return 0
        exact = abs(self.quantity) * self.price_micro  # Millionths of a pound; one penny is 10,000 of them.
        pence = (2 * exact + 10_000) // 20_000
        return pence if self.quantity >= 0 else -pence

    @property
    def rounding_micro(self) -> int:
        """Exact minus rounded amount, in millionths of a penny, signed like the amount."""
        if self.quantity is None or self.price_micro is None:
            return 0
        return self.quantity * self.price_micro * 100 - self.amount * 1_000_000


class Invoice(Struct, frozen=True):
    number: str
    at: datetime  # Local, naive: the earliest of its lines.
    customer: str
    same_header: bool  # Every line names the same customer and country.
    lines: tuple[Line, ...]
    fingerprint: str  # Over the source's rows only.


class Fault(Struct, frozen=True):
    reason: str
    field: str
    detail: str


class Link(Struct, frozen=True):
    """`quantity` pieces of a credit line belong to this line of this sale."""

    order_number: str
    order_line_no: int
    quantity: int


class Linked(Struct, frozen=True):
    how: str  # whole_line, part_of_line, several_lines; else why it stands alone.
    links: tuple[Link, ...] = ()


def classify(invoice: Invoice) -> tuple[Kind, Fault | None]:
    """What this invoice is; a fault where no book may take it as it stands."""
    if WRITE_OFF_NUMBER.match(invoice.number):
        return "write_off", None
    fault = find_fault(invoice)
    if fault is not None:
        return "faulty", fault
    if CREDIT_NUMBER.match(invoice.number):
        return "credit", None
    return ("adjustment" if is_adjustment(invoice) else "sale"), None


def is_adjustment(invoice: Invoice) -> bool:
    """Goods that appeared or vanished: nobody bought them and nothing was asked for them."""
    return (
        SALE_NUMBER.match(invoice.number) is not None
        and invoice.customer == NO_CUSTOMER
        and all(line.is_goods and line.price_micro == 0 for line in invoice.lines)
    )


def find_fault(invoice: Invoice) -> Fault | None:
    """The first reason, in the order of the rules, and within a rule the first line that has it."""
    is_sale, is_credit = SALE_NUMBER.match(invoice.number), CREDIT_NUMBER.match(invoice.number)
    if not is_sale and not is_credit:
        return Fault("unknown_number", "number", f"{invoice.number!r} is neither 123456 nor C123456 nor A123456.")
    adjustment = is_adjustment(invoice)
    for number, line in enumerate(invoice.lines):
        if not line.is_goods and line.account == "goods":
            return Fault("unknown_sku", f"lines[{number}].sku", f"{line.sku!r} is no form of article known here.")
    for number, line in enumerate(invoice.lines):
        if not line.quantity:
            reason, told = ("bad_quantity", ", no whole number") if line.quantity is None else ("zero_quantity", "")
            return Fault(reason, f"lines[{number}].quantity_micro", f"Quantity is {line.quantity_text!r}{told}.")
    for number, line in enumerate(invoice.lines):
        if line.price_micro is None or line.price_micro < 0:
            reason, told = ("bad_amount", ", no number") if line.price_micro is None else ("negative_price", "")
            return Fault(reason, f"lines[{number}].unit_price_micro", f"Price is {line.price_text!r}{told}.")
    for number, line in enumerate(invoice.lines):
        if not adjustment and ((line.quantity or 0) < 0) != bool(is_credit):
            wanted = "negative on a credit" if is_credit else "positive on a sale"
            return Fault("wrong_sign", f"lines[{number}].quantity_micro", f"{line.quantity} must be {wanted}.")
    for number, line in enumerate(invoice.lines):
        if is_credit and line.price_micro == 0:
            return Fault("zero_price_credit", f"lines[{number}].unit_price_micro", "A credit of nothing.")
    if not invoice.same_header:
        return Fault("header_differs", "customer", "Lines of one invoice name different customers or countries.")
    return None


class _Sold:
    """One sale line that credits may still draw on."""

    __slots__ = ("line_no", "number", "open", "price", "sold")

    def __init__(self, number: str, line: Line) -> None:
        self.number, self.line_no, self.price = number, line.line_no, line.price_micro
        self.sold = self.open = line.quantity or 0


class Linker:
    """Gives every credit line its sale. Feed invoices in business order, (time, number): never in arrival order."""

    def __init__(self) -> None:
        self._sold: dict[tuple[str, str], list[_Sold]] = defaultdict(list)  # By customer and SKU, oldest first.

    def note_sale(self, invoice: Invoice) -> None:
        if invoice.customer != NO_CUSTOMER:
            for line in invoice.lines:
                self._sold[invoice.customer, line.sku].append(_Sold(invoice.number, line))

    def link(self, customer: str, line: Line) -> Linked:
        """All of the line or nothing: one whole sale line, else a part of the latest that covers it, else several."""
        wanted = abs(line.quantity or 0)
        if customer == NO_CUSTOMER:
            return Linked("no_customer")
        bought = self._sold.get((customer, line.sku))
        if not bought:
            return Linked("never_sold_to_customer")
        same_price = [sold for sold in bought if sold.price == line.price_micro]
        if not same_price:
            return Linked("other_price")
        latest_first = [sold for sold in reversed(same_price) if sold.open]
        if not latest_first:
            return Linked("already_credited")
        for sold in latest_first:
            if sold.open == sold.sold == wanted:
                return Linked("whole_line", _draw([sold], wanted))
        for sold in latest_first:
            if sold.open >= wanted:
                return Linked("part_of_line", _draw([sold], wanted))
        if sum(sold.open for sold in latest_first) >= wanted:
            return Linked("several_lines", _draw(latest_first, wanted))
        return Linked("above_open_quantity")


def _draw(sources: Iterable[_Sold], wanted: int) -> tuple[Link, ...]:
    links = []
    for sold in sources:
        taken = min(sold.open, wanted)
        if taken:
            sold.open -= taken
            wanted -= taken
            links.append(Link(sold.number, sold.line_no, taken))
    return tuple(links)


def split_amount(amount: int, quantity: int, parts: Sequence[int]) -> list[int]:
    """Shares of a line's amount by quantity, rounded so that they add up: A(to) - A(from), as everywhere."""
    shares, taken = [], 0
    for part in parts:
        before = (2 * amount * taken + quantity) // (2 * quantity)
        taken += part
        shares.append((2 * amount * taken + quantity) // (2 * quantity) - before)
    return shares


class Opening:
    """Opening stock: what the run takes out of each SKU, valued at half of its lowest price."""

    def __init__(self) -> None:
        self.outflow: dict[str, int] = defaultdict(int)
        self.lowest: dict[str, int] = {}
        self.names: dict[str, str] = {}

    def note(self, invoice: Invoice, kind: Kind) -> None:
        for line in invoice.lines:
            if not line.is_goods:
                self.names.setdefault(line.sku, line.name)
                continue
            self.names[line.sku] = line.name or self.names.get(line.sku, "")
            price = line.price_micro or 0
            if price > 0 and price < self.lowest.get(line.sku, price + 1):
                self.lowest[line.sku] = price
            if kind in ("sale", "adjustment") and (line.quantity or 0) * (1 if kind == "sale" else -1) > 0:
                self.outflow[line.sku] += abs(line.quantity or 0)

    def cost(self, sku: str) -> int:
        """Whole pence per piece, so that every average stays exact; 0 for what never had a price."""
        return (self.lowest.get(sku, 0) + 10_000) // 20_000
