"""finance.refund -> voucher_posted (T08), settled; or document_settled

Money goes back from where it stands: what was held unapplied, refundable or as deposit first, then what was applied.
What never came is a claim on the customer: the money has left. That is told as `above_received`.
"""

from tieout.contracts.finance import SubmitRefund
from tieout.finance import cash
from tieout.servicekit import Database, Received, batch_flow


@batch_flow("finance-pay-refunds", SubmitRefund, size=500)
async def pay_refunds(batch: list[Received[SubmitRefund]], database: Database) -> None:
    await cash.book(batch, database)
