"""What may change in a contract, and what is refused: each rule with the change that a hurried person would make."""

import subprocess
import sys
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta
from tieout.contracts import compare
from tieout.contracts.catalogue import CONTRACTS
from tieout.contracts.finance import OrdersSettled
from tieout.contracts.order import CancelOrder, OrderCompleted, OrderPlaced, OrderReturned, OrderView, PlacedLine
from tieout.contracts.schemas import document, schemas

PLACED = OrderPlaced.SUBJECT


def promised(producer: str = "order", **types: type) -> compare.Documents:
    """A contract of these messages alone: `placed=OrderPlaced` stands under the subject order.placed.v1."""
    messages = {f"{producer}.{name}": kind for name, kind in types.items()}
    return {producer: {"stream": producer.upper(), **document("", messages)}}


def changed(event: type, *without: str, **fields: Any) -> type:
    """The event as somebody edited it: fields left out, of another type, or new; `(type, default)` or only a type."""
    kept = {field.encode_name: field for field in msgspec.structs.fields(event)}
    definition: list[Any] = []
    for name, field in kept.items():
        if name in without:
            continue
        given = fields.pop(name, None)
        kind, default = given if isinstance(given, tuple) else (given or field.type, field.default)
        definition.append((name, kind) if default is msgspec.NODEFAULT else (name, kind, default))
    definition += [(name, *given) if isinstance(given, tuple) else (name, given) for name, given in fields.items()]
    return msgspec.defstruct(event.__name__, definition, kw_only=True)


def found(before: compare.Documents, after: compare.Documents) -> list[str]:
    return [f"{one.where}: {one.what}" for one in compare.compare(before, after) if one.refused]


def edited(event: type, subject: str, *without: str, **fields: Any) -> list[str]:
    before, after = {subject: event}, {subject: changed(event, *without, **fields)}
    return found({"order": document("", before)}, {"order": document("", after)})


def test_a_field_with_a_default_may_be_added() -> None:
    assert edited(OrderPlaced, PLACED, channel=(str, "")) == []


def test_an_event_may_be_added() -> None:
    assert found(promised(placed=OrderPlaced), promised(placed=OrderPlaced, returned=OrderReturned)) == []


def test_a_removed_event_is_refused() -> None:
    assert found(promised(placed=OrderPlaced, completed=OrderCompleted), promised(placed=OrderPlaced)) == [
        "order.completed: is gone"
    ]


def test_a_renamed_event_is_refused_and_the_new_name_told() -> None:
    before, after = {PLACED: OrderPlaced}, {"order.created.v1": OrderPlaced}
    assert found({"order": document("", before)}, {"order": document("", after)}) == [
        "order.placed.v1: is gone, and order.created.v1 has its content"
    ]


def test_an_event_that_was_retired_may_go() -> None:
    before, after = promised(placed=OrderPlaced, completed=OrderCompleted), promised(placed=OrderPlaced)
    assert compare.compare(before, after, frozenset({"order.completed"})) == []


def test_a_removed_field_is_refused() -> None:
    assert edited(OrderPlaced, PLACED, "customer") == ["order.placed.v1 customer: is gone"]


def test_a_renamed_field_is_refused_twice_as_gone_and_as_required() -> None:
    assert edited(OrderPlaced, PLACED, "customer", buyer=str) == [
        "order.placed.v1 customer: is gone",
        "order.placed.v1 buyer: is new and required",
    ]


def test_a_changed_type_is_refused() -> None:
    assert edited(OrderPlaced, PLACED, net_minor=str) == ["order.placed.v1 net_minor: was integer and is string"]
    assert edited(OrderPlaced, PLACED, business_date=str) == [
        "order.placed.v1 business_date: was date string and is string"
    ]


def test_a_changed_type_within_the_lines_is_refused_and_named_to_the_end() -> None:
    lines = tuple[changed(PlacedLine, quantity_micro=float), ...]  # type: ignore[misc]
    assert edited(OrderPlaced, PLACED, lines=lines) == [
        "order.placed.v1 lines[].quantity_micro: was integer and is number"
    ]


def test_another_name_of_a_type_changes_nothing_on_the_wire() -> None:
    lines = tuple[msgspec.defstruct("Line", [], bases=(PlacedLine,), frozen=True), ...]  # type: ignore[misc]
    assert edited(OrderPlaced, PLACED, lines=lines) == []


def test_a_new_required_field_is_refused() -> None:
    assert edited(OrderPlaced, PLACED, channel=str) == ["order.placed.v1 channel: is new and required"]


def test_a_field_that_becomes_required_is_refused() -> None:
    assert edited(OrderPlaced, PLACED, due_days=(int, msgspec.NODEFAULT)) == [
        "order.placed.v1 due_days: is required now"
    ]


def test_a_default_for_a_required_field_is_refused_since_it_would_not_be_written() -> None:
    assert edited(OrderPlaced, PLACED, customer=(str, "")) == ["order.placed.v1 customer: has a default now"]


def test_another_default_is_refused_since_it_was_not_written() -> None:
    assert edited(OrderPlaced, PLACED, due_days=(int, 14)) == ["order.placed.v1 due_days: its default was 30 and is 14"]


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (Meta(max_length=50), "its maxLength was 100 and is 50"),
        (Meta(max_length=100, min_length=2), "its minLength was 1 and is 2"),
        (Meta(max_length=100, min_length=1, pattern="^[0-9]+$"), "must be like ^[0-9]+$, and was like anything"),
    ],
)
def test_a_narrowed_limit_is_refused(limit: Meta, told: str) -> None:
    kind = Annotated[str, limit]
    assert [one for one in edited(OrderPlaced, PLACED, order_no=kind) if "minLength is" not in one][:1] == [
        f"order.placed.v1 order_no: {told}"
    ]


def test_a_value_that_is_taken_from_a_list_is_refused() -> None:
    assert edited(OrderPlaced, PLACED, control_passes=(Literal["issue"], "issue")) == [
        'order.placed.v1 control_passes: may not be "delivery" any more'
    ]


def test_a_value_that_is_added_to_a_list_is_no_break_but_readers_come_first() -> None:
    after = changed(OrderPlaced, control_passes=(Literal["issue", "delivery", "payment"], "issue"))
    (one,) = compare.compare({"order": document("", {PLACED: OrderPlaced})}, {"order": document("", {PLACED: after})})
    assert not one.refused
    assert one.what == 'may be "payment" too'
    assert "deploy finance, inventory before its producer" in one.next


def test_a_wider_limit_is_no_break_but_readers_come_first() -> None:
    after = changed(OrderPlaced, order_no=Annotated[str, Meta(min_length=1, max_length=200)])
    (one,) = compare.compare({"order": document("", {PLACED: OrderPlaced})}, {"order": document("", {PLACED: after})})
    assert (one.refused, one.what) == (False, "its maxLength was 100 and is 200")


def test_another_producer_is_refused() -> None:
    before = {"order": document("", {}), "finance": document("", {OrdersSettled.SUBJECT: OrdersSettled})}
    after = {"order": document("", {OrdersSettled.SUBJECT: OrdersSettled}), "finance": document("", {})}
    assert found(before, after) == ["finance.settled.v1: was published by finance and is by order"]


def test_another_stream_is_refused() -> None:
    before, after = promised(placed=OrderPlaced), promised(placed=OrderPlaced)
    after["order"]["stream"] = "SALES"
    assert found(before, after) == ["order.placed: was in stream ORDER and is in SALES"]


def test_every_finding_names_the_next_step() -> None:
    (one,) = compare.compare(
        {"order": document("", {PLACED: OrderPlaced})},
        {"order": document("", {PLACED: changed(OrderPlaced, net_minor=str)})},
    )
    assert one.next == "Add a field beside net_minor, or announce order.placed.v2 beside order.placed.v1."


def sides(**types: type) -> compare.Documents:
    """One operation, `order.cancel`, with what it is asked and what it answers."""
    named = {f"order.cancel {side}": kind for side, kind in types.items()}
    return {"order-operations": {"routes": {"order.cancel": "POST /v1/cancel"}, **document("", named)}}


def asked(*without: str, **fields: Any) -> list[compare.Found]:
    return compare.compare(sides(asked=CancelOrder), sides(asked=changed(CancelOrder, *without, **fields)))


def test_a_field_taken_from_a_request_is_refused() -> None:
    assert [str(one).split("\n")[0] for one in asked("reason") if one.refused] == ["order.cancel asked reason: is gone"]


def test_a_field_that_a_request_newly_requires_is_refused() -> None:
    assert [one.what for one in asked(approver=str)] == ["is new and required"]
    assert asked(approver=(str, "")) == []


def test_a_request_may_require_less_and_its_owner_comes_first() -> None:
    (order_no, *_) = msgspec.structs.fields(CancelOrder)
    (one,) = asked(order_no=(order_no.type, "1001"))
    assert (one.what, one.refused) == ("has a default now", False)
    assert "deploy order before the gateway" in one.next


def test_a_field_taken_from_an_answer_is_refused() -> None:
    before, after = sides(answered=OrderView), sides(answered=changed(OrderView, "documents"))
    assert found(before, after) == ["order.cancel answered documents: is gone"]


def test_another_route_is_refused() -> None:
    after = sides(asked=CancelOrder)
    after["order-operations"]["routes"] = {"order.cancel": "PUT /v1/cancel"}
    assert found(sides(asked=CancelOrder), after) == ["order.cancel: was POST /v1/cancel and is PUT /v1/cancel"]


def test_an_operation_that_is_gone_is_told_once_and_may_be_retired() -> None:
    before = sides(asked=CancelOrder, answered=OrderView)
    assert found(before, sides()) == ["order.cancel: is gone"]
    assert compare.compare(before, sides(), frozenset({"order.cancel"})) == []


def test_every_operation_is_among_what_is_compared() -> None:
    compared = {name for document in schemas().values() for name in document.get("routes", ())}
    assert compared == {one.name for contract in CONTRACTS for one in getattr(contract, "OPERATIONS", ())}


def test_nothing_that_the_last_release_promised_is_broken() -> None:
    now = msgspec.json.decode(msgspec.json.encode(schemas()))
    refused = [
        one for one in compare.compare(compare.of_folder(compare.RELEASED), now, compare.retired()) if one.refused
    ]
    assert not refused, "\n".join(map(str, refused))


def test_the_command_compares_with_a_commit_and_says_what_to_do_where_there_is_none() -> None:
    asked = [sys.executable, "-m", "tieout.contracts.compare", "no-such-branch"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Name a commit of this repository" in done.stderr
