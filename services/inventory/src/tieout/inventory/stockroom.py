"""One batch's view of the stock: what it has locked, what it changed, and whom it can serve with what became free.

Locks are taken in one order by everybody: companies, documents, stock (by stock_id), orders (by order_id). Stock comes
before orders, because whoever brings goods must hold the stock to see who waits for it. All goods of an order are
locked before the order itself is cancelled or confirmed, so nobody who could serve it holds it from the other side.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from tieout.contracts.order import ControlPasses
from tieout.inventory import domain
from tieout.inventory.domain import Line
from tieout.inventory.journal import Journal
from tieout.inventory.valuation import FifoStock, Stock
from tieout.servicekit import Received, Transaction, sql

statements = sql.load(__file__)

StockKey = tuple[str, str, str]  # Company, warehouse, SKU.


class House:
    """A company as inventory knows it: currency, first open period, and what its warehouses promise.

    A warehouse that nobody has described works like the company's MAIN, and where that is not described either: it
    refuses what it does not have, lets goods go at once, and is valued by moving average.
    """

    __slots__ = ("company", "currency", "first_open", "warehouses")

    UNDESCRIBED = ("refuse", True, "moving_average")

    def __init__(self, company: str, currency: str, first_open: str) -> None:
        self.company = company
        self.currency = currency
        self.first_open = first_open
        self.warehouses: dict[str, tuple[str, bool, str]] = {}

    def rule(self, warehouse: str) -> tuple[str, bool, str]:
        """Stock policy, whether goods leave at once, and the valuation method."""
        return self.warehouses.get(warehouse) or self.warehouses.get("MAIN") or self.UNDESCRIBED

    def period(self, day: date) -> str:
        """The posting period of a business date: its month, or the first open one after it."""
        return max(day.isoformat()[:7], self.first_open)


class Order:
    """A placed order as its anchor keeps it, with its lines once they are loaded."""

    __slots__ = (
        "business_date",
        "company",
        "control_passes",
        "currency",
        "customer",
        "deliveries",
        "due_days",
        "lines",
        "net_minor",
        "order_id",
        "order_no",
        "position",
        "promises",
        "rate_micro",
        "shipments",
        "source",
        "tax_minor",
    )

    def __init__(self, row: Any) -> None:
        self.order_id: UUID = row["order_id"]
        self.position: int = row["position"]
        self.company: str = row["company"]
        self.source: str = row["source"]
        self.order_no: str = row["order_no"]
        self.customer: str = row["customer"]
        self.currency: str = row["currency"]
        self.business_date: date = row["business_date"]
        self.due_days: int = row["due_days"]
        self.rate_micro: int = row["rate_micro"]
        self.net_minor: int = row["net_minor"]
        self.tax_minor: int = row["tax_minor"]
        self.lines: dict[int, Line] = {}
        self.shipments = 0  # Announced so far.
        self.promises = 0
        self.deliveries = 0
        self.control_passes: ControlPasses = "delivery" if row["at_delivery"] else "issue"


class Stockroom:
    """The unit of work of a flow. Use it in this order: `enter`, `lock…`, `anchor`, decide, `call_back`,
    `serve`, `leave`."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self.houses: dict[str, House] = {}
        self.stocks: dict[int, Stock] = {}  # By stock_id; locked.
        self.by_key: dict[StockKey, Stock] = {}
        self.orders: dict[UUID, Order] = {}  # Placed ones; locked.
        self.journal = Journal(self.houses)

    async def enter(self, companies: Collection[str]) -> None:
        """Read the companies. One that finance has not announced is missing afterwards, and locked: what needs it may
        be parked under `company_key`."""
        await self._read_houses(companies)
        missing = [company for company in companies if company not in self.houses]
        if missing:
            await self.tx.execute(statements.await_companies, missing)
            await self._read_houses(missing)  # Announced meanwhile?

    async def _read_houses(self, companies: Collection[str]) -> None:
        for row in await self.tx.fetch(statements.houses, list(companies)):
            if row["currency"] is None:
                continue
            house = self.houses.get(row["company"])
            if house is None:
                house = self.houses[row["company"]] = House(row["company"], row["currency"], row["first_open"])
            if row["warehouse"] is not None:
                house.warehouses[row["warehouse"]] = (row["stock_policy"], row["fulfilment"] == "auto", row["method"])

    async def lock(self, keys: Collection[StockKey]) -> None:
        """Lock these stocks, creating those that do not exist. Once per batch."""
        if not keys:
            return
        arrays = [list(column) for column in zip(*sorted(keys), strict=True)]
        rows = await self.tx.fetch(statements.lock_stock, *arrays)
        if not rows:  # Some were never heard of; nothing is locked yet.
            await self.tx.execute(statements.create_stock, *arrays)
            rows = await self.tx.fetch(statements.lock_stock, *arrays)
        self._take(rows)

    async def lock_goods_of(self, order_ids: Collection[UUID]) -> None:
        """Lock the stock of all goods of these orders. Once per batch, instead of `lock`."""
        self._take(await self.tx.fetch(statements.lock_stock_of_orders, list(order_ids)))

    async def lock_averaged(self, companies: Collection[str]) -> None:
        """Lock all stock of these companies that is valued by period average. Instead of `lock`."""
        self._take(await self.tx.fetch(statements.lock_averaged, list(companies)))

    def _take(self, rows: Iterable[Any]) -> None:
        for (
            stock_id,
            company,
            warehouse,
            sku,
            on_hand,
            reserved,
            waiting,
            value,
            last_quantity,
            last_value,
            seq,
            layers,
        ) in rows:
            policy, auto, method = self.houses[company].rule(warehouse)
            kind = FifoStock if method == "fifo" else Stock  # A period average is a moving one until its end.
            stock = kind(
                stock_id,
                company,
                warehouse,
                sku,
                policy,
                auto,
                on_hand,
                reserved,
                waiting,
                value,
                last_quantity,
                last_value,
                seq,
            )
            if isinstance(stock, FifoStock):
                stock.layers = list(layers or ())
            self.stocks[stock_id] = stock
            self.by_key[company, warehouse, sku] = stock

    async def learn_costs(self, stocks: Iterable[Stock]) -> None:
        """Standard costs, for stocks that know no average of their own."""
        blank = {s.stock_id: s for s in stocks if not s.on_hand and not s.last_quantity}
        if not blank:
            return
        for stock_id, quantity, cost in await self.tx.fetch(statements.standard_costs, list(blank)):
            blank[stock_id].standard_quantity = quantity
            blank[stock_id].standard_value = cost

    async def anchor(self, order_ids: Collection[UUID]) -> None:
        """Lock these orders and load the lines of the placed ones; who is not in `orders` then has not come yet."""
        order_ids = [order_id for order_id in order_ids if order_id not in self.orders]
        if not order_ids:
            return
        found: dict[int, Order] = {}  # By position of order.placed, the key of all its facts.
        for row in await self.tx.fetch(statements.anchor_orders, order_ids):
            if row["placed"]:
                found[row["position"]] = self.orders[row["order_id"]] = Order(row)
        if not found:
            return
        positions = list(found)
        for row in await self.tx.fetch(statements.order_lines, positions):
            order = found[row["position"]]
            order.lines[row["line_no"]] = self._line(row)
        for position, shipments, promises in await self.tx.fetch(statements.ordinals, positions):
            found[position].shipments = shipments
            found[position].promises = promises
        sent = [order for order in found.values() if order.control_passes == "delivery"]
        if sent:
            await self._see_what_is_on_its_way(sent)

    async def _see_what_is_on_its_way(self, orders: Iterable[Order]) -> None:
        """Of orders whose control passes at delivery; no other order has anything to see."""
        by_position = {order.position: order for order in orders}
        for order in by_position.values():
            for line in order.lines.values():
                line.at_delivery = True
        for position, line_no, on_way, value, delivered, recalled in await self.tx.fetch(
            statements.on_their_way, list(by_position)
        ):
            line = by_position[position].lines[line_no]
            line.on_way, line.on_way_value, line.delivered, line.recalled = on_way, value, delivered, recalled
        for position, deliveries in await self.tx.fetch(statements.deliveries, list(by_position)):
            by_position[position].deliveries = deliveries

    @staticmethod
    def holds_goods_of(order: Order) -> bool:
        """Whether the stock of all its goods is locked: only then may more than one of its lines be changed."""
        return all(line.service or line.stock is not None for line in order.lines.values())

    def _line(self, row: Any) -> Line:
        stock_id = row["stock_id"]
        line = Line(
            row["line_no"],
            row["quantity_micro"],
            self.stocks.get(stock_id) if stock_id is not None else None,
            row["reserved"],
            row["back_ordered"],
            row["shipped"],
            row["stopped"],
            row["reserved_stopped"],
        )
        line.service = stock_id is None
        line.kind = "service" if line.service else "goods"
        line.stock_id = stock_id
        line.sku = row["sku"]
        line.warehouse = row["warehouse"]
        line.account = row["account"]
        line.cost_account = row["cost_account"]
        line.net_minor = row["net_minor"]
        line.tax_minor = row["tax_minor"]
        line.residual_minor = row["residual_minor"]
        line.since = row["since"]
        return line

    async def waiting_for(self, coming: Mapping[int, int]) -> list[UUID]:
        """Orders that could be served if so much (by stock_id) became free on top of what is free now."""
        free = {
            stock_id: self.stocks[stock_id].free + quantity
            for stock_id, quantity in coming.items()
            if self.stocks[stock_id].back_ordered and self.stocks[stock_id].free + quantity > 0
        }
        if not free:
            return []
        return [row[0] for row in await self.tx.fetch(statements.waiting_orders, list(free), list(free.values()))]

    async def serve(self, brought: Mapping[int, tuple[Received[Any] | None, date]]) -> None:
        """Give what became free to those who wait longest. `brought` tells per stock_id who freed it, and when."""
        arrived = [s for s in self.stocks.values() if s.arrived and s.back_ordered and s.free > 0]
        if not arrived:
            return
        await self._save_lines()  # Who was cancelled in this batch does not wait any more.
        await self.anchor(await self.waiting_for({stock.stock_id: 0 for stock in arrived}))
        served: dict[UUID, list[domain.Hold]] = {}
        for stock in arrived:
            queue = [
                (line.since, line.line_no, order.order_id, line)
                for order in self.orders.values()
                for line in order.lines.values()
                if line.stock is stock and line.back_ordered
            ]
            queue.sort(key=lambda entry: entry[:2])
            owner = {id(line): order_id for _, _, order_id, line in queue}
            for hold in domain.serve(stock, [line for *_, line in queue]):
                served.setdefault(owner[id(hold.line)], []).append(hold)
        for order_id, holds in served.items():
            order = self.orders[order_id]
            stock_ids = [hold.stock.stock_id for hold in holds if hold.stock is not None]
            cause, _ = brought[stock_ids[0]]
            self.journal.promised(order, holds, cause)
            leaving = [(h.line, h.reserved) for h in holds if h.stock is not None and h.stock.auto]
            parts = domain.ship(leaving, order.lines.values())  # type: ignore[arg-type]
            day = max(order.business_date, *(brought[stock_id][1] for stock_id in stock_ids))
            self.journal.left(order, parts, day, cause)
        self.tx.wake(str(order_id) for order_id in served)  # A confirmation or a return may have waited for this.

    async def call_back(self, missing: Mapping[int, Received[Any] | None]) -> None:
        """Goods went that nobody was served with: where less lies there now than is promised, the latest promises wait
        again, so that no confirmation takes what is not there. `missing` tells per stock_id who found that out."""
        short = {i: stock.uncovered for i in missing if (stock := self.stocks[i]).uncovered > 0}
        if not short:
            return
        await self._save_lines()  # Promises of this batch count as they stand now.
        rows = await self.tx.fetch(statements.promised_orders, list(short), list(short.values()))
        await self.anchor([row[0] for row in rows])
        called: dict[UUID, list[domain.Hold]] = {}
        for stock_id in short:
            stock = self.stocks[stock_id]
            promises = [
                (line.since, line.line_no, order.order_id, line)
                for order in self.orders.values()
                for line in order.lines.values()
                if line.stock is stock and line.reserved
            ]
            promises.sort(key=lambda entry: entry[:2], reverse=True)
            owner = {id(line): order_id for _, _, order_id, line in promises}
            for hold in domain.call_back(stock, [line for *_, line in promises]):
                called.setdefault(owner[id(hold.line)], []).append(hold)
        for order_id, holds in called.items():
            cause = next(missing[hold.stock.stock_id] for hold in holds if hold.stock is not None)
            self.journal.promised(self.orders[order_id], holds, cause)

    async def leave(self) -> None:
        """Write down everything that was decided, and announce it."""
        await self.journal.save(self.tx)
        await self._save_lines()
        touched = [stock for stock in self.stocks.values() if stock.touched]
        if touched:
            await self.tx.execute(
                statements.save_stock,
                [s.stock_id for s in touched],
                [s.on_hand for s in touched],
                [s.reserved for s in touched],
                [s.back_ordered for s in touched],
                [s.value for s in touched],
                [s.last_quantity for s in touched],
                [s.last_value for s in touched],
                [s.seq for s in touched],
            )
            for stock in touched:
                if isinstance(stock, FifoStock):
                    await self.tx.execute(statements.save_layers, stock.stock_id, stock.layers)

    async def _save_lines(self) -> None:
        kept: list[tuple[UUID, int, int, int]] = []
        gone: list[tuple[UUID, int, int, int]] = []
        for order in self.orders.values():
            for line in order.lines.values():
                if line.touched:
                    line.touched = False
                    row = (order.order_id, line.line_no, line.reserved, line.back_ordered)
                    (kept if line.reserved or line.back_ordered else gone).append(row)
        if kept:
            await self.tx.execute(statements.save_open_lines, *map(list, zip(*kept, strict=True)))
        if gone:
            await self.tx.execute(statements.drop_open_lines, [row[0] for row in gone], [row[1] for row in gone])


def company_key(company: str) -> str:
    """What messages of a company that finance has not announced yet are parked under."""
    return f"company:{company}"
