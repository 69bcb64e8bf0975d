"""Intake over HTTP: what the gateway acknowledges as committed. Floor: GET /healthz there, with the same client."""

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct
from rich.table import Table
from tieout.contracts.gateway import HOLD_SATELLITE, HoldSatellite
from tieout.devstack.bench import load
from tieout.devstack.calling import call
from tieout.devstack.failures import CommandFailed

CONNECTIONS = 32


class IntakeReport(Struct, frozen=True):
    requests: int
    requests_per_second: float
    bulk_documents: int
    bulk_documents_per_second: float
    bulk_megabytes_per_second: float
    ping_requests_per_second: float  # The floor: GET /healthz over the same connections, nothing stored.


async def measure(folder: Path, requests: int, documents: int) -> IntakeReport:
    async with load.ready(folder) as bench:
        await call(bench.client, HOLD_SATELLITE, HoldSatellite(load.SHOP, held=True))  # Intake alone, no mapping.
        where = urlsplit(bench.stack.endpoints().gateway)
        host, port = where.hostname or "127.0.0.1", where.port or 80
        ping = b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"
        pings = await _rate(host, port, [ping] * requests)
        single = [_post(bench, body, f"single-{n}") for n, body in enumerate(load.orders(requests))]
        singles = await _rate(host, port, single)
        bodies = list(load.orders(documents, first=requests + 1))
        size = sum(map(len, bodies))
        started = time.monotonic()
        await load.send_in_bulk(bench, iter(bodies))
        seconds = time.monotonic() - started
        received = (await bench.progress()).received
        if received != requests + documents:
            raise CommandFailed(f"the gateway holds {received} documents, {requests + documents} were acknowledged")
    return IntakeReport(
        requests=requests,
        requests_per_second=round(singles),
        bulk_documents=documents,
        bulk_documents_per_second=round(documents / seconds),
        bulk_megabytes_per_second=round(size / seconds / 1e6, 1),
        ping_requests_per_second=round(pings),
    )


def _post(bench: load.Bench, body: bytes, delivery: str) -> bytes:
    headers = {**bench.headers(delivery, body), "Content-Length": str(len(body)), "Host": "bench"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/intake/{load.SHOP}/shopify-orders HTTP/1.1\r\n{lines}\r\n".encode() + body


async def _rate(host: str, port: int, requests: list[bytes]) -> float:
    """Requests per second over keep-alive connections; each waits for its answer before the next."""
    todo = iter(requests)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            for request in todo:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head[9:12])
                length = next(
                    int(line.partition(b":")[2])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                )
                answer = await reader.readexactly(length)
                if status >= 300:
                    raise CommandFailed(f"the gateway answered HTTP {status}: {answer[:300]!r}")
        finally:
            writer.close()

    started = time.monotonic()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return len(requests) / (time.monotonic() - started)


def table(report: IntakeReport) -> Table:
    shown = Table(title="intake, acknowledged after its commit", title_justify="left")
    shown.add_column("")
    shown.add_column("per second", justify="right")
    shown.add_row(f"single documents, {CONNECTIONS} connections", f"{report.requests_per_second:,.0f}")
    shown.add_row("floor: an empty request to the same server", f"{report.ping_requests_per_second:,.0f}")
    shown.add_row("documents in bulk (NDJSON)", f"{report.bulk_documents_per_second:,.0f}")
    shown.add_row("megabytes in bulk", f"{report.bulk_megabytes_per_second:,.1f}")
    return shown
