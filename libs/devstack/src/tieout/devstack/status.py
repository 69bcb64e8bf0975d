"""What runs, how far each service is behind, and what waits: outboxes, dead letters, stalled consumers.

Exit code 0 when everything is up, 1 otherwise.
"""

import argparse
import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tieout.contracts.control import ServiceStatus, Status, StatusRequest, StepLatency
from tieout.contracts.operation import UNSEEN_SECONDS_MAX
from tieout.devstack import endpoints, hints, remote, silent
from tieout.devstack.failures import CommandFailed
from tieout.devstack.journey import duration
from tieout.devstack.moments import moment
from tieout.devstack.questions import refusal, same_version
from tieout.devstack.stack_folder import ProcessFacts
from tieout.devstack.terminal import Screen, fits
from tieout.devstack.wording import counted

STATUS_SECONDS_MAX = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")


def run(arguments: argparse.Namespace) -> int:
    where = endpoints.of_stack(arguments.dir)
    facts = processes(arguments.dir) if remote.chosen() is None else []  # Its machine is not this one.
    status, failure = _ask(where)
    up = all(fact["up"] for fact in facts) and status is not None and all(s.up for s in status.services)
    if arguments.json:
        told = {"up": up, "gateway": where.gateway, "processes": facts, "failure": failure}
        told["status"] = msgspec.to_builtins(status)
        print(json.dumps(told, indent=2))
    else:
        console = Screen()
        show(console if console.is_terminal else Screen(width=120), where.gateway, facts, status, failure)
    return 0 if up else 1


def processes(folder: Path) -> list[dict[str, Any]]:
    try:
        noted = msgspec.json.decode((folder / "run" / "processes.json").read_bytes(), type=list[ProcessFacts])
    except (OSError, msgspec.MsgspecError) as error:
        raise CommandFailed(f"{endpoints.not_running(folder)} ({error})") from None
    entries = []
    for fact in noted:
        entry: dict[str, Any] = {"name": fact.name, "up": False, "pid": fact.pid, "restarts": fact.restarts}
        entry["suspended"] = False
        entry |= {"memory_bytes": 0, "up_seconds": 0.0, "log": fact.log}
        with contextlib.suppress(psutil.Error):
            if fact.pid:
                process = psutil.Process(fact.pid)
                entry["up"] = process.status() != psutil.STATUS_ZOMBIE
                entry["suspended"] = process.status() == psutil.STATUS_STOPPED
                entry["memory_bytes"] = _memory(process)
                entry["up_seconds"] = round(time.time() - process.create_time(), 1)
        entries.append(entry)
    return entries


def _memory(process: psutil.Process) -> int:
    """Its own and its children's; pages that they share are counted once (Linux), so Postgres is not overstated."""
    total = 0
    for part in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            full = part.memory_full_info()
            total += getattr(full, "pss", full.rss)
    return total


def _ask(where: endpoints.Endpoints) -> tuple[Status | None, str]:
    try:
        with where.client(timeout=STATUS_SECONDS_MAX) as client:
            answer = client.get("/v1/status")
    except httpx.TimeoutException:
        return None, f"{_who(where)} did not answer within {STATUS_SECONDS_MAX:g} s. {_what_is_wrong()}"
    except (httpx.HTTPError, OSError):
        if remote.chosen() is not None:
            return None, f"Nothing answers at {where.gateway}. {hints.status()}"
        return None, (
            f"Nothing answers at {where.gateway}. The gateway's log: {hints.command('logs gateway')}. "
            f"If its launcher is gone: {hints.command('down')}, then {hints.command('up --detach')}"
        )
    if remote.chosen() is not None and answer.status_code in (401, 403):
        return None, refusal(answer)  # Nothing is wrong there: whoever asks may not.
    if answer.is_error:
        return None, (f"The gateway cannot tell how the services are ({refusal(answer)}). {_what_is_wrong()}")
    try:
        return msgspec.json.decode(answer.content, type=Status), ""
    except msgspec.MsgspecError:
        return None, f"{where.gateway} answers what this version does not understand. {same_version()}"


def _who(where: endpoints.Endpoints) -> str:
    """The gateway passes the question on to control, and waits for it longer than we do."""
    try:
        silent.alive(where)
    except httpx.HTTPError:
        return "The gateway"
    return "The gateway lives, and control, which it asks,"


def _what_is_wrong() -> str:
    return f"What is wrong: {hints.command('doctor')}"


def show(console: Console, gateway: str, facts: list[dict[str, Any]], status: Status | None, failure: str) -> None:
    services = {service.service: service for service in status.services} if status else {}
    console.print(f"gateway {gateway}")
    if facts:
        _show_processes(console, facts, services)
    elif services:
        _show_services(console, services.values())
    if status is None:
        console.print(Text(failure, style="red"), soft_wrap=True)
        return
    for told in _replicas(status):
        console.print(told, highlight=False)
    for gone in status.missing_streams:
        console.print(
            f"[red]the hub has no stream {gone.stream} since {moment(gone.since)}[/]: nothing is announced on it. Its "
            f"service makes it anew within 20 s and publishes again what it held. {_what_is_wrong()}",
            highlight=False,
            soft_wrap=True,
        )
    for site in status.sites:
        when = f"made anew {moment(site.remade_at)}" if site.state == "ok" else f"gone since {moment(site.since)}"
        told = f"[red]the stream that {site.site} sells into was deleted, {when}[/]: sales may be missing."
        console.print(f"{told} {_what_is_wrong()}", highlight=False, soft_wrap=True)
    for flow in status.flows:
        if flow.paused_until:
            console.print(f"[red]{flow.durable} was paused on the hub until {flow.paused_until}[/]")
        if flow.stalled_seconds > 0:
            wait = counted(flow.waiting, "waits", "wait")
            console.print(f"[red]{flow.durable} has not moved for {flow.stalled_seconds:.0f} s, {wait}[/]")
            continue
        wait = counted(flow.waiting + flow.unacked, "waits", "wait")
        if flow.done_in_seconds > 0:
            done = f"done in about {flow.done_in_seconds:.0f} s at {flow.drained_per_second:g} messages/s"
            console.print(f"{flow.durable}: {wait}, {done}", highlight=False)
        elif flow.done_in_seconds < 0:
            console.print(f"[yellow]{flow.durable}: {wait}, and it becomes more[/]")
    if status.latencies:
        _show_latencies(console, status.latencies)
    if status.findings:
        found = counted(status.findings, "finding")
        console.print(f"[red]{found} of the services' own scrubs[/]: {hints.command('agreement')}")
    if status.unchecked:
        told = ", ".join(status.unchecked)
        console.print(f"[red]not checked: {told}[/]: {hints.command('doctor')}", highlight=False, soft_wrap=True)
    if status.dead_letters or status.disagreements:
        dead, differ = counted(status.dead_letters, "dead letter"), counted(status.disagreements, "disagreement")
        console.print(f"[red]{dead}, {differ}[/]")


def _show_latencies(console: Console, latencies: Sequence[StepLatency]) -> None:
    console.print(f"step latency of the last {StatusRequest().minutes} minutes, ms", highlight=False)
    table = _latencies(latencies)
    console.print(table if fits(console, table) else _latencies(latencies, folded=True))
    console.print(Text(WHY_COUNTS_DIFFER, style="dim"))


def _latencies(latencies: Sequence[StepLatency], *, folded: bool = False) -> Table:
    """`folded`: on a narrow terminal a step stands on two lines, so that no name or figure is broken."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("from, to",) if folded else ("from", "to"):
        table.add_column(heading, overflow="fold")
    for heading in ("count", "p50", "p95", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for step in latencies:
        figures = (f"{value:,.0f}" for value in (step.p50_ms, step.p95_ms, step.p99_ms))
        before, after = (name.rpartition(".v")[0] or name for name in (step.before, step.after))
        if folded:
            table.add_row(before)
            table.add_row(f"  {after}", f"{step.count:,}", *figures)
        else:
            table.add_row(before, after, f"{step.count:,}", *figures)
    return table


def _show_processes(console: Console, facts: list[dict[str, Any]], services: Mapping[str, ServiceStatus]) -> None:
    columns = list(_COLUMNS)
    rows = [_row(fact, services.get(fact["name"])) for fact in facts]
    table = _table(columns, rows)
    for dropped in _DROPPED:
        if fits(console, table):
            break
        columns.remove(dropped)
        table = _table(columns, rows)
    console.print(table)
    total = sum(fact["memory_bytes"] for fact in facts) / 2**20
    console.print(f"memory in all: {total:.0f} MB", highlight=False)


def _row(fact: Mapping[str, Any], service: ServiceStatus | None) -> dict[str, str]:
    up = "[green]yes[/]" if fact["up"] else "[red]no[/]"
    if fact["suspended"]:
        up = "[red]suspended[/]"
    row = {"": fact["name"], "up": up, "pid": str(fact["pid"]), "restarts": str(fact["restarts"])}
    row["memory"] = f"{fact['memory_bytes'] / 2**20:,.0f} MB"
    if service is not None:
        row |= zip(_COLUMNS[-4:], _counts(service), strict=True)
        if not (service.up or fact["suspended"]):
            row["up"] = "[red]silent[/]"
    return row


def _table(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in columns:
        table.add_column(heading, justify="left" if heading in ("", "up") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row.get(heading, "") for heading in columns))
    return table


def _show_services(console: Console, services: Iterable[ServiceStatus]) -> None:
    """What they say of themselves, for an installation of whose machines nothing is seen from here."""
    rows = []
    for service in services:
        up = "[green]yes[/]" if service.up else "[red]silent[/]"
        processes = sum(len(health.replicas) for health in service.instances)
        counts = zip(_COLUMNS[-4:], _counts(service), strict=True)
        rows.append({"": service.service, "up": up, "processes": str(processes), **dict(counts)})
    console.print(_table(("", "up", "processes", *_COLUMNS[-4:]), rows))


def _counts(service: ServiceStatus) -> list[str]:
    """What waits for it, in its outbox, for partners, and what died there."""
    health = service.instances
    waiting, *others = (str(sum(getattr(h, name) for h in health)) for name in _COUNTS)
    oldest = max((h.outbox_oldest_seconds for h in health if h.outbox_waiting), default=0.0)
    if oldest >= 1:
        waiting += f", {duration(oldest * 1000)}"
    return [str(service.waiting), waiting, *others]


def _replicas(status: Status) -> Iterator[str]:
    """Services of which several processes run, or one that is not as it should be: each process on a line."""
    for service in status.services:
        every = [one for health in service.instances for one in health.replicas]
        wrong = [one for one in every if not one.ready or one.stopped or one.unseen_seconds > UNSEEN_SECONDS_MAX]
        if len(every) < 2 and not wrong:
            continue
        yield f"{service.service}: {counted(len(every), 'process', 'processes')}"
        for one in every:
            state = "ready" if one.ready else "[yellow]not ready[/]"
            if one.unseen_seconds > UNSEEN_SECONDS_MAX:
                state = f"[red]not heard of for {one.unseen_seconds:.0f} s[/]"
            elif one.stopped:
                state = f"[red]stopped: {', '.join(one.stopped)}[/]"
            memory = f"{one.memory_bytes / 2**20:.0f} MB"
            yield f"  {one.host} {one.pid}, {one.version}, since {moment(one.started_at)}, {memory}, {state}"


# Below the latencies: else whoever compares the counts looks for what was lost.
WHY_COUNTS_DIFFER = (
    "Counts differ: not every document takes every step, one may cause several, and what is under way is not counted."
)
_COLUMNS = ("", "up", "pid", "memory", "restarts", "waiting", "outbox", "parked", "dead")
_DROPPED = ("pid", "restarts", "memory")  # Where the terminal is too narrow, one after the other; --json has them all.
_COUNTS = ("outbox_waiting", "parked", "dead")
