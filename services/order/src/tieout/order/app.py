"""The only file that knows everything: which flows and operations make the order service."""

from tieout.order import commands, reads
from tieout.order.flows.accept_credits import accept_credits
from tieout.order.flows.note_inventory import note_inventory
from tieout.order.flows.note_settlements import note_settlements
from tieout.order.flows.place_orders import place_orders
from tieout.order.flows.put_credit_limit import list_credit_limits, put_credit_limit
from tieout.order.flows.request_cancellations import request_cancellations
from tieout.order.settings import Settings
from tieout.servicekit import Service, sql


def build(settings: Settings) -> Service:
    return Service(
        "order",
        settings,
        migrations=sql.folder(__file__, "migrations"),
        flows=(place_orders, request_cancellations, accept_credits, note_inventory, note_settlements),
        operations=(
            reads.show_order,
            reads.list_orders,
            reads.show_outcomes,
            commands.cancel_order,
            put_credit_limit,
            list_credit_limits,
        ),
        trail=reads.trail,
        violations=sql.load_file(__file__, "violations.sql"),
    )
