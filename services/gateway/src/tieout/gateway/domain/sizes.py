"""How much one announcement would hold of a document, so that it is refused at the door and not deep inside.

One message each. What is said of a whole credit note at once is order.returned: each linked line names its
sale there, so it is longer than the command that brought it. What is said of a whole order is inventory.shipped.
"""

from typing import Any

import msgspec
from tieout.contracts.inventory import ShippedLine
from tieout.contracts.order import ReturnedLine, SubmitCredit, SubmitOrder
from tieout.gateway.domain.faults import Fault

ANNOUNCED_BYTES_MAX = 950_000  # Of the 1,000,000 of a message; the rest is for its head and its envelope.

_encode = msgspec.json.Encoder().encode


def check(command: Any) -> None:
    """Raises Fault for an order or a credit note that nobody could announce as a whole."""
    if isinstance(command, SubmitCredit):
        size, what = len(_encode(_returned(command))), "credit note"
    elif isinstance(command, SubmitOrder):
        size, what = len(_encode(_shipped(command))), "order"
    else:
        size, what = len(_encode(command)), "document"
    size = max(size, len(_encode(command)))
    if size > ANNOUNCED_BYTES_MAX:
        count = len(getattr(command, "lines", ()))
        most = count * ANNOUNCED_BYTES_MAX // size
        detail = (
            f"{count} lines need {size} bytes in one message; {ANNOUNCED_BYTES_MAX} are possible, about {most} such "
            f"lines. Send the {what} as several, each with a number of its own"
        )
        raise Fault("too_large", "lines", detail)


def _returned(credit: SubmitCredit) -> list[ReturnedLine]:
    return [
        ReturnedLine(
            line.line_no,
            line.sku,
            line.quantity_micro,
            line.net_minor,
            line.tax_minor,
            credit.intake_id if line.order_number or credit.order_number else None,  # As long as the order's id.
            line.order_line_no,
            line.warehouse,
            line.kind,
            line.account,
            line.restock != "no",
            line.part,
            line.restock == "scrap",
        )
        for line in credit.lines
    ]


def _shipped(order: SubmitOrder) -> list[ShippedLine]:
    """At its longest: goods that were held before, at a cost as long as their price."""
    return [
        ShippedLine(
            line.line_no,
            line.sku,
            0,
            line.quantity_micro,
            line.quantity_micro,
            line.net_minor,
            line.tax_minor,
            line.net_minor,
            line.warehouse,
            line.kind,
            line.account,
            from_reserved=True,
            residual_minor=line.residual_minor,
        )
        for line in order.lines
    ]
