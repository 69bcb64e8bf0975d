"""Mend differences between the books: shown first, done with a reason, proved afterwards.

  preview   what would be done about each difference, and why; changes nothing
  run       show it, do it, and prove the books again
  list      what was repaired, by whom, why, and whether the books agreed afterwards

No repair edits a fact. What Tieout cannot do itself (a document that must come from its source) is told as words.

Exit code 0 only if every step is proved, or there is nothing to mend; 2 while nobody knows, as for `agreement`: a
service does not answer, or events are on their way.
"""

import argparse
import sys

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tieout.contracts.repair import RepairPreview, RepairResults, RepairStep
from tieout.devstack import consent, questions, usage
from tieout.devstack.moments import moment
from tieout.devstack.terminal import Screen

_SIGNS = {
    "proved": "[bold green]✓[/]",
    "not_proved": "[bold red]✗[/]",
    "failed": "[bold red]✗[/]",
    "running": "[yellow]…[/]",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    preview = what.add_parser("preview", help="what would be done; changes nothing")
    run = what.add_parser("run", help="show it, do it, prove it")
    run.add_argument("--reason", required=True, metavar="WHY", help="kept in the audit log")
    run.add_argument("--yes", action="store_true", help="do not ask before it is done")
    shown = what.add_parser("list", help="what was repaired")
    for one in (preview, run):
        one.add_argument("--cause", default="", metavar="C", help="only this cause: edited_by_hand, lost_by_broker …")
        one.add_argument("--measure", default="", metavar="M", help="only this measure: shipped, billed …")
    for one in (preview, run, shown):
        one.add_argument("--order", default="", metavar="NO", help="only this order number")
    usage.add_json(parser, "the same as one JSON document")


def run(arguments: argparse.Namespace) -> int:
    if arguments.what == "list":
        found = questions.get(arguments.dir, "/v1/repairs", RepairResults, {"order_no": arguments.order})
        return _tell_results(found, arguments.json)
    asked = {"order_no": arguments.order, "cause": arguments.cause, "measure": arguments.measure}
    preview = questions.get(arguments.dir, "/v1/repairs/preview", RepairPreview, asked, seconds_max=60)
    if arguments.what == "preview" or not preview.steps:
        if arguments.json:
            _write(preview)
        else:
            _tell_preview(preview, Screen())
        return {"agree": 0, "open": 2, "differ": 1}[preview.verdict]
    if not arguments.json:
        _tell_preview(preview, Screen())
    consent.make_sure(yes=arguments.yes)
    done = questions.post(
        arguments.dir,
        "/v1/repairs",
        RepairResults,
        {**asked, "token": preview.token, "reason": arguments.reason},
        seconds_max=90,
    )
    return _tell_results(done, arguments.json)


def _tell_preview(preview: RepairPreview, console: Console) -> None:
    table = Table(title="What would be done", title_justify="left", title_style="bold", header_style="dim", box=None)
    for column in ("measure", "cause", "events", "what is done", "why it is that cause"):
        table.add_column(column, overflow="fold")
    for step in preview.steps:
        done = escape(step.title) if step.runs else f"[yellow]by a person:[/] {escape(step.words or step.title)}"
        orders = ", ".join(step.order_nos[:3]) + (" …" if len(step.order_nos) > 3 else "")
        why = f"{escape(step.why)}\n[dim]{escape(orders)}[/]"
        if step.would:
            counts = ", ".join(f"{one.items} {one.outcome.replace('_', ' ')}" for one in step.would)
            done += f"\n[dim]dry run: {escape(counts)}{escape(_effect(step))}[/]"
        table.add_row(step.measure, step.cause.replace("_", " "), str(step.events), done, why)
    if preview.steps:
        console.print(table)
    console.print(escape(preview.sentence), style="bold", highlight=False)


def _effect(step: RepairStep) -> str:
    """What the dry run would change: figures of the books, as they are counted."""
    told = []
    for effect in step.effects:
        values = [
            (name, value) for name, value in zip(effect.values, (effect.a, effect.b), strict=True) if name and value
        ]
        named = ", ".join(f"{name} {value:+,}" for name, value in values)
        told.append(f"{effect.service} {effect.figure} {named} {effect.currency}".rstrip())
    return f"; {'; '.join(told)}" if told else ""


def _tell_results(found: RepairResults, as_json: bool) -> int:
    if as_json:
        _write(found)
    else:
        console = Screen()
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for column in ("", "when", "measure", "repair", "orders", "who and why", "what came of it"):
            table.add_column(column, overflow="fold")
        for result in found.results:
            orders = ", ".join(result.order_nos[:3]) + (" …" if len(result.order_nos) > 3 else "")
            table.add_row(
                _SIGNS[result.state],
                moment(result.at),
                result.measure,
                result.repair.replace("_", " "),
                escape(orders),
                escape(f"{result.actor}: {result.reason}"),
                escape(result.told),
            )
        console.print(table if found.results else "Nothing was repaired so far.")
        if found.sentence:
            console.print(found.sentence, style="bold", highlight=False)
    return 0 if all(result.state == "proved" for result in found.results) else 1


def _write(answer: msgspec.Struct) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
