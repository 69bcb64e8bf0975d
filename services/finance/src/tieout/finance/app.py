"""The only file that knows everything: which flows and operations make the finance service."""

from tieout.finance import reads
from tieout.finance.flows.apply_money import apply_money
from tieout.finance.flows.bill_shipments import bill_shipments
from tieout.finance.flows.book_cash import book_cash
from tieout.finance.flows.close_period import close_period
from tieout.finance.flows.credit_returns import credit_returns
from tieout.finance.flows.decide_request import decide_request
from tieout.finance.flows.declare_free_goods import declare_free_goods
from tieout.finance.flows.issue_invoice import issue_invoice
from tieout.finance.flows.note_orders import note_orders
from tieout.finance.flows.post_stock import post_stock
from tieout.finance.flows.put_company import put_company
from tieout.finance.flows.put_rate import put_rate
from tieout.finance.flows.release_deposits import release_deposits
from tieout.finance.flows.request_approval import (
    request_count_approval,
    request_provision,
    request_reopening,
    request_write_off,
)
from tieout.finance.flows.revalue_period import revalue_period
from tieout.finance.flows.take_discount import take_discount
from tieout.finance.period_postings import period_postings
from tieout.finance.periods import list_periods
from tieout.finance.settings import Settings
from tieout.servicekit import Service, sql


def build(settings: Settings) -> Service:
    return Service(
        "finance",
        settings,
        migrations=sql.folder(__file__, "migrations"),
        flows=(note_orders, bill_shipments, release_deposits, credit_returns, post_stock, book_cash),
        operations=(
            put_company,
            close_period,
            issue_invoice,
            request_reopening,
            request_write_off,
            request_count_approval,
            request_provision,
            decide_request,
            take_discount,
            apply_money,
            declare_free_goods,
            put_rate,
            revalue_period,
            reads.list_requests,
            reads.list_standing_counts,
            reads.list_companies,
            reads.show_chart,
            reads.list_vouchers,
            reads.show_voucher,
            reads.show_trial_balance,
            reads.list_receivables,
            reads.show_outcomes,
            reads.show_turnovers,
            period_postings,
            list_periods,
        ),
        trail=reads.trail,
        violations=sql.load_file(__file__, "violations.sql"),
    )
