"""The floors: order -> inventory -> finance on the same Postgres and NATS, without the product.

Two ways to write the same chain, each as three processes with a database each, durable settings throughout:

* `idiomatic`: one message, one transaction, one publish, one ack; eight messages at a time. What a careful team
  writes first.
* `batched`: 500 messages, one transaction with COPY, one atomic publish, one write for all acks. No mapping, no
  validation, no outbox, no sweeper, no digests, no telemetry: what the servers allow.

Both post four voucher lines an order, move stock under a lock and fsync every commit.

    python -m tieout.devstack.bench.floor STEP --way idiomatic --orders 2000    (what `measure` starts)
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import msgspec
import nats
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NothingYet
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig
from nats.js.errors import NotFoundError

BATCH = 500
CONCURRENT = 8
SKUS = 1000  # As many rows as `stock` gets below.
STEPS = ("order", "inventory", "finance")
STREAM = {"order": "FLOOR_ORDER", "inventory": "FLOOR_INVENTORY"}
SUBJECT = {"order": "floor.order.placed", "inventory": "floor.inventory.shipped"}

TABLES = {
    "order": """
        CREATE TABLE orders (id bigint PRIMARY KEY, customer int, amount bigint, note text);
        CREATE TABLE order_line (order_id bigint, line_no smallint, sku int, quantity int, price int,
                                 PRIMARY KEY (order_id, line_no));""",
    "inventory": """
        CREATE TABLE stock (sku int PRIMARY KEY, on_hand bigint, shipped bigint) WITH (fillfactor = 50);
        INSERT INTO stock SELECT g, 1000000000, 0 FROM generate_series(0, 999) g;
        CREATE TABLE reservation (order_id bigint, line_no smallint, sku int, quantity int,
                                  PRIMARY KEY (order_id, line_no));
        CREATE TABLE shipment (order_id bigint PRIMARY KEY);""",
    "finance": """
        CREATE TABLE receivable (order_id bigint PRIMARY KEY, customer int, amount bigint);
        CREATE TABLE voucher_line (order_id bigint, line_no smallint, account int, debit bigint, credit bigint,
                                   PRIMARY KEY (order_id, line_no));""",
}


class Line(Struct):
    sku: int
    quantity: int
    price: int
    text: str


class Order(Struct):
    id: int
    customer: int
    lines: list[Line]
    note: str


class Shipped(Struct):
    id: int
    customer: int
    amount: int


decode_order = msgspec.json.Decoder(Order).decode
decode_shipped = msgspec.json.Decoder(Shipped).decode
encode = msgspec.json.Encoder().encode


def order(number: int) -> Order:
    """Three lines and a few hundred bytes of text, as a web shop sends them."""
    lines = [Line((number * 7 + k * 331) % SKUS, 1 + k, 100 + (number + k) % 9000, "item text " * 8) for k in range(3)]
    return Order(number, number % 5000, lines, "n" * 400)


def amount(placed: Order) -> int:
    return sum(line.quantity * line.price for line in placed.lines)


def voucher(number: int, gross: int) -> list[tuple[int, int, int, int, int]]:
    net = gross * 100 // 113
    return [
        (number, 1, 1122, gross, 0),
        (number, 2, 6001, 0, gross),
        (number, 3, 6401, net // 2, 0),
        (number, 4, 1405, 0, net // 2),
    ]


# ---------------------------------------------------------------- batched


async def write(client: Client, commands: bytes) -> None:
    """Many commands in one write; nats-py has no public call for it, these two are what its `publish` ends in."""
    if commands:
        await client._send_command(commands)
        await client._flush_pending()


async def publish_batch(client: Client, name: str, subject: str, bodies: list[bytes]) -> None:
    """One atomic JetStream batch: all or nothing, one sync, one answer."""
    *head, last = bodies
    lines = []
    for number, body in enumerate(head, 1):
        headers = b"NATS/1.0\r\nNats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n\r\n" % (name.encode(), number)
        sizes = (subject.encode(), len(headers), len(headers) + len(body))
        lines.append(b"HPUB %b %d %d\r\n%b%b\r\n" % (*sizes, headers, body))
    await write(client, b"".join(lines))
    commit = {"Nats-Batch-Id": name, "Nats-Batch-Sequence": str(len(bodies)), "Nats-Batch-Commit": "1"}
    answer = json.loads((await client.request(subject, last, timeout=10, headers=commit)).data)
    if "error" in answer:
        raise RuntimeError(answer["error"])


async def batched_order(pool: asyncpg.Pool, client: Client, js: JetStreamContext, orders: int) -> None:
    for start in range(0, orders, BATCH):
        placed = [order(n) for n in range(start, min(start + BATCH, orders))]
        async with pool.acquire() as connection, connection.transaction():
            await connection.copy_records_to_table(
                "orders", records=[(o.id, o.customer, amount(o), o.note) for o in placed]
            )
            await connection.copy_records_to_table(
                "order_line",
                records=[(o.id, k, x.sku, x.quantity, x.price) for o in placed for k, x in enumerate(o.lines)],
            )
        await publish_batch(client, f"order-{start}", SUBJECT["order"], [encode(o) for o in placed])


async def batched_inventory(pool: asyncpg.Pool, client: Client, messages: list[Msg]) -> None:
    placed = [decode_order(message.data) for message in messages]
    wanted: Counter[int] = Counter()
    for o in placed:
        for line in o.lines:
            wanted[line.sku] += line.quantity
    skus = sorted(wanted)
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetch("SELECT sku FROM stock WHERE sku = ANY($1::int[]) ORDER BY sku FOR UPDATE", skus)
        await connection.execute(
            """UPDATE stock SET on_hand = on_hand - u.quantity, shipped = shipped + u.quantity
               FROM unnest($1::int[], $2::bigint[]) u(sku, quantity) WHERE stock.sku = u.sku""",
            skus,
            [wanted[sku] for sku in skus],
        )
        await connection.copy_records_to_table(
            "reservation", records=[(o.id, k, x.sku, x.quantity) for o in placed for k, x in enumerate(o.lines)]
        )
        await connection.copy_records_to_table("shipment", records=[(o.id,) for o in placed])
    bodies = [encode(Shipped(o.id, o.customer, amount(o))) for o in placed]
    await publish_batch(client, f"inventory-{placed[0].id}", SUBJECT["inventory"], bodies)


async def batched_finance(pool: asyncpg.Pool, client: Client, messages: list[Msg]) -> None:
    shipped = [decode_shipped(message.data) for message in messages]
    async with pool.acquire() as connection, connection.transaction():
        await connection.copy_records_to_table("receivable", records=[(s.id, s.customer, s.amount) for s in shipped])
        await connection.copy_records_to_table(
            "voucher_line", records=[line for s in shipped for line in voucher(s.id, s.amount)]
        )


# ---------------------------------------------------------------- idiomatic


async def idiomatic_order(pool: asyncpg.Pool, client: Client, js: JetStreamContext, orders: int) -> None:
    numbers = iter(range(orders))

    async def worker() -> None:
        for number in numbers:
            placed = order(number)
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "INSERT INTO orders VALUES ($1, $2, $3, $4)",
                    placed.id,
                    placed.customer,
                    amount(placed),
                    placed.note,
                )
                await connection.executemany(
                    "INSERT INTO order_line VALUES ($1, $2, $3, $4, $5)",
                    [(placed.id, k, x.sku, x.quantity, x.price) for k, x in enumerate(placed.lines)],
                )
            await js.publish(SUBJECT["order"], encode(placed))

    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))


async def idiomatic_inventory(pool: asyncpg.Pool, js: JetStreamContext, message: Msg) -> None:
    placed = decode_order(message.data)
    async with pool.acquire() as connection, connection.transaction():
        for line in sorted(placed.lines, key=lambda x: x.sku):
            await connection.fetchrow("SELECT on_hand FROM stock WHERE sku = $1 FOR UPDATE", line.sku)
            await connection.execute(
                "UPDATE stock SET on_hand = on_hand - $2, shipped = shipped + $2 WHERE sku = $1",
                line.sku,
                line.quantity,
            )
        await connection.executemany(
            "INSERT INTO reservation VALUES ($1, $2, $3, $4)",
            [(placed.id, k, x.sku, x.quantity) for k, x in enumerate(placed.lines)],
        )
        await connection.execute("INSERT INTO shipment VALUES ($1)", placed.id)
    await js.publish(SUBJECT["inventory"], encode(Shipped(placed.id, placed.customer, amount(placed))))
    await message.ack()


async def idiomatic_finance(pool: asyncpg.Pool, js: JetStreamContext, message: Msg) -> None:
    shipped = decode_shipped(message.data)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO receivable VALUES ($1, $2, $3)", shipped.id, shipped.customer, shipped.amount
        )
        await connection.executemany(
            "INSERT INTO voucher_line VALUES ($1, $2, $3, $4, $5)", voucher(shipped.id, shipped.amount)
        )
    await message.ack()


# ---------------------------------------------------------------- one process


async def consume(
    js: JetStreamContext, source: str, orders: int, handle: Callable[[list[Msg]], Awaitable[None]]
) -> None:
    """Pull until `orders` messages have been handled."""
    subscription = await js.pull_subscribe_bind(f"floor-{source}", STREAM[source])
    seen = 0
    while seen < orders:
        try:
            messages = await subscription.fetch(BATCH, timeout=0.05)
        except (NothingYet, TimeoutError):
            continue
        await handle(messages)
        seen += len(messages)


async def run_step(step: str, way: str, orders: int, postgres: str, url: str) -> None:
    client = await nats.connect(url, pending_size=64 << 20)
    js = client.jetstream()
    pool = await asyncpg.create_pool(postgres, database=f"floor_{step}", min_size=2, max_size=10)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if step == "order":
        place = batched_order if way == "batched" else idiomatic_order
        await place(pool, client, js, orders)
    elif way == "batched":
        work = batched_inventory if step == "inventory" else batched_finance

        async def whole_batch(messages: list[Msg]) -> None:
            await work(pool, client, messages)
            await write(client, b"".join(b"PUB %b 4\r\n+ACK\r\n" % message.reply.encode() for message in messages))

        await consume(js, "order" if step == "inventory" else "inventory", orders, whole_batch)
    else:
        one = idiomatic_inventory if step == "inventory" else idiomatic_finance
        gate = asyncio.Semaphore(CONCURRENT)

        async def guarded(message: Msg) -> None:
            async with gate:
                await one(pool, js, message)

        async def one_by_one(messages: list[Msg]) -> None:
            await asyncio.gather(*(guarded(message) for message in messages))

        await consume(js, "order" if step == "inventory" else "inventory", orders, one_by_one)
    ended = time.time()
    await client.flush()
    used = os.times()
    sys.stdout.write(json.dumps({"ended": ended, "cpu": used.user + used.system}) + "\n")
    await pool.close()
    await client.close()


# ---------------------------------------------------------------- all three


class Floor(Struct):
    way: str
    orders: int
    seconds: float
    orders_per_second: float
    cpu_us_per_order: dict[str, float]


async def prepare(postgres: str, url: str) -> None:
    connection = await asyncpg.connect(postgres, database="postgres")
    for step in STEPS:
        await connection.execute(f"DROP DATABASE IF EXISTS floor_{step} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE floor_{step}")
        own = await asyncpg.connect(postgres, database=f"floor_{step}")
        await own.execute(TABLES[step])
        await own.close()
    await connection.close()
    client = await nats.connect(url)
    js = client.jetstream()
    for step, stream in STREAM.items():
        with contextlib.suppress(NotFoundError):
            await js.delete_stream(stream)
        await js.add_stream(
            StreamConfig(name=stream, subjects=[SUBJECT[step]], storage=StorageType.FILE, allow_atomic=True)
        )
        await js.add_consumer(
            stream,
            ConsumerConfig(durable_name=f"floor-{step}", ack_policy=AckPolicy.EXPLICIT, max_ack_pending=20_000),
        )
    await client.close()


async def clean_up(postgres: str, url: str) -> None:
    connection = await asyncpg.connect(postgres, database="postgres")
    for step in STEPS:
        await connection.execute(f"DROP DATABASE IF EXISTS floor_{step} WITH (FORCE)")
    await connection.close()
    client = await nats.connect(url)
    for stream in STREAM.values():
        await client.jetstream().delete_stream(stream)
    await client.close()


async def measure(way: str, orders: int, postgres: str, url: str) -> Floor:
    """Orders per second of one way, from the first order until the last voucher, on empty tables.

    Both addresses hold passwords, so they go to the processes by environment, which the process list does not show.
    """
    await prepare(postgres, url)
    command = [sys.executable, "-m", "tieout.devstack.bench.floor"]
    rest = ["--way", way, "--orders", str(orders)]
    processes: dict[str, asyncio.subprocess.Process] = {}
    try:
        for step in reversed(STEPS):
            processes[step] = await asyncio.create_subprocess_exec(
                *command,
                step,
                *rest,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "TIEOUT_FLOOR_NATS": url, "TIEOUT_FLOOR_POSTGRES": postgres},
            )
        for process in processes.values():
            assert process.stdout is not None
            if (await process.stdout.readline()).strip() != b"ready":
                raise RuntimeError(f"A process of the floor {way} did not start")
        started = time.time()
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            await process.stdin.drain()
        reports: dict[str, dict[str, Any]] = {}
        for step, process in processes.items():
            assert process.stdout is not None
            reports[step] = json.loads(await asyncio.wait_for(process.stdout.readline(), 600))
        for process in processes.values():
            await process.wait()
    finally:
        for process in processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()
    seconds = max(report["ended"] for report in reports.values()) - started
    await clean_up(postgres, url)
    return Floor(
        way=way,
        orders=orders,
        seconds=round(seconds, 2),
        orders_per_second=round(orders / seconds),
        cpu_us_per_order={step: round(report["cpu"] / orders * 1e6) for step, report in reports.items()},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--way", choices=("idiomatic", "batched"), required=True)
    parser.add_argument("--orders", type=int, required=True)
    given = parser.parse_args()
    import uvloop

    told = os.environ
    uvloop.run(run_step(given.step, given.way, given.orders, told["TIEOUT_FLOOR_POSTGRES"], told["TIEOUT_FLOOR_NATS"]))


if __name__ == "__main__":
    main()
