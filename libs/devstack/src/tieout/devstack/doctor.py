"""Run all checks: what is wrong, why it matters, and the next step.

Looks at the stack's processes and disk from outside (not with --url), then asks `control` for its own checks of
services, databases, locks, flows, lag, outboxes, dead letters, agreement, satellites, memory, streams and tables.

Exit code 0 when all is well or only worth a look, 1 when something is wrong.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from rich.markup import escape
from rich.text import Text
from tieout.contracts.watch import Check, Checkup
from tieout.devstack import endpoints, hints, remote, silent, status
from tieout.devstack.endpoints import Endpoints
from tieout.devstack.failures import CommandFailed
from tieout.devstack.questions import refusal, same_version
from tieout.devstack.terminal import Screen, tell
from tieout.devstack.wording import counted, why_silent

_DISK_BYTES_MIN = 2 << 30
_DISK_BYTES_FEW = 10 << 30
_RESTARTS_MANY = 3
CHECKUP_SECONDS_MAX = 15.0  # It looks at every service and every table; the gateway itself would wait for longer.
_WITHOUT = "Documents are taken in and booked without it, but the other checks are control's: nobody watches."
_SIGNS = {"ok": "[green]✓[/]", "look": "[yellow]![/]", "wrong": "[bold red]✗[/]", "unknown": "[yellow]?[/]"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    parser.add_argument("--all", action="store_true", help="tell also what is well, check by check")


def run(arguments: argparse.Namespace) -> int:
    found = examine(arguments.dir)
    if arguments.json:
        print(json.dumps([msgspec.to_builtins(check) for check in found], indent=2, ensure_ascii=False))
    else:
        _show(found, everything=arguments.all)
    return 1 if any(check.state == "wrong" for check in found) else 0


def examine(folder: Path) -> list[Check]:
    """All checks, those that need nothing but this machine first."""
    if remote.chosen() is not None:  # Disk and processes are another machine's; control tells what it sees of them.
        return _asked(endpoints.of_stack(folder))
    found = [_disk(folder)]
    try:
        where = endpoints.of_stack(folder)
        facts = status.processes(folder)
    except CommandFailed as failure:
        up = hints.command("up", folder)
        return [*found, Check("stack", "wrong", str(failure), "Without a stack there is nothing to examine.", up)]
    found.append(_processes(facts))
    return [*found, *_asked(where)]


def _disk(folder: Path) -> Check:
    """The fullest of those that the stack's servers write to; usually there is one."""
    place = next(one for one in (folder, *folder.parents) if one.exists())
    places = [place, *(path for path in (folder / "postgres", folder / "hub") if path.exists())]
    free, where = min((shutil.disk_usage(one).free, str(one)) for one in places)
    room = f"{free / 2**30:.1f} GB" if free >= 1 << 30 else f"{free >> 20} MB"
    told = f"{room} are free where {where} lies."
    if free >= _DISK_BYTES_FEW:
        return Check("disk", "ok", told)
    why = "A full disk stops Postgres and NATS: documents are refused at the door, and nothing is booked."
    step = "Make room, or lower the retention: docs/retention.md"
    return Check("disk", "wrong" if free < _DISK_BYTES_MIN else "look", told, why, step, "DiskFull")


def _processes(facts: Sequence[dict[str, Any]]) -> Check:
    down = [fact["name"] for fact in facts if not fact["up"]]
    if down:
        step = hints.command(f"logs {down[0]}")
        why = "What it does is not done until it runs again; the launcher starts services anew by itself."
        return Check("processes", "wrong", f"Not running: {', '.join(down)}.", why, step, "ServiceAway")
    suspended = [fact for fact in facts if fact["suspended"]]
    if suspended:
        told = f"Suspended (SIGSTOP): {', '.join(fact['name'] for fact in suspended)}."
        why = "Who is suspended does nothing and answers nobody, and nobody starts it anew."
        step = f"kill -CONT {' '.join(str(fact['pid']) for fact in suspended)}"
        return Check("processes", "wrong", told, why, step, "ServiceAway")
    restless = [f"{fact['name']} {fact['restarts']} times" for fact in facts if fact["restarts"] >= _RESTARTS_MANY]
    if restless:
        step = hints.command(f"logs {restless[0].partition(' ')[0]}")
        why = "Nothing is lost by a restart, but whoever dies repeatedly gets little done."
        return Check("processes", "look", f"Started again: {', '.join(restless)}.", why, step, "ServiceAway")
    return Check("processes", "ok", f"All {len(facts)} processes run.")


def _asked(where: Endpoints) -> list[Check]:
    """control's own checks, or why there are none: then the servers are asked without it."""
    step = hints.command("logs gateway") if remote.chosen() is None else hints.status()
    try:
        silent.alive(where)
    except httpx.HTTPError as error:
        why = "Satellites cannot hand in documents over HTTP, and nobody can ask anything."
        told = f"{where.gateway} does not answer: {why_silent(error)}."
        return [Check("gateway", "wrong", told, why, step, "ServiceAway"), *silent.servers(where)]
    gateway = Check("gateway", "ok", f"{where.gateway} answers.")
    step = hints.command("logs control") if remote.chosen() is None else hints.status()
    try:
        with where.client(timeout=CHECKUP_SECONDS_MAX) as client:
            answer = client.get("/v1/checkup")
    except httpx.HTTPError as error:
        told = f"Of control there is no answer: {why_silent(error)} ({CHECKUP_SECONDS_MAX:g} s)."
        return [gateway, Check("control", "wrong", told, _WITHOUT, step, "ServiceAway"), *silent.servers(where)]
    if remote.chosen() is not None and answer.status_code in (401, 403):
        raise CommandFailed(refusal(answer))
    if answer.is_error:
        told = f"/v1/checkup: HTTP {answer.status_code}: {refusal(answer)}"
        return [gateway, Check("control", "wrong", told, _WITHOUT, step, "ServiceAway"), *silent.servers(where)]
    try:
        return [gateway, *msgspec.json.decode(answer.content, type=Checkup).checks]
    except msgspec.MsgspecError:
        told = f"{where.gateway} answers what this version does not understand. {same_version()}"
        raise CommandFailed(told) from None


def _show(found: Sequence[Check], *, everything: bool) -> None:
    console = Screen()
    for check in found:
        if check.state == "ok" and not everything:
            continue
        heading = Text.from_markup(f"{_SIGNS[check.state]} [bold]{escape(check.name)}[/]  ")
        tell(console, heading.append(check.found))
        if check.why:
            tell(console, Text(f"why it matters  {check.why}"), indent=20, first=4)
        if check.next_step:
            tell(console, Text(f"next step       {hints.fitted(check.next_step)}"), indent=20, first=4)
        if check.runbook:
            console.print(f"    runbook         docs/runbooks/{check.runbook}.md", highlight=False)
    well = sum(check.state == "ok" for check in found)
    wrong = sum(check.state == "wrong" for check in found)
    told = f"{counted(len(found), 'check')}: {well} well, {len(found) - well - wrong} worth a look, {wrong} wrong."
    console.print(f"[{'red' if wrong else 'green'}]{told}[/]", highlight=False)
