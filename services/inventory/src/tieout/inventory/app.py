"""Inventory as one page: what it hears, what it answers, what it proves."""

from tieout.inventory import reads
from tieout.inventory.flows.adjust_stock import adjust_stock
from tieout.inventory.flows.confirm_deliveries import confirm_deliveries, deliver_shipment
from tieout.inventory.flows.confirm_shipments import confirm_shipment, confirm_shipments
from tieout.inventory.flows.decide_cancellations import decide_cancellations
from tieout.inventory.flows.note_calendar import note_calendar
from tieout.inventory.flows.put_articles import put_articles
from tieout.inventory.flows.put_warehouse import put_warehouse
from tieout.inventory.flows.receive_goods import receive_goods
from tieout.inventory.flows.reserve_stock import reserve_stock
from tieout.inventory.flows.take_back import take_back
from tieout.inventory.flows.value_period import value_period
from tieout.inventory.period_moves import period_moves
from tieout.inventory.settings import Settings
from tieout.servicekit import Service, sql


def build(settings: Settings) -> Service:
    return Service(
        "inventory",
        settings,
        migrations=sql.folder(__file__, "migrations"),
        flows=(
            reserve_stock,
            decide_cancellations,
            confirm_shipments,
            confirm_deliveries,
            take_back,
            receive_goods,
            adjust_stock,
            note_calendar,
        ),
        operations=(
            put_warehouse,
            put_articles,
            confirm_shipment,
            deliver_shipment,
            value_period,
            reads.list_warehouses,
            reads.list_stock,
            reads.list_moves,
            reads.outcomes,
            period_moves,
        ),
        trail=reads.trail,
        violations=sql.load_file(__file__, "violations.sql"),
    )
