"""What the control team promises: tickets and disagreements, and answers about journeys, agreement and status."""

from typing import ClassVar

from tieout.contracts.event import Event


class DisagreementFound(Event, frozen=True):
    """Two books differ below the watermark, and nothing in flight explains it."""

    SUBJECT: ClassVar = "control.disagreement_found.v1"
    PRODUCER: ClassVar = "control"

    measure: str
    position: int
    chain_id: str
    order_no: str
    detail: str
