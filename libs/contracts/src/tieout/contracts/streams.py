"""Which stream holds which subject, and who hears it: NATS permissions, stream settings and charts derive from it.

One stream per producer. A stream with one writer can be audited against that writer's outbox, and restored from it.
"""

from msgspec import Struct
from tieout.contracts.catalogue import CONTRACTS
from tieout.contracts.event import Event

# In the order of the chain. Databases, roles, NATS users, streams and what the stack starts follow from it.
CORE_SERVICES = ("gateway", "order", "inventory", "finance", "control")
FOLLOWED = tuple(service for service in CORE_SERVICES if service != "control")  # By control, through their notices.


def _events() -> dict[str, type[Event]]:
    found: dict[str, type[Event]] = {}
    for module in CONTRACTS:
        for thing in vars(module).values():
            if isinstance(thing, type) and issubclass(thing, Event) and hasattr(thing, "SUBJECT"):
                found[thing.SUBJECT] = thing
    return found


EVENTS: dict[str, type[Event]] = _events()  # By subject.


def notice_subject(producer: str) -> str:
    return f"{producer}.notice.v1"


def stream_of(producer: str) -> str:
    return producer.upper()


def subjects_of(producer: str) -> tuple[str, ...]:
    """All that a service may publish to its own stream."""
    own = [subject for subject, event in EVENTS.items() if producer == event.PRODUCER]
    return (*sorted(own), notice_subject(producer))


DEAD_STREAM = "DEAD"  # Many writers: dead.<service>.<flow>
DEAD_SUBJECT = "dead.>"


def dead_subject(service: str, durable: str) -> str:
    return f"dead.{service}.{durable}"


def site_stream(site: str) -> str:
    """The hub's copy of what a leaf site sold; sourced, never published to."""
    return f"INTAKE_{site.upper().replace('-', '_')}"


class Hears(Struct, frozen=True):
    """A flow: one durable pull consumer on one producer's stream."""

    durable: str  # <service>-<flow>
    subjects: tuple[str, ...]

    @property
    def service(self) -> str:
        return self.durable.partition("-")[0]

    @property
    def producer(self) -> str:
        first = self.subjects[0]
        return EVENTS[first].PRODUCER if first in EVENTS else first.partition(".")[0]

    @property
    def stream(self) -> str:
        return stream_of(self.producer)


FLOWS = (
    Hears("order-place-orders", ("order.submit.v1",)),
    Hears("order-request-cancellations", ("order.cancel.v1",)),
    Hears("order-accept-credits", ("order.credit.v1",)),
    Hears(
        "order-note-inventory",
        (
            "inventory.reserved.v1",
            "inventory.refused.v1",
            "inventory.cancel_decided.v1",
            "inventory.shipped.v1",
            "inventory.delivered.v1",
            "inventory.returned.v1",
        ),
    ),
    Hears("order-note-settlements", ("finance.settled.v1",)),
    Hears("inventory-reserve-stock", ("order.placed.v1",)),
    Hears("inventory-decide-cancellations", ("order.cancel_requested.v1",)),
    Hears("inventory-take-back", ("order.returned.v1",)),
    Hears("inventory-receive-goods", ("inventory.receive.v1",)),
    Hears("inventory-adjust-stock", ("inventory.adjust.v1",)),
    Hears("inventory-confirm-shipments", ("inventory.confirm.v1",)),
    Hears("inventory-confirm-deliveries", ("inventory.deliver.v1",)),
    Hears(
        "inventory-note-calendar",
        ("finance.company_opened.v1", "finance.period_closed.v1", "finance.period_reopened.v1"),
    ),
    Hears("finance-note-orders", ("order.placed.v1",)),
    Hears("finance-bill-shipments", ("inventory.shipped.v1", "inventory.delivered.v1")),
    Hears("finance-release-deposits", ("inventory.refused.v1", "inventory.cancel_decided.v1")),
    Hears("finance-credit-returns", ("order.returned.v1",)),
    Hears(
        "finance-post-stock",
        (
            "inventory.returned.v1",
            "inventory.received.v1",
            "inventory.adjusted.v1",
            "inventory.revalued.v1",
            "inventory.recalled.v1",
        ),
    ),
    Hears("finance-book-cash", ("finance.pay.v1", "finance.refund.v1")),
    Hears("gateway-note-articles", ("inventory.articles_listed.v1",)),
    Hears("gateway-note-companies", ("finance.company_opened.v1",)),
    *(Hears(f"control-follow-{producer}", (notice_subject(producer),)) for producer in FOLLOWED),
    Hears("control-report-order", ("order.conflicted.v1",)),
    Hears("control-report-inventory", ("inventory.cancel_decided.v1", "inventory.document_settled.v1")),
    Hears(
        "control-report-finance",
        ("finance.document_settled.v1", "finance.claim_settled.v1", "finance.claim_reopened.v1"),
    ),
    Hears("control-collect-dead", (DEAD_SUBJECT,)),  # The one flow that hears every service; no envelopes in there.
)
# Answers that no flow of ours waits for: journeys, feeders and people read them. What else nobody hears is a mistake.
UNHEARD = frozenset(
    {
        "order.completed.v1",
        "order.repeated.v1",
        "finance.receivable_opened.v1",
        "finance.voucher_posted.v1",
        "control.disagreement_found.v1",
        "control.claims_set_aside.v1",
        "control.ticket_opened.v1",
        "control.ticket_resolved.v1",
    }
)
FLOW: dict[str, Hears] = {flow.durable: flow for flow in FLOWS}
