"""finance.pay, finance.refund -> voucher_posted (T09 applied, T10 in excess, T11 before shipment, T08), settled,
document_settled

Money for an order that has shipped lowers its receivable; before that it is a deposit (2204 and 2221.06), and without
a known order, or above it, unapplied cash (2203) until the order or its shipment comes. Money goes back from where it
stands: what was held unapplied, refundable or as deposit first, then what was applied. What never came is a claim on
the customer: the money has left. That is told as `above_received`.

Both are one flow, so that a payment is booked before the refund that was handed over after it: as two, they raced, and
people were asked for money that was a moment behind.
"""

from tieout.contracts.finance import SubmitPayment, SubmitRefund
from tieout.finance import cash
from tieout.servicekit import Database, batch_flow


@batch_flow("finance-book-cash", SubmitPayment, SubmitRefund, size=500)
async def book_cash(batch: list[cash.Submitted], database: Database) -> None:
    await cash.book(batch, database)
