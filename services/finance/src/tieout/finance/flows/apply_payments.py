"""finance.pay -> voucher_posted (T09 applied, T10 in excess, T11 before shipment), settled; or document_settled

Money for an order that has shipped lowers its receivable; before that it is a deposit (2204 and 2221.06), and without
a known order, or above it, unapplied cash (2203) until the order or its shipment comes.
"""

from tieout.contracts.finance import SubmitPayment
from tieout.finance import cash
from tieout.servicekit import Database, Received, batch_flow


@batch_flow("finance-apply-payments", SubmitPayment, size=500)
async def apply_payments(batch: list[Received[SubmitPayment]], database: Database) -> None:
    await cash.book(batch, database)
