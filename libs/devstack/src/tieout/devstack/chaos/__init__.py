"""Break things on purpose: seeded runs of a trading day on real processes, with kill -9, SIGSTOP, lost streams, cut
lines, full disks and poison in the middle, each judged by an independent checker that reads what was sent and the
databases.

A run is named by its seed; what it says is appended to <dir>/chaos/results.ndjson, and a seed that stands there is not
run again. The folder of a run that broke a rule is kept. Exit code 0 only if every run of this call was good.

    tieout chaos                        # one run
    tieout chaos --minutes 30           # as many as fit, from the first seed that was not run yet
    tieout chaos --seed 17 --again      # that one once more
    tieout chaos --only lose-streams    # this fault, alone or several separated by commas
    tieout chaos --permutations 20000   # instead: that many orders of delivery, in one process on a real Postgres
"""

import argparse
import asyncio
import hashlib
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
from rich.console import Console
from tieout.devstack.chaos import faults, permutations, seeded
from tieout.devstack.chaos.permutations import Outcome
from tieout.devstack.chaos.seeded import Result
from tieout.devstack.failures import CommandFailed
from tieout.devstack.migrations import fingerprint
from tieout.devstack.suite import installed_services
from tieout.devstack.terminal import Screen
from tieout.devstack.wording import counted

RESULTS = "results.ndjson"
PLAYED = "permutations.ndjson"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=0.0, metavar="M", help="run seed after seed for so long")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the first seed (1)")
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="at most so many runs")
    parser.add_argument("--again", action="store_true", help="also seeds that have been run before")
    parser.add_argument("--only", default="", metavar="F", help="these faults: " + ", ".join(sorted(faults.CATALOGUE)))
    parser.add_argument("--orders", type=int, default=seeded.ORDERS, metavar="N", help="orders of each run")
    parser.add_argument("--seconds", type=float, default=seeded.SECONDS, metavar="T", help="how long each run feeds")
    parser.add_argument(
        "--replicas",
        type=int,
        default=0,
        choices=range(4),
        metavar="R",
        help="processes of each service; 0 (the default): two in each third run",
    )
    parser.add_argument("--permutations", type=int, default=0, metavar="N", help="orders of delivery, in one process")
    parser.add_argument("--summary", action="store_true", help="run nothing, tell what all runs so far have found")
    parser.add_argument("--json", action="store_true", help="one JSON document at the end")


def run(arguments: argparse.Namespace) -> int:
    unknown = {name for name in arguments.only.split(",") if name} - set(faults.CATALOGUE)
    if unknown:
        raise CommandFailed(f"no such fault: {', '.join(sorted(unknown))}. There are {', '.join(faults.CATALOGUE)}")
    folder: Path = arguments.dir / "chaos"
    folder.mkdir(parents=True, exist_ok=True)
    console = Screen(stderr=arguments.json)
    if arguments.permutations:
        return _permute(arguments, folder, console)
    if arguments.summary:
        results = list(read_results(folder / RESULTS))
    else:
        results = asyncio.run(_runs(arguments, folder, console))
    _tell(results, console)
    if arguments.json:
        document = {"summary": summary(results), "runs": results}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
    return 0 if results and all(result.good for result in results) else 1


def _permute(arguments: argparse.Namespace, folder: Path, console: Console) -> int:
    """Seeds that have been played before count, unless they are to be played again."""
    path = folder / PLAYED
    played = {} if arguments.again else {one.seed: one for one in permutations.read_outcomes(path)}

    def tell(outcome: Outcome) -> None:
        with path.open("ab") as kept:
            kept.write(msgspec.json.encode(outcome) + b"\n")
        for finding in outcome.findings:
            console.print(f"  ! seed {outcome.seed}: {finding}", style="red", markup=False, soft_wrap=True)

    wanted = list(permutations.seeds(arguments.seed, arguments.permutations))
    rest = [seed for seed in wanted if seed not in played]
    if rest and not arguments.summary:
        for outcome in asyncio.run(permutations.play_all(rest, tell, arguments.minutes)):
            played[outcome.seed] = outcome
    told = permutations.summary([played[seed] for seed in wanted if seed in played])
    console.print(
        f"{told['permutations']} permutations, {told['good']} of {told['runs']} runs good: {told['commands']} "
        f"documents, {told['deliveries']} deliveries, {told['repeated']} acknowledgements lost, {told['failures']} "
        f"awaits failed at {told['places']} kinds of places",
        highlight=False,
        soft_wrap=True,
    )
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")
    return 0 if told["runs"] and told["good"] == told["runs"] else 1


def read_results(path: Path) -> Iterable[Result]:
    if path.exists():
        for line in path.read_bytes().splitlines():
            yield msgspec.json.decode(line, type=Result)


def summary(results: list[Result]) -> dict[str, int]:
    return {
        "runs": len(results),
        "good": sum(result.good for result in results),
        "faults": sum(len(result.faults) for result in results),
        "failpoint_strikes": sum(result.failpoints for result in results),
        "poison": sum(result.poison for result in results),
        "documents": sum(result.documents for result in results),
        "acknowledged": sum(result.acknowledged for result in results),
        "lost": sum(result.lost for result in results),
        "doubled": sum(result.doubled for result in results),
        "memory_mb_max": max((size for result in results for size in result.memory_mb.values()), default=0),
    }


async def _runs(arguments: argparse.Namespace, folder: Path, console: Console) -> list[Result]:
    ends = time.monotonic() + arguments.minutes * 60
    schema = hashlib.sha256(fingerprint(installed_services()).encode()).hexdigest()[:12]  # Of another one: made anew.
    furnished = folder / f"furnished-{arguments.orders}-{schema}"
    if not furnished.exists():
        for old in folder.glob("furnished-*"):
            shutil.rmtree(old, ignore_errors=True)
        console.print("Furnishing a stack to copy for each run ...", style="dim")
        await seeded.furnish(furnished, arguments.orders)
    done = set() if arguments.again or arguments.only else {one.seed for one in read_results(folder / RESULTS)}
    results: list[Result] = []
    seed = arguments.seed
    most = arguments.runs or (1 if not arguments.minutes else sys.maxsize)
    while len(results) < most:
        while seed in done:
            seed += 1
        where = folder / f"run-{seed}"
        replicas = arguments.replicas or (2 if seed % 3 == 0 else 1)
        result = await seeded.run(
            furnished,
            where,
            seed,
            orders=arguments.orders,
            seconds=arguments.seconds,
            only=arguments.only,
            replicas=replicas,
        )
        results.append(result)
        if not arguments.only:
            with (folder / RESULTS).open("ab") as kept:
                kept.write(msgspec.json.encode(result) + b"\n")
        _tell_one(result, where, console)
        seed += 1
        if arguments.minutes and time.monotonic() + result.seconds > ends:
            break
    if len(list(folder.glob("run-*"))) > 20:
        for old in sorted(folder.glob("run-*"), key=lambda path: path.stat().st_mtime)[:-20]:
            shutil.rmtree(old, ignore_errors=True)
    return results


def _tell_one(result: Result, where: Path, console: Console) -> None:
    colour = "green" if result.good else "red"
    console.print(
        f"seed {result.seed}: {'good' if result.good else 'BROKEN'}  {counted(result.acknowledged, 'document')}, "
        f"{f'{result.replicas} of each service, ' if result.replicas > 1 else ''}"
        f"{counted(len(result.faults), 'fault')}, {counted(result.failpoints, 'failpoint')}, {result.seconds:.0f} s "
        f"(settled in {result.settled_seconds:.0f} s)",
        style=colour,
        highlight=False,
    )
    for fault in result.faults:
        console.print(f"    {fault}", style="dim", highlight=False, soft_wrap=True)
    for finding in result.findings:
        console.print(f"  ! {finding}", style="red", highlight=False, soft_wrap=True, markup=False)
    if not result.good:
        console.print(f"  kept: {where}", style="yellow", soft_wrap=True)


def _tell(results: list[Result], console: Console) -> None:
    told = summary(results)
    console.print(
        f"{told['runs']} runs, {told['good']} good: {told['faults']} faults, {told['failpoint_strikes']} failpoints, "
        f"{told['poison']} poisoned, {counted(told['documents'], 'document')} sent, "
        f"{told['acknowledged']} acknowledged, {told['lost']} lost, {told['doubled']} doubled; "
        f"at most {told['memory_mb_max']} MB in a service",
        highlight=False,
        soft_wrap=True,
    )
