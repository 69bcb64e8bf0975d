"""What a batch decided, as rows to write and events to announce. Positions are drawn once, for all of them together."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from tieout.contracts.event import Event, event_id
from tieout.contracts.inventory import (
    CancelDecided,
    GoodsReceived,
    GoodsReturned,
    GoodsShipped,
    MovedLine,
    OrderRefused,
    RefusedLine,
    ReservedLine,
    ReturnedLine,
    ShippedLine,
    StockAdjusted,
    StockReserved,
    StockRevalued,
    StoppedLine,
    SubmitAdjustment,
    SubmitReceipt,
)
from tieout.contracts.order import OrderReturned
from tieout.inventory.domain import Hold, Part, Stop, Wanted
from tieout.inventory.valuation import Stock
from tieout.servicekit import Received, Transaction

if TYPE_CHECKING:
    from tieout.inventory.stockroom import House, Order

LINES_PER_SHIPMENT_MAX = 2_000  # A message holds 1 MiB; larger shipments are announced in several.

MOVE_COLUMNS = (
    "position",
    "line_no",
    "kind",
    "stock_id",
    "seq",
    "quantity_micro",
    "value_minor",
    "from_micro",
    "to_micro",
    "from_reserved",
    "order_position",
    "order_line_no",
    "chain_id",
    "document_no",
    "business_date",
    "period",
)
NO_PART = (None, None, None)  # from_micro, to_micro, from_reserved
NO_SALE = (None, None)  # order_position, order_line_no
RESERVATION_COLUMNS = (
    "position",
    "line_no",
    "kind",
    "order_id",
    "order_position",
    "stock_id",
    "reserved_micro",
    "back_ordered_micro",
)
OPEN_LINE_COLUMNS = (
    "order_id",
    "line_no",
    "order_position",
    "stock_id",
    "reserved_micro",
    "back_ordered_micro",
    "since",
)
STOP_COLUMNS = (
    "position",
    "line_no",
    "kind",
    "order_id",
    "order_position",
    "short",
    "quantity_micro",
    "back_ordered_micro",
    "reserved_micro",
    "too_late_micro",
)
CANCELLATION_COLUMNS = ("cancel_id", "ordinal", "position", "order_id")

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


class Moved:
    """One valued line of a document: quantity and value signed, as they move the stock."""

    __slots__ = ("line_no", "quantity", "seq", "stock", "value")

    def __init__(self, line_no: int, stock: Stock, quantity: int, value: int, seq: int) -> None:
        self.line_no = line_no
        self.stock = stock
        self.quantity = quantity
        self.value = value
        self.seq = seq


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

    async def save(self, tx: Transaction) -> None:
        positions = await tx.positions(len(self._notes))
        for position, (write, *arguments) in zip(positions, self._notes, strict=True):
            write(tx, position, *arguments)
        for table, columns, rows in (
            ("move", MOVE_COLUMNS, self._moves),
            ("reservation", RESERVATION_COLUMNS, self._reservations),
            ("open_line", OPEN_LINE_COLUMNS, self._open_lines),
            ("stop", STOP_COLUMNS, self._stops),
            ("cancellation", CANCELLATION_COLUMNS, self._cancellations),
        ):
            if rows:
                await tx.copy(table, columns=columns, records=rows)

    # ---- new orders; their facts stand under the position of order.placed

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

    def cancelled(self, order: "Order", cancel_id: UUID, ordinal: int, stops: Sequence[Stop], cause: Cause) -> None:
        """`ordinal` above 1: an earlier decision is corrected, because goods left all the same."""
        self._notes.append((self._cancelled, order, cancel_id, ordinal, stops, cause))

    # ---- documents

    def returned(
        self, credit: OrderReturned, lines: Sequence[tuple[Moved, int | None, int | None, ReturnedLine]], cause: Cause
    ) -> None:
        """Each line with the position of its sale's order.placed and its line there, where it is linked."""
        self._notes.append((self._returned, credit, lines, cause))

    def received(self, receipt: SubmitReceipt, receipt_id: UUID, lines: Sequence[Moved], cause: Cause) -> None:
        self._notes.append((self._received, receipt, receipt_id, lines, cause))

    def adjusted(self, count: SubmitAdjustment, count_id: UUID, lines: Sequence[Moved], cause: Cause) -> None:
        self._notes.append((self._adjusted, count, count_id, lines, cause))

    def revalued(
        self,
        company: str,
        warehouse: str,
        document_id: UUID,
        number: str,
        day: date,
        lines: Sequence[Moved],
        cause: Cause,
    ) -> None:
        """Value moved without goods, because of that document."""
        if lines:
            self._notes.append((self._revalued, company, warehouse, document_id, number, day, lines, cause))

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
        tx.announce(
            StockReserved(order_id, head.company, head.order_no, ordinal, tuple(lines)),
            position=position,
            key=(order_id, ordinal),
            chain=order_id,
            order_no=head.order_no,
            company=head.company,
            cause=cause,
        )

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
                )
            )
            if stock is None:
                stock_id = None
                row: Row = ("service", None, None, 0, 0)
            else:
                stock_id = stock.stock_id
                row = ("issue", stock_id, seq, start - end, -cost)
            moves.append(
                (
                    position,
                    line_no,
                    *row,
                    start,
                    end,
                    from_reserved,
                    order_position,
                    None,
                    order_id,
                    order_no,
                    day,
                    period,
                )
            )
            if from_reserved:
                self._reservations.append(
                    (position, line_no, "leave", order_id, order_position, stock_id, start - end, 0)
                )
        key = str(order_id)
        tx.announce(
            GoodsShipped(
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
            ),
            position=position,
            key=(key, ordinal),
            chain=key,
            order_no=order_no,
            company=head.company,
            cause=cause,
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
            self._stops.append((position, line.line_no, "refused", order_id, order_position, short, quantity, 0, 0, 0))
        tx.announce(
            OrderRefused(order_id, head.company, head.order_no, tuple(told)),
            position=position,
            key=(order_id,),
            chain=order_id,
            order_no=head.order_no,
            company=head.company,
            cause=cause,
        )

    def _cancelled(
        self,
        tx: Transaction,
        position: int,
        order: "Order",
        cancel_id: UUID,
        ordinal: int,
        stops: Sequence[Stop],
        cause: Cause,
    ) -> None:
        told = []
        for line, back_ordered, reserved, too_late in stops:
            told.append(StoppedLine(line.line_no, back_ordered, reserved, too_late))
            self._stops.append(
                (
                    position,
                    line.line_no,
                    "cancelled",
                    order.order_id,
                    order.position,
                    False,
                    back_ordered + reserved,
                    back_ordered,
                    reserved,
                    too_late,
                )
            )
            if back_ordered or reserved:
                self._reservations.append(
                    (
                        position,
                        line.line_no,
                        "stop",
                        order.order_id,
                        order.position,
                        line.stock_id,
                        -reserved,
                        -back_ordered,
                    )
                )
        self._cancellations.append((cancel_id, ordinal, position, order.order_id))
        tx.announce(
            CancelDecided(cancel_id, order.order_id, order.company, order.order_no, tuple(told)),
            position=position,
            key=(cancel_id, ordinal),
            chain=order.order_id,
            order_no=order.order_no,
            company=order.company,
            cause=cause,
        )

    def _returned(
        self,
        tx: Transaction,
        position: int,
        credit: OrderReturned,
        lines: Sequence[tuple[Moved, int | None, int | None, ReturnedLine]],
        cause: Cause,
    ) -> None:
        house = self._houses[credit.company]
        period = house.period(credit.business_date)
        chain = cause.envelope.chainid if cause is not None else str(credit.credit_id)
        for moved, order_position, order_line_no, _ in lines:
            self._moves.append(
                (
                    position,
                    moved.line_no,
                    "return",
                    moved.stock.stock_id,
                    moved.seq,
                    moved.quantity,
                    moved.value,
                    *NO_PART,
                    order_position,
                    order_line_no,
                    credit.credit_id,
                    credit.credit_no,
                    credit.business_date,
                    period,
                )
            )
        tx.announce(
            GoodsReturned(
                credit.credit_id,
                credit.company,
                credit.credit_no,
                credit.customer,
                house.currency,
                credit.business_date,
                period,
                tuple(line for *_, line in lines),
            ),
            position=position,
            key=(credit.credit_id,),
            chain=chain,
            order_no=cause.envelope.orderno if cause is not None else "",
            company=credit.company,
            cause=cause,
        )

    def _document_moves(
        self, position: int, kind: str, document_id: UUID, number: str, day: date, period: str, lines: Sequence[Moved]
    ) -> tuple[MovedLine, ...]:
        for m in lines:
            self._moves.append(
                (
                    position,
                    m.line_no,
                    kind,
                    m.stock.stock_id,
                    m.seq,
                    m.quantity,
                    m.value,
                    *NO_PART,
                    *NO_SALE,
                    document_id,
                    number,
                    day,
                    period,
                )
            )
        return tuple(MovedLine(m.line_no, m.stock.sku, m.quantity, m.value) for m in lines)

    def _received(
        self,
        tx: Transaction,
        position: int,
        receipt: SubmitReceipt,
        receipt_id: UUID,
        lines: Sequence[Moved],
        cause: Cause,
    ) -> None:
        house, day = self._houses[receipt.company], receipt.business_date
        period = house.period(day)
        moved = self._document_moves(position, receipt.kind, receipt_id, receipt.number, day, period, lines)
        event = GoodsReceived(
            receipt_id,
            receipt.company,
            receipt.warehouse,
            receipt.number,
            receipt.source,
            receipt.kind,
            house.currency,
            day,
            period,
            moved,
        )
        self._told(tx, position, event, (receipt_id,), receipt_id, receipt.number, receipt.company, cause)

    def _adjusted(
        self,
        tx: Transaction,
        position: int,
        count: SubmitAdjustment,
        count_id: UUID,
        lines: Sequence[Moved],
        cause: Cause,
    ) -> None:
        house, day = self._houses[count.company], count.business_date
        period = house.period(day)
        moved = self._document_moves(position, "count", count_id, count.number, day, period, lines)
        event = StockAdjusted(
            count_id,
            count.company,
            count.warehouse,
            count.number,
            count.source,
            house.currency,
            day,
            period,
            moved,
            count.reason,
        )
        self._told(tx, position, event, (count_id,), count_id, count.number, count.company, cause)

    def _revalued(
        self,
        tx: Transaction,
        position: int,
        company: str,
        warehouse: str,
        document_id: UUID,
        number: str,
        day: date,
        lines: Sequence[Moved],
        cause: Cause,
    ) -> None:
        house = self._houses[company]
        period = house.period(day)
        moved = self._document_moves(position, "revaluation", document_id, number, day, period, lines)
        revaluation_id = UUID(event_id("revaluation", document_id, warehouse))
        event = StockRevalued(revaluation_id, company, warehouse, number, house.currency, day, period, moved)
        self._told(tx, position, event, (revaluation_id,), document_id, number, company, cause)

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
