"""A small trading world of one company, made up from a seed: the commands that its satellites lead to. Pure.

Stock is short on purpose, documents come twice or contradict each other, and partners of some never come.
"""

import random
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from tieout.contracts.event import Event
from tieout.contracts.finance import Allocation, SubmitPayment, SubmitRefund
from tieout.contracts.inventory import (
    AdjustmentLine,
    ReceiptLine,
    SubmitAdjustment,
    SubmitConfirmation,
    SubmitDelivery,
    SubmitReceipt,
)
from tieout.contracts.order import CancelLine, CreditLine, OrderLine, SubmitCancel, SubmitCredit, SubmitOrder

ONE = 1_000_000
SKUS = ("A", "B", "C")
WAREHOUSES = {  # Code -> stock policy and fulfilment.
    "MAIN": ("refuse", "auto"),
    "HAND": ("back_order", "confirmed"),
    "BACK": ("back_order", "auto"),
    "SHOP": ("allow_negative", "auto"),
}
SHOP, OFFICE = "shop", "office"
AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
DAY = date(2026, 1, 5)
KINDS: dict[type[Event], str] = {
    SubmitOrder: "order",
    SubmitCancel: "cancel",
    SubmitCredit: "credit",
    SubmitPayment: "payment",
    SubmitRefund: "refund",
    SubmitReceipt: "receipt",
    SubmitAdjustment: "adjustment",
    SubmitConfirmation: "confirmation",
    SubmitDelivery: "delivery",
}


class World:
    """`commands` in the order in which the gateway would have announced them: any order."""

    def __init__(self, company: str, chance: random.Random) -> None:
        self.company = company
        self.chance = chance
        self.commands: list[Event] = []
        self._made = 0
        for number in range(1, chance.randint(2, 4) + 1):
            self._story(f"{1000 + number}")
        for number in range(chance.randint(1, 3)):
            self._stock(f"GR{number}")
        for number in range(chance.randint(0, 2)):
            lines = (AdjustmentLine(1, chance.choice(SKUS), chance.choice((-3, -2, -1, 1)) * ONE),)
            self._say(SubmitAdjustment, f"COUNT{number}", OFFICE, self._warehouse(), lines=lines)
        chance.shuffle(self.commands)

    def _story(self, number: str) -> None:
        chance = self.chance
        lines = tuple(self._line(line_no) for line_no in range(1, chance.randint(1, 3) + 1))
        gross = sum(line.net_minor + line.tax_minor for line in lines)
        passes = "delivery" if chance.random() < 0.3 else "issue"
        order = self._say(SubmitOrder, number, SHOP, customer="K", currency="EUR", lines=lines, control_passes=passes)
        if chance.random() < 0.2:
            self._again(order, chance.random() < 0.5)
        sold = chance.choice(lines)
        if chance.random() < 0.3:
            some = (CancelLine(sold.line_no, ONE),) if chance.random() < 0.5 else ()
            self._say(SubmitCancel, f"X{number}", SHOP, order_number=number, lines=some)
        if chance.random() < 0.7:
            named = {"order_source": SHOP, "order_number": number}
            self._say(SubmitConfirmation, f"GI{number}", OFFICE, {"warehouse": "HAND"}, **named)
        if passes == "delivery" and chance.random() < 0.7:
            self._say(SubmitDelivery, f"DL{number}", OFFICE, order_source=SHOP, order_number=number)
        if chance.random() < 0.3:
            self._credit(number, sold)
        if chance.random() < 0.6:
            self._pay(number, gross)

    def _line(self, line_no: int) -> OrderLine:
        chance = self.chance
        pieces, price = chance.randint(1, 4), chance.randint(101, 999)
        return OrderLine(
            line_no,
            chance.choice(SKUS),
            pieces * ONE,
            pieces * price,
            pieces * price * 19 // 100,
            warehouse=chance.choice(tuple(WAREHOUSES)),
        )

    def _credit(self, number: str, sold: OrderLine) -> None:
        line = CreditLine(
            1,
            sold.sku,
            ONE,
            sold.net_minor * ONE // sold.quantity_micro,
            sold.tax_minor * ONE // sold.quantity_micro,
            order_number=number,
            order_line_no=sold.line_no,
            warehouse=sold.warehouse,
            restock=self.chance.choice(("yes", "no", "if_fulfilled", "scrap")),
        )
        more = {"customer": "K", "currency": "EUR", "order_number": number}
        credit = self._say(SubmitCredit, f"C{number}", SHOP, lines=(line,), **more)
        if self.chance.random() < 0.2:
            self._again(credit, False)

    def _pay(self, number: str, gross: int) -> None:
        chance = self.chance
        amount = chance.choice((gross, gross // 2 + 1, gross + 500))
        payment = self._say(
            SubmitPayment,
            f"P{number}",
            OFFICE,
            customer="K",
            currency="EUR",
            received_minor=amount,
            allocations=(Allocation(SHOP, number),),
        )
        if chance.random() < 0.3:
            self._again(payment, chance.random() < 0.3)
        if chance.random() < 0.3:
            named = {"order_source": SHOP, "order_number": number}
            self._say(
                SubmitRefund, f"R{number}", OFFICE, customer="K", currency="EUR", paid_minor=amount // 3 + 1, **named
            )

    def _stock(self, number: str) -> None:
        chance = self.chance
        lines = tuple(
            ReceiptLine(line_no, sku, chance.randint(1, 9) * ONE, chance.randint(100, 5_000))
            for line_no, sku in enumerate(chance.sample(SKUS, chance.randint(1, 3)), 1)
        )
        kind = chance.choice(("opening", "purchase"))
        receipt = self._say(SubmitReceipt, number, OFFICE, self._warehouse(), kind=kind, currency="EUR", lines=lines)
        if chance.random() < 0.2:
            self._again(receipt, False)

    def _warehouse(self) -> dict[str, Any]:
        return {"warehouse": self.chance.choice(tuple(WAREHOUSES))}

    def _say(
        self, kind: type[Event], number: str, source: str, place: dict[str, Any] | None = None, /, **content: Any
    ) -> Event:
        made: Event = kind(
            intake_id=self._intake_id(),
            company=self.company,
            source=source,
            number=number,
            version="1",
            fingerprint=sha256(f"{self.company} {source} {number}".encode()).hexdigest(),
            occurred_at=AT,
            zone="Europe/Berlin",
            business_date=DAY,
            **(place or {}),
            **content,
        )
        self.commands.append(made)
        return made

    def _again(self, command: Any, otherwise: bool) -> None:
        """The same document under a new intake id; `otherwise`: with other content, which must be a conflict."""
        fingerprint = sha256(b"other").hexdigest() if otherwise else command.fingerprint
        fields = {name: getattr(command, name) for name in command.__struct_fields__}
        self.commands.append(type(command)(**{**fields, "intake_id": self._intake_id(), "fingerprint": fingerprint}))

    def _intake_id(self) -> UUID:
        """As the gateway makes them: the lowest four bits count a document's commands."""
        self._made += 1
        return UUID(int=(self.chance.getrandbits(124) << 4))
