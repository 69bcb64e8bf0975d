"""The promises hold: ids are standard UUIDs, envelopes are CloudEvents, and the committed schemas are those of now."""

import uuid
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from tieout.contracts.agreement import MEASURES, RebookRequest, RestartFlowRequest
from tieout.contracts.catalogue import CONTRACTS
from tieout.contracts.event import NAMESPACE, Envelope, event_id, order_id
from tieout.contracts.order import OrderPlaced, PlacedLine
from tieout.contracts.reason import Reason, ReasonIfAny, wrong_reason_of
from tieout.contracts.schemas import FOLDER, schemas
from tieout.contracts.streams import CORE_SERVICES, DEAD_STREAM, EVENTS, FLOW, FLOWS, UNHEARD, subjects_of


def envelope(**changed: Any) -> Envelope:
    placed = OrderPlaced(
        order_id=order_id("C1", "shop", "1001"),
        company="C1",
        source="shop",
        order_no="1001",
        customer="K1",
        currency="CNY",
        occurred_at=datetime(2026, 11, 23, tzinfo=UTC),
        zone="Asia/Shanghai",
        business_date=date(2026, 11, 23),
        net_minor=100,
        tax_minor=13,
        lines=(PlacedLine(line_no=1, sku="A", quantity_micro=1_000_000, net_minor=100, tax_minor=13),),
    )
    given: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id(OrderPlaced.SUBJECT, placed.order_id),
        "source": "/order",
        "type": OrderPlaced.SUBJECT,
        "time": "2026-11-23T00:00:00Z",
        "pos": str(2**40),
        "chainid": str(placed.order_id),
        "orderno": "1001",
        "company": "C1",
        "data": msgspec.Raw(msgspec.json.encode(placed)),
    }
    return Envelope(**(given | changed))


def test_an_event_id_is_the_standard_uuid_of_its_kind_and_key() -> None:
    assert event_id("order.placed.v1", "C1", 7) == str(uuid.uuid5(NAMESPACE, "order.placed.v1|C1|7"))


def test_the_official_sdk_reads_our_envelope_with_its_extensions() -> None:
    sent = envelope()
    event = JSONFormat().read(None, msgspec.json.encode(sent))
    assert (event.get_id(), event.get_type(), event.get_source()) == (sent.id, sent.type, sent.source)
    assert event.get_extension("pos") == str(2**40)  # A CloudEvents Integer would end at 2**31.
    assert event.get_extension("chainid") == sent.chainid
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["order_no"] == "1001"


def test_the_official_sdk_finds_our_attributes_valid_and_would_refuse_a_bad_name() -> None:
    attributes = msgspec.json.decode(msgspec.json.encode(envelope()))
    del attributes["data"]
    attributes["time"] = datetime.fromisoformat(attributes["time"])  # What the SDK's own reader does.
    CloudEvent(attributes)
    attributes["order_no"] = attributes.pop("orderno")  # Underscores are not allowed in extension names.
    with pytest.raises(CloudEventValidationError):
        CloudEvent(attributes)


def test_every_subject_has_one_producer_and_every_flow_hears_one_producer() -> None:
    published = [subject for producer in CORE_SERVICES for subject in subjects_of(producer)]
    assert len(published) == len(set(published))
    for flow in FLOWS:
        if flow.stream != DEAD_STREAM:
            assert set(flow.subjects) <= set(subjects_of(flow.producer)), flow
        assert flow.service in CORE_SERVICES


def test_every_event_is_heard_by_somebody_or_is_an_answer() -> None:
    heard = {subject for flow in FLOWS for subject in flow.subjects}
    assert set(EVENTS) - heard == UNHEARD, "add its flow to FLOWS, or the subject to UNHEARD"


def test_every_book_of_a_measure_is_filled_by_flows_that_hear_its_producer() -> None:
    for measure in MEASURES:
        assert len(measure.books) >= 2, measure.name
        for book in measure.books:
            for durable in book.durables:
                assert FLOW[durable].service == book.service
                assert FLOW[durable].producer == measure.producer


def test_the_committed_schemas_are_those_of_the_code() -> None:
    for stem, document in schemas().items():
        committed = msgspec.json.decode((FOLDER / f"{stem}.json").read_bytes())
        now = msgspec.json.decode(msgspec.json.encode(document))
        assert now == committed, "run: python -m tieout.contracts.schemas, and commit what it writes"


SAYS_WHY = ("reason", "note", "why")
CODES = {"DismissMany.reason", "ResubmitMany.reason", "ListQuarantine.reason"}  # Of the gateway's refusals.


def test_whoever_says_why_says_it_by_one_rule():
    """Of every request of a person, and of what services ask each other for one."""
    asked = [operation.request for contract in CONTRACTS for operation in contract.OPERATIONS]
    found = {
        f"{kind.__name__}.{field.name}": field.type
        for kind in (*asked, RebookRequest, RestartFlowRequest)
        for field in msgspec.structs.fields(kind)
        if field.name in SAYS_WHY
    }
    assert {name for name, kind in found.items() if kind not in (Reason, ReasonIfAny)} == CODES
    assert len(found) > len(CODES) + 12


@pytest.mark.parametrize(
    ("kind", "told", "wrong"),
    [
        (Reason, "x", ""),
        (Reason, " \t", "say why"),
        (Reason, None, "say why"),
        (Reason, "x" * 2001, "these are 2,001"),
        (ReasonIfAny, None, ""),
        (ReasonIfAny, " ", ""),
        (ReasonIfAny, "x" * 2001, "these are 2,001"),
        (str, "", ""),
        (Reason, 7, ""),  # No text: that is told by the contract's type.
    ],
)
def test_a_reason_that_is_none_is_told_with_the_next_step(kind, told, wrong):
    assert wrong in wrong_reason_of(kind, told)
    assert bool(wrong_reason_of(kind, told)) == bool(wrong)
