"""What a batch decided, as rows to write and events to announce. Positions are drawn once, for all of them together."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from tieout.contracts.event import Event, event_id
from tieout.contracts.inventory import (
    CancelDecided,
    GoodsDelivered,
    GoodsRecalled,
    GoodsShipped,
    MovedLine,
    OrderRefused,
    RecalledLine,
    RefusedLine,
    ReservedLine,
    ShippedLine,
    StockReserved,
    StockRevalued,
    StoppedLine,
)
from tieout.contracts.order import ControlPasses
from tieout.inventory.domain import Hold, Part, Stop, Wanted
from tieout.inventory.valuation import Stock
from tieout.servicekit import Received, Transaction

if TYPE_CHECKING:
    from tieout.inventory.stockroom import House, Order

LINES_PER_SHIPMENT_MAX = 2_000  # A message holds 1 MiB; larger shipments are announced in several.


def columns(names: str) -> tuple[str, ...]:
    return tuple(names.split())


MOVES = columns(
    "position line_no kind stock_id seq quantity_micro value_minor from_micro to_micro from_reserved "
    "order_position order_line_no chain_id document_no business_date period"
)
RESERVATIONS = columns("position line_no kind order_id order_position stock_id reserved_micro back_ordered_micro")
OPEN_LINES = columns("order_id line_no order_position stock_id reserved_micro back_ordered_micro since")
STOPS = columns(
    "position line_no kind order_id order_position short "
    "quantity_micro back_ordered_micro reserved_micro too_late_micro issued_micro"
)
TRANSIT = columns("position line_no kind order_id order_position quantity_micro value_minor")
CANCELLATIONS = columns("cancel_id ordinal position order_id")

Row = tuple[Any, ...]
Cause = Received[Any] | None


class Head(Protocol):
    """What a shipment repeats of its order: an OrderPlaced has it, and an order that was loaded."""

    @property
    def order_id(self) -> UUID: ...
    @property
    def company(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def order_no(self) -> str: ...
    @property
    def customer(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def due_days(self) -> int: ...
    @property
    def rate_micro(self) -> int: ...
    @property
    def net_minor(self) -> int: ...
    @property
    def tax_minor(self) -> int: ...
    @property
    def control_passes(self) -> ControlPasses: ...


class Moved:
    """One valued line of a document: quantity and value signed, as they move the stock."""

    __slots__ = ("line_no", "order_line_no", "order_position", "quantity", "seq", "stock", "value")

    def __init__(self, line_no: int, stock: Stock, quantity: int, value: int, seq: int) -> None:
        self.line_no = line_no
        self.stock = stock
        self.quantity = quantity
        self.value = value
        self.seq = seq
        self.order_position: int | None = None  # Linked return: the sale's order.placed, and the line there.
        self.order_line_no: int | None = None

    @property
    def told(self) -> MovedLine:
        return MovedLine(self.line_no, self.stock.sku, self.quantity, self.value)


class Journal:
    """Noted while deciding, written by `save`. The order of the notes is the order of the positions."""

    def __init__(self, houses: Mapping[str, "House"]) -> None:
        self._houses = houses
        self._notes: list[tuple[Any, ...]] = []  # A writing method and its arguments.
        self._moves: list[Row] = []
        self._reservations: list[Row] = []
        self._open_lines: list[Row] = []
        self._stops: list[Row] = []
        self._cancellations: list[Row] = []
        self._transit: list[Row] = []

    async def save(self, tx: Transaction) -> None:
        for position, (write, *rest) in zip(await tx.positions(len(self._notes)), self._notes, strict=True):
            write(tx, position, *rest)
        for table, columns, rows in (
            ("move", MOVES, self._moves),
            ("reservation", RESERVATIONS, self._reservations),
            ("open_line", OPEN_LINES, self._open_lines),
            ("stop", STOPS, self._stops),
            ("cancellation", CANCELLATIONS, self._cancellations),
            ("transit", TRANSIT, self._transit),
        ):
            if rows:
                await tx.copy(table, columns=columns, records=rows)

    # ---- new orders, whose facts stand under the position of their order.placed

    def placed_promised(self, head: Head, order_position: int, holds: Sequence[Hold], cause: Cause) -> None:
        self._notes.append((self._promised, head, order_position, 1, holds, cause, True))

    def placed_left(self, head: Head, order_position: int, parts: Sequence[Part], day: date, cause: Cause) -> None:
        for ordinal, start in enumerate(range(0, len(parts), LINES_PER_SHIPMENT_MAX), 1):
            some = parts[start : start + LINES_PER_SHIPMENT_MAX]
            self._notes.append((self._left, head, order_position, ordinal, some, day, cause))

    def refused(self, head: Head, order_position: int, lines: Sequence[tuple[Wanted, bool]], cause: Cause) -> None:
        """`lines` are all of the order, each with whether it is the reason."""
        self._notes.append((self._refused, head, order_position, lines, cause))

    # ---- orders that were placed before

    def promised(self, order: "Order", holds: Sequence[Hold], cause: Cause) -> None:
        if holds:
            order.promises += 1
            self._notes.append((self._promised, order, order.position, order.promises, holds, cause, False))

    def left(self, order: "Order", parts: Sequence[Part], day: date, cause: Cause) -> None:
        for start in range(0, len(parts), LINES_PER_SHIPMENT_MAX):
            order.shipments += 1
            some = parts[start : start + LINES_PER_SHIPMENT_MAX]
            self._notes.append((self._left, order, order.position, order.shipments, some, day, cause))

    def delivered(self, order: "Order", parts: Sequence[Part], day: date, document_no: str, cause: Cause) -> None:
        for start in range(0, len(parts), LINES_PER_SHIPMENT_MAX):
            order.deliveries += 1
            some = parts[start : start + LINES_PER_SHIPMENT_MAX]
            self._notes.append((self._delivered, order, order.deliveries, some, day, document_no, cause))

    def recalled(
        self,
        order: "Order",
        cancel_id: UUID,
        stops: Sequence[Stop],
        back: Sequence["Moved"],
        day: date,
        cause: Cause,
    ) -> None:
        """Goods that a cancellation stopped on their way are back in stock (`back`), as their stops tell."""
        self._notes.append((self._recalled, order, cancel_id, stops, back, day, cause))

    def cancelled(
        self, order: "Order", cancel_id: UUID, ordinal: int, stops: Sequence[Stop], day: date, cause: Cause
    ) -> None:
        """`ordinal` above 1: an earlier decision is corrected, because goods left all the same."""
        self._notes.append((self._cancelled, order, cancel_id, ordinal, stops, day, cause))

    # ---- documents

    def moved(
        self,
        kind: str,
        event: Event,
        company: str,
        document: tuple[UUID, str, date],
        lines: Sequence[Moved],
        cause: Cause,
        *,
        key: UUID | None = None,
        chain: str = "",
        order_no: str = "",
    ) -> None:
        """Goods or value of a document (id, number, business date) came or went, as `event` tells. `key` is the
        event's business id, the document's where it is left out; so are chain and number."""
        self._notes.append((self._moved, kind, event, company, document, lines, cause, key, chain, order_no))

    def revalued(
        self,
        company: str,
        warehouse: str,
        document: tuple[UUID, str, date],
        lines: Sequence[Moved],
        cause: Cause,
    ) -> None:
        """Value moved without goods, because of that document."""
        if not lines:
            return
        house = self._houses[company]
        document_id, number, day = document
        revaluation_id = UUID(event_id("revaluation", document_id, warehouse))
        told = tuple(line.told for line in lines)
        event = StockRevalued(revaluation_id, company, warehouse, number, house.currency, day, house.period(day), told)
        self.moved("revaluation", event, company, document, lines, cause, key=revaluation_id)

    def told(
        self, event: Event, key: tuple[object, ...], chain: object, number: str, company: str, cause: Cause
    ) -> None:
        """An announcement without rows of its own here."""
        self._notes.append((self._told, event, key, chain, number, company, cause))

    # ---- writing, once the position is known

    def _promised(
        self,
        tx: Transaction,
        position: int,
        head: Head,
        order_position: int,
        ordinal: int,
        holds: Sequence[Hold],
        cause: Cause,
        new: bool,
    ) -> None:
        order_id, lines = head.order_id, []
        for line, stock, reserved, back_ordered in holds:
            line_no = line.line_no
            stock_id = None if stock is None else stock.stock_id
            lines.append(ReservedLine(line_no, reserved, back_ordered))
            self._reservations.append(
                (position, line_no, "promise", order_id, order_position, stock_id, reserved, back_ordered)
            )
            if new:
                self._open_lines.append((order_id, line_no, order_position, stock_id, reserved, back_ordered, position))
        event = StockReserved(order_id, head.company, head.order_no, ordinal, tuple(lines))
        self._told(tx, position, event, (order_id, ordinal), order_id, head.order_no, head.company, cause)

    def _left(
        self,
        tx: Transaction,
        position: int,
        head: Head,
        order_position: int,
        ordinal: int,
        parts: Sequence[Part],
        day: date,
        cause: Cause,
    ) -> None:
        order_id, order_no = head.order_id, head.order_no
        house = self._houses[head.company]
        period = house.period(day)
        moves, lines = self._moves, []
        if head.control_passes == "delivery":
            self._transit += [
                (position, part.line.line_no, "sent", order_id, order_position, part.end - part.start, part.cost)
                for part in parts
            ]
        for line, stock, start, end, cost, seq, from_reserved in parts:
            line_no = line.line_no
            lines.append(
                ShippedLine(
                    line_no,
                    line.sku,
                    start,
                    end,
                    line.quantity_micro,
                    line.net_minor,
                    line.tax_minor,
                    cost,
                    line.warehouse,
                    line.kind,
                    line.account,
                    line.cost_account,
                    from_reserved,
                    line.residual_minor,
                )
            )
            what = (
                ("service", None, None, 0, 0) if stock is None else ("issue", stock.stock_id, seq, start - end, -cost)
            )
            sale = (start, end, from_reserved, order_position, None, order_id, order_no, day, period)
            moves.append((position, line_no, *what, *sale))
            if from_reserved:
                stock_id = None if stock is None else stock.stock_id
                self._reservations.append(
                    (position, line_no, "leave", order_id, order_position, stock_id, start - end, 0)
                )
        key = str(order_id)
        event = GoodsShipped(
            UUID(event_id("shipment", key, ordinal)),
            order_id,
            head.company,
            head.source,
            order_no,
            ordinal,
            head.customer,
            head.currency,
            house.currency,
            day,
            period,
            tuple(lines),
            head.due_days,
            head.rate_micro,
            head.net_minor,
            head.tax_minor,
            head.control_passes,
        )
        self._told(tx, position, event, (key, ordinal), key, order_no, head.company, cause)

    def _delivered(
        self,
        tx: Transaction,
        position: int,
        order: "Order",
        ordinal: int,
        parts: Sequence[Part],
        day: date,
        document_no: str,
        cause: Cause,
    ) -> None:
        order_id, order_no = order.order_id, order.order_no
        house = self._houses[order.company]
        period = house.period(day)
        lines = []
        for line, _, start, end, cost, _, _ in parts:
            no, quantity = line.line_no, end - start
            told = (no, line.sku, start, end, line.quantity_micro, line.net_minor, line.tax_minor, cost)
            sold = line.warehouse, line.kind, line.account, line.cost_account
            lines.append(ShippedLine(*told, *sold, residual_minor=line.residual_minor))
            self._transit.append((position, no, "delivered", order_id, order.position, -quantity, -cost))
            sale = (start, end, False, order.position, None, order_id, order_no, day, period)
            self._moves.append((position, no, "delivery", None, None, 0, 0, *sale))
        event = GoodsDelivered(
            UUID(event_id("delivery", order_id, ordinal)),
            order_id,
            order.company,
            order.source,
            order_no,
            ordinal,
            order.customer,
            order.currency,
            house.currency,
            day,
            period,
            tuple(lines),
            order.due_days,
            order.rate_micro,
            order.net_minor,
            order.tax_minor,
            document_no,
        )
        self._told(tx, position, event, (order_id, ordinal), order_id, order_no, order.company, cause)

    def _recalled(
        self,
        tx: Transaction,
        position: int,
        order: "Order",
        cancel_id: UUID,
        stops: Sequence[Stop],
        back: Sequence[Moved],
        day: date,
        cause: Cause,
    ) -> None:
        house = self._houses[order.company]
        lines = []
        for stop in stops:
            line = stop.line
            lines.append(RecalledLine(line.line_no, line.sku, stop.issued, stop.value, line.warehouse, line.kind))
            self._transit.append(
                (position, line.line_no, "recalled", order.order_id, order.position, -stop.issued, -stop.value)
            )
        event = GoodsRecalled(
            cancel_id,
            order.order_id,
            order.company,
            order.source,
            order.order_no,
            order.customer,
            house.currency,
            day,
            house.period(day),
            tuple(lines),
        )
        document = order.order_id, order.order_no, day
        self._moved(
            tx, position, "recall", event, order.company, document, back, cause, cancel_id, str(order.order_id), ""
        )

    def _refused(
        self,
        tx: Transaction,
        position: int,
        head: Head,
        order_position: int,
        lines: Sequence[tuple[Wanted, bool]],
        cause: Cause,
    ) -> None:
        order_id, told = head.order_id, []
        for line, short in lines:
            quantity = line.quantity_micro
            told.append(RefusedLine(line.line_no, quantity, short))
            what = (order_id, order_position, short, quantity, 0, 0, 0, 0)
            self._stops.append((position, line.line_no, "refused", *what))
        event = OrderRefused(order_id, head.company, head.order_no, tuple(told))
        self._told(tx, position, event, (order_id,), order_id, head.order_no, head.company, cause)

    def _cancelled(
        self,
        tx: Transaction,
        position: int,
        order: "Order",
        cancel_id: UUID,
        ordinal: int,
        stops: Sequence[Stop],
        day: date,
        cause: Cause,
    ) -> None:
        owner, told = (order.order_id, order.position), []
        for line, back_ordered, reserved, too_late, issued, _ in stops:
            told.append(StoppedLine(line.line_no, back_ordered, reserved, too_late, issued))
            quantities = (back_ordered + reserved + issued, back_ordered, reserved, too_late, issued)
            self._stops.append((position, line.line_no, "cancelled", *owner, False, *quantities))
            if back_ordered or reserved:
                self._reservations.append(
                    (position, line.line_no, "stop", *owner, line.stock_id, -reserved, -back_ordered)
                )
        self._cancellations.append((cancel_id, ordinal, position, order.order_id))
        event = CancelDecided(cancel_id, order.order_id, order.company, order.order_no, tuple(told), day)
        self._told(tx, position, event, (cancel_id, ordinal), order.order_id, order.order_no, order.company, cause)

    def _moved(
        self,
        tx: Transaction,
        position: int,
        kind: str,
        event: Event,
        company: str,
        document: tuple[UUID, str, date],
        lines: Sequence[Moved],
        cause: Cause,
        key: UUID | None,
        chain: str,
        order_no: str,
    ) -> None:
        document_id, number, day = document
        period = self._houses[company].period(day)
        for m in lines:
            what = (kind, m.stock.stock_id, m.seq, m.quantity, m.value)
            sale = (None, None, None, m.order_position, m.order_line_no)
            self._moves.append((position, m.line_no, *what, *sale, document_id, number, day, period))
        self._told(tx, position, event, (key or document_id,), chain or document_id, order_no or number, company, cause)

    def _told(
        self,
        tx: Transaction,
        position: int,
        event: Event,
        key: tuple[object, ...],
        chain: object,
        number: str,
        company: str,
        cause: Cause,
    ) -> None:
        tx.announce(event, position=position, key=key, chain=chain, order_no=number, company=company, cause=cause)
