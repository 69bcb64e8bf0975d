"""Measure throughput and latency on this machine. Each figure is printed beside its floor.

  chain     a backlog of raw documents until every voucher is posted and the books agree
  http      requests and documents per second that the gateway acknowledges as committed
  latency   placed-to-voucher percentiles at a steady rate
  soak      a steady rate for long: memory, latency and dead rows stay flat, and the books agree at the end
  replay    orders that the ledger never got, replayed until the books agree again
  agreement what the proof costs with ten thousand to a million orders
  watch     how soon control knows that something stands still, and why

A stack of its own is started in D/bench and removed afterwards. Everything is durable: fsync on, every message synced.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    chain = what.add_parser("chain", help="orders per second of the whole chain, beside two floors")
    chain.add_argument("--orders", type=_above_zero, default=12_000, metavar="N", help="default: 12000")
    chain.add_argument("--no-floors", action="store_true", help="leave the floors out: for profiling")
    http = what.add_parser("http", help="intake over HTTP: single requests, and bulk")
    http.add_argument("--requests", type=_above_zero, default=5_000, metavar="N", help="default: 5000")
    http.add_argument("--documents", type=_above_zero, default=20_000, metavar="N", help="in bulk; default: 20000")
    latency = what.add_parser("latency", help="placed-to-voucher percentiles in open loop")
    latency.add_argument("--rate", type=_above_zero, default=500, metavar="R", help="orders/s; default: 500")
    latency.add_argument("--seconds", type=_above_zero, default=20, metavar="S", help="default: 20")
    soak = what.add_parser("soak", help="a steady rate for long: nothing may grow")
    soak.add_argument("--minutes", type=_minutes, default=30.0, metavar="M", help="default: 30")
    soak.add_argument("--rate", type=_above_zero, default=500, metavar="R", help="orders/s; default: 500")
    replay = what.add_parser("replay", help="replay a backlog until the agreement is proved")
    replay.add_argument("--orders", type=_above_zero, default=12_000, metavar="N", help="default: 12000")
    agreement = what.add_parser("agreement", help="cost of the proof as the books grow")
    agreement.add_argument(
        "--orders", type=_above_zero, nargs="+", default=[10_000, 100_000], metavar="N", help="default: 10000 100000"
    )
    agreement.add_argument("--lines", type=_above_zero, default=2, metavar="L", help="per order; default: 2")
    watch = what.add_parser("watch", help="seconds until a stall is known: a service hangs, is gone, waits for a lock")
    for one in (chain, http, latency, soak, replay, agreement, watch):
        one.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.dir / "bench"
    if arguments.what == "chain":
        from tieout.devstack.bench import chain

        report = asyncio.run(chain.measure(folder, arguments.orders, floors=not arguments.no_floors))
        shown = chain.table(report)
    elif arguments.what == "http":
        from tieout.devstack.bench import intake

        taken = asyncio.run(intake.measure(folder, arguments.requests, arguments.documents))
        report, shown = taken, intake.table(taken)  # type: ignore[assignment]
    elif arguments.what == "soak":
        from tieout.devstack.bench import soak

        endured = asyncio.run(soak.measure(folder, arguments.minutes, arguments.rate))
        report, shown = endured, soak.table(endured)  # type: ignore[assignment]
    elif arguments.what == "replay":
        from tieout.devstack.bench import replay

        replayed = asyncio.run(replay.measure(folder, arguments.orders))
        report, shown = replayed, replay.table(replayed)  # type: ignore[assignment]
    elif arguments.what == "agreement":
        from tieout.devstack.bench import agreement

        proofs = asyncio.run(agreement.measure(folder, arguments.orders, arguments.lines))
        report, shown = proofs, agreement.table(proofs)  # type: ignore[assignment]
    elif arguments.what == "watch":
        from tieout.devstack.bench import watch

        known = asyncio.run(watch.measure(folder))
        report, shown = known, watch.table(known)  # type: ignore[assignment]
    else:
        from tieout.devstack.bench import latency

        waited = asyncio.run(latency.measure(folder, arguments.rate, arguments.seconds))
        report, shown = waited, latency.table(waited)  # type: ignore[assignment]
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        from tieout.devstack.terminal import Screen

        Screen().print(shown)
    return 0 if getattr(report, "flat", True) else 1


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 1 <= minutes <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes from 1 on")
    return minutes


def _above_zero(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)
