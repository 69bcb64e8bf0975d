"""Each document's own history, whatever the clocks said."""

from msgspec.structs import replace
from tieout.control.domain.history import Happened, waves

ORDER = Happened("order-place-orders", "order.submit.v1", "gateway", 1, 0, "e1", "A", "1", "C1", "2026-11-23T08:00:00Z")


def event(name: str, producer: str, position: int, at: str, cause: str = "", chain: str = "A", flow: str = "f"):
    return Happened(flow, f"{name}.v1", producer, position, 0, name, chain, "1", "C1", f"2026-11-23T{at}Z", cause)


def told(items) -> list[tuple[int, str, str]]:
    return [(wave, item.event_id, item.flow) for wave, item in waves(items)]


def test_effects_follow_their_causes_although_a_clock_was_behind() -> None:
    placed = event("placed", "order", 7, "08:00:05")
    shipped = event("shipped", "inventory", 3, "07:59:00", "placed")
    assert told([shipped, placed]) == [(0, "placed", "f"), (1, "shipped", "f")]


def test_a_later_document_of_an_order_comes_after_what_was_before() -> None:
    placed = event("placed", "order", 7, "08:00:05")
    shipped = event("shipped", "inventory", 3, "08:00:06", "placed")
    cancel = event("cancel", "gateway", 9, "08:30:00")
    assert [name for _, name, _ in told([cancel, shipped, placed])] == ["placed", "shipped", "cancel"]


def test_documents_go_side_by_side_the_older_first_and_each_event_to_each_of_its_flows() -> None:
    items = [
        event("b1", "order", 8, "08:00:09", chain="B"),
        event("a1", "order", 7, "08:00:05"),
        event("a1", "order", 7, "08:00:05", flow="g"),
        event("a2", "order", 9, "08:01:00"),
        event("a1", "order", 7, "08:00:05"),  # Chosen twice.
    ]
    assert told(items) == [(0, "a1", "f"), (0, "b1", "f"), (0, "a1", "g"), (1, "a2", "f")]


def test_a_circle_of_causes_ends() -> None:
    assert len(told([event("x", "order", 1, "08:00:00", "y"), event("y", "order", 2, "08:00:00", "x")])) == 2


def test_an_event_without_an_id_is_told_apart_by_its_place() -> None:
    one = replace(ORDER, event_id="", letter=1, sequence=4)
    assert len(waves([one, replace(one, sequence=5, letter=2)])) == 2
