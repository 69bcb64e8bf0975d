"""Compare a satellite's own list of orders with what has arrived: what never came, is kept back, or differs.

    tieout census SHOP orders.csv      number,amount,currency,date with a header line
    tieout census SHOP https://shop.example/orders.json
        a JSON array, or an object that holds one, or one object a line
    tieout census SHOP FILE --number order_number --amount total_price
    tieout census SHOP FILE --missing missing.txt
        write the numbers that never came, one a line
    tieout census SHOP FILE --fetch URL --channel C --secret-file F
        fetch those, and hand them in as the satellite; URL is like
        https://shop.example/orders/{number}.json
    tieout census SHOP FILE --request https://shop.example/resend
        ask the source (POST, JSON) to send them again

A number with a leading # in the list is the one without it here, and the other way round, as shops show #1001 for
1001; that is told. Amounts are decimal, with tax, in the currency beside them. What the list does not tell is not
compared. Nothing is booked by comparing; what is fetched goes through intake like everything else, so nothing is ever
booked twice.

A number listed more than once is one order; that is told. A list has at most 256 MiB, and a URL 2 minutes to answer.

Exit code 0 when the list and we agree, 1 where they differ.
"""

import argparse
import asyncio
import csv
import io
import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tieout.contracts.currency import EXPONENTS, spelled
from tieout.contracts.gateway import PROGRESS, SATELLITES, ListSatellites, ProgressRequest, ProgressView, Satellites
from tieout.contracts.watch import (
    CENSUS,
    CENSUS_OURS,
    CensusPart,
    CensusRequest,
    Counted,
    Listed,
    Ours,
    OursRequest,
    other_sign,
)
from tieout.devstack import census_source, endpoints, hints
from tieout.devstack.calling import call
from tieout.devstack.failures import CommandFailed
from tieout.devstack.satellites import Door, key_headers, shopify_headers
from tieout.devstack.terminal import Screen
from tieout.devstack.wording import counted, why_silent

PART = 2_000  # Orders in one question.
LISTED_MAX = 50  # On the screen; --json tells all.
SOURCE_SECONDS = 30.0
FETCHED_BYTES_MAX = 32 << 20  # As the gateway takes in.
# Halves of a character, as JSON can spell them, and what ends or steers a line.
UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
AMOUNT_END = 2**63  # As the books count.


class Report(Struct):
    """What the comparison found."""

    satellite: str
    listed: int
    agree: int
    found: list[Counted]
    only_ours: list[str]  # In the days of the list; the source does not list them.
    still_waiting: int = 0  # Documents of the satellite that are not mapped yet: some of the missing may be among them.
    fetched: int = 0
    requested: int = 0
    listed_again: list[str] = []  # Numbers that the source lists more than once; each is one order of `listed`.
    other_sign: list[str] = []  # As listed; here they are the same with, or without, a leading #.
    theirs: dict[str, Listed] = {}  # Of those that differ: as the source lists them.

    @property
    def missing(self) -> list[str]:
        return list(dict.fromkeys(one.number for one in self.found if one.state == "missing"))

    @property
    def holds(self) -> bool:
        return not self.found and not self.only_ours


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("satellite", help="whose orders these are")
    parser.add_argument("source", help="file or URL with the satellite's own list; - is standard input")
    parser.add_argument("--number", default="number", metavar="FIELD", help="field of the order number")
    parser.add_argument("--amount", default="amount", metavar="FIELD", help="field of the amount with tax")
    parser.add_argument("--currency", default="currency", metavar="FIELD")
    parser.add_argument("--date", default="date", metavar="FIELD", help="field of the business day or instant")
    parser.add_argument("--missing", metavar="FILE", help="write the numbers that never came, one a line")
    parser.add_argument("--request", metavar="URL", help="tell the source which orders to send again")
    parser.add_argument("--fetch", metavar="URL", help="where one order can be fetched; {number} stands for its number")
    parser.add_argument("--channel", default="tieout", metavar="C", help="through which fetched orders are handed in")
    parser.add_argument("--topic", default="orders/create", metavar="T", help="of a Shopify webhook")
    parser.add_argument("--secret-file", metavar="F", help="the satellite's key or secret, to hand in what is fetched")
    parser.add_argument("--json", action="store_true", help="the report as one JSON document")


def run(arguments: argparse.Namespace) -> int:
    if arguments.fetch and ("{number}" not in arguments.fetch or not arguments.secret_file):
        raise CommandFailed("--fetch needs {number} in its URL, and --secret-file to hand in what it fetches")
    listed = read(census_source.content(arguments.source), arguments)
    if not listed:
        raise CommandFailed(
            f"{arguments.source} lists no order, so nothing can be compared. Give the satellite's own list: "
            f"{hints.command('census --help')}"
        )
    report = asyncio.run(take(arguments, listed))
    if arguments.missing:
        Path(arguments.missing).write_text("".join(f"{number}\n" for number in report.missing), encoding="utf-8")
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        show(report, Screen())
    return 0 if report.holds else 1


async def take(arguments: argparse.Namespace, listed: Sequence[Listed]) -> Report:
    async with endpoints.of_stack(arguments.dir).async_client(timeout=60) as client:
        try:
            await _make_sure_of(client, arguments.satellite)
            report = await compare(client, arguments.satellite, listed)
        except httpx.TransportError as error:
            raise CommandFailed(f"{client.base_url} does not answer ({why_silent(error)}). {hints.status()}") from None
        if report.missing and arguments.request:
            await _request(arguments.request, report)
        if report.missing and arguments.fetch:
            await _fetch(client, arguments, report)
        return report


async def _make_sure_of(client: httpx.AsyncClient, satellite: str) -> None:
    """Of a satellite that nobody described all would be missing, or, of an empty list, nothing."""
    known: Satellites = await call(client, SATELLITES, ListSatellites())
    names = [one.satellite for one in known.satellites]
    if satellite not in names:
        there = f"There are {', '.join(names[:20])}" if names else "There is none yet: PUT /v1/satellites/{satellite}"
        raise CommandFailed(f"there is no satellite {satellite!r}. {there}")


async def compare(client: httpx.AsyncClient, satellite: str, listed: Sequence[Listed]) -> Report:
    """Part by part, so a list may be of any length. Entries with one number are one order: each entry is compared, as a
    list with a line per item has its amount in the first alone, and the order agrees where all do."""
    entries = Counter(one.number for one in listed)
    asked = list(dict.fromkeys(listed))
    found: list[Counted] = []
    same: list[str] = []
    for start in range(0, len(asked), PART):
        request = CensusRequest(satellite, tuple(asked[start : start + PART]))
        part: CensusPart = await call(client, CENSUS, request)
        found += part.found
        same += part.other_sign
    found, same = list(dict.fromkeys(found)), list(dict.fromkeys(same))
    agree = len(entries) - len({one.number for one in found})
    report = Report(satellite, len(entries), agree, found, await _only_ours(client, satellite, asked, same))
    report.listed_again = [number for number, times in entries.items() if times > 1]
    report.other_sign = same
    differing = {one.number: one for one in found if one.state == "differs"}
    for one in asked:
        ours = differing.get(one.number)
        if ours is not None and _differs(one, ours):
            report.theirs.setdefault(one.number, one)
    progress: ProgressView = await call(client, PROGRESS, ProgressRequest(satellite))
    report.still_waiting = sum(one.pending + one.waiting for one in progress.satellites)
    return report


def _differs(theirs: Listed, ours: Counted) -> bool:
    """Whether this entry is meant, of several with one number."""
    return any(getattr(theirs, field) not in (None, "", getattr(ours, field)) for field in ours.fields)


async def _only_ours(
    client: httpx.AsyncClient, satellite: str, listed: Sequence[Listed], same: Sequence[str]
) -> list[str]:
    """Only inside the days that the list covers; the outermost may be cut off, so they do not count."""
    days = sorted({one.date[:10] for one in listed if one.date})
    if len(days) < 3:
        return []
    theirs = {one.number for one in listed} | {other_sign(number) for number in same}
    found: list[str] = []
    after = 0
    while True:
        page: Ours = await call(client, CENSUS_OURS, OursRequest(satellite, days[1], days[-2], after))
        found += [number for number in page.numbers if number not in theirs]
        if not (after := page.next):
            return sorted(set(found))


async def _request(url: str, report: Report) -> None:
    body = {"satellite": report.satellite, "numbers": report.missing}
    try:
        async with (
            asyncio.timeout(census_source.TRANSFER_SECONDS),
            httpx.AsyncClient(timeout=SOURCE_SECONDS) as source,
            source.stream("POST", url, json=body) as answer,  # What it says is not read: it may never end.
        ):
            pass
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        told = str(error).rstrip(".") or type(error).__name__
        raise CommandFailed(f"{url} cannot be asked: {told}. Whether it began to send, its own log tells") from None
    if answer.is_error:
        raise CommandFailed(
            f"{url} answered HTTP {answer.status_code}. Nothing was asked for; see the source's own log"
        )
    report.requested = len(report.missing)


async def _fetch(client: httpx.AsyncClient, arguments: argparse.Namespace, report: Report) -> None:
    """One after the other: the source is somebody else's machine."""
    secret = Path(arguments.secret_file).read_text(encoding="utf-8").strip()
    known: Satellites = await call(client, SATELLITES, ListSatellites())
    signed = next(one.authentication for one in known.satellites if one.satellite == report.satellite) == "shopify"
    door = Door(str(client.base_url))
    try:
        async with httpx.AsyncClient(timeout=SOURCE_SECONDS) as source:
            for number in report.missing:
                url = arguments.fetch.replace("{number}", quote(number, safe=""))
                try:
                    async with asyncio.timeout(census_source.TRANSFER_SECONDS):
                        body, _ = await census_source.download(source, url, FETCHED_BYTES_MAX)
                except httpx.HTTPStatusError as error:
                    print(f"{number}: the source answered HTTP {error.response.status_code}", file=sys.stderr)
                    continue
                except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, CommandFailed) as error:
                    print(f"{number}: not fetched: {str(error) or type(error).__name__}", file=sys.stderr)
                    continue
                delivery = f"census-{number}"
                headers = (
                    shopify_headers(secret, arguments.topic, delivery, body)
                    if signed
                    else key_headers(secret, delivery)
                )
                taken = await door.send(report.satellite, arguments.channel, body, headers)
                if taken.taken:
                    report.fetched += 1
                else:
                    print(f"{number}: the gateway answered HTTP {taken.status} {taken.body[:200]!r}", file=sys.stderr)
    finally:
        await door.close()


# ------------------------------------------------------------------ the source's list


def read(content: str, arguments: argparse.Namespace) -> list[Listed]:
    """CSV with a header line, a JSON array (also inside an object), or one JSON object a line."""
    found = []
    for line, row in enumerate(_rows(content), 1):
        number = str(row.get(arguments.number) or "").strip()
        if not number:
            told = f"entry {line} has no {arguments.number!r}; it has {', '.join(map(str, row))[:200]}"
            raise CommandFailed(f"{told}. Name the field with --number")
        currency = str(row.get(arguments.currency) or "").strip()
        if UNWRITABLE.search(number + currency):
            told = f"entry {line} has {ascii(number)[:120]} with a character that no number has"
            raise CommandFailed(f"{told}. Mend it in the list, or name another field with --number")
        day = str(row.get(arguments.date) or "").strip()
        found.append(Listed(number, _minor(row.get(arguments.amount), currency, line), currency, _day(day, line)))
    return found


def _rows(content: str) -> Iterator[dict[str, Any]]:
    text = content.strip()
    if not text.startswith(("[", "{")):
        yield from _csv_rows(text)
        return
    for line, row in enumerate(_json_rows(text), 1):
        if not isinstance(row, dict):
            told = f"entry {line} is {json.dumps(row, default=str)[:50]}, which is no object"
            raise CommandFailed(f'{told}. Give a JSON object for each order: {{"number": "1001"}}')
        yield row


def _csv_rows(text: str) -> Iterator[dict[str, Any]]:
    header = text.partition("\n")[0]
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if separator in header and "," not in header:
            raise CommandFailed(f"the columns are separated by {name}. Save it with commas (,) between them")
    rows = csv.reader(io.StringIO(text, newline=None))
    try:
        names = [_cell(name) for name in next(rows, [])]
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            told = f"the header line names {', '.join(map(repr, twice))[:200]} more than once"
            raise CommandFailed(f"{told}, so it is not known which column is meant. Rename or remove one of them")
        for row in rows:
            if any(row):
                _fits(row, names, rows.line_num)
                yield dict(zip(names, map(_cell, row), strict=False))
    except csv.Error as error:
        told = f"line {rows.line_num} cannot be read as CSV: {error}"
        raise CommandFailed(f'{told}. Look for a quote (") that nothing closes, or give another list') from None


def _fits(row: list[str], names: list[str], line: int) -> None:
    """A comma in an amount that nobody quoted moves every column after it; a file that broke off ends in half a row."""
    if len(row) < len(names):
        told = f"line {line} has {len(row)} columns, the header line {len(names)}: is the list cut off?"
        raise CommandFailed(f"{told} Give the whole list, with every column in every line")
    if any(row[len(names) :]):
        told = f"line {line} has {len(row)} columns, the header line only {len(names)}"
        raise CommandFailed(f'{told}. Put values that hold commas in quotes ("1,200.00"), or name the columns')


def _cell(cell: str) -> str:
    """Spreadsheets write ="1001" to keep a number's leading zeros."""
    cell = cell.strip()
    return cell[2:-1] if len(cell) > 2 and cell.startswith('="') and cell.endswith('"') else cell


def _json_rows(text: str) -> Iterator[Any]:
    try:
        try:
            whole = json.loads(text, parse_float=Decimal)
        except json.JSONDecodeError:
            yield from (json.loads(line, parse_float=Decimal) for line in text.split("\n") if line.strip())
            return
    except RecursionError:
        told = "the JSON has brackets in brackets, deeper than any list of orders"
        raise CommandFailed(f"{told}. Give an array of objects, or one object a line") from None
    except ValueError as error:  # Also of a number with thousands of digits.
        raise CommandFailed(f"neither JSON nor CSV: {error}. Give a header line, or valid JSON") from None
    if isinstance(whole, dict):
        whole = next((value for value in whole.values() if isinstance(value, list)), [whole])
    yield from whole


def _minor(amount: Any, currency: str, line: int) -> int | None:
    """Minor units; None where the list tells no amount."""
    if amount in (None, ""):
        return None
    if currency not in EXPONENTS:
        told = f"entry {line} has an amount in {currency!r}, which is no currency"
        raise CommandFailed(f"{told}. Name the field with --currency, or leave the amounts out: --amount none")
    try:
        scaled = Decimal(str(amount)).scaleb(EXPONENTS[currency])
        # First the size: of 1E+999999999 the digits alone would fill the memory.
        if abs(scaled) >= AMOUNT_END or scaled != int(scaled):
            raise InvalidOperation
    except (ArithmeticError, ValueError):
        raise CommandFailed(f"entry {line}: {str(amount)[:50]!r} is no amount in {currency}") from None
    return int(scaled)


def _day(text: str, line: int) -> str:
    if not text:
        return ""
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise CommandFailed(f"entry {line}: {text[:50]!r} does not begin with a day like 2026-11-23") from None


# ------------------------------------------------------------------ for people


def show(report: Report, console: Console) -> None:
    here = counted(report.agree, "is", "are")
    listed = counted(report.listed, "order")
    console.print(f"{report.satellite}: {listed} listed, {here} here as listed", highlight=False)
    if report.listed_again:
        again = report.listed_again
        told = f"{counted(len(again), 'order is', 'orders are')} listed more than once, and counted only once"
        more = f" and {len(again) - LISTED_MAX} more: --json tells all" if len(again) > LISTED_MAX else ""
        names = escape(", ".join(again[:LISTED_MAX]))
        console.print(f"[yellow]{told}[/]: {names}{more}", highlight=False)
    if report.other_sign:
        first, taken = report.other_sign[0], "they were" if len(report.other_sign) > 1 else "it was"
        told = f"{counted(len(report.other_sign), 'order is', 'orders are')} listed with another sign than here"
        example = f"as {escape(first)} for {escape(other_sign(first))}"
        console.print(f"{told}, {example}; {taken} taken as the same", highlight=False)
    if report.found:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for heading in ("order", "", "what differs, or why", "theirs", "ours"):
            table.add_column(heading)
        for one in report.found[:LISTED_MAX]:
            what = ", ".join(field.removesuffix("_minor") for field in one.fields) or one.reason
            theirs, ours = ("", one.intake_id) if one.state != "differs" else _both(report.theirs.get(one.number), one)
            table.add_row(one.number, one.state, what, theirs, ours)
        console.print(table)
        if len(report.found) > LISTED_MAX:
            console.print(f"… and {len(report.found) - LISTED_MAX} more: --json tells all", highlight=False)
    if report.only_ours:
        told = ", ".join(report.only_ours[:LISTED_MAX])
        ours = counted(len(report.only_ours), "order is", "orders are")
        console.print(f"[yellow]{ours} here and not in the list[/]: {told}", highlight=False)
    if report.missing and report.still_waiting:
        waiting = counted(report.still_waiting, "document of it is", "documents of it are")
        console.print(f"[yellow]{waiting} not mapped yet; missing orders may be among them[/]", highlight=False)
    for count, word in ((report.requested, "asked for at the source"), (report.fetched, "fetched and handed in")):
        if count:
            console.print(f"{counted(count, 'order')} {word}; run the census again to see what came", highlight=False)
    for told in _next_steps(report):
        console.print(told, highlight=False, soft_wrap=True)
    if report.holds:
        console.print("[green]The list and we agree.[/]")


def _both(theirs: Listed | None, ours: Counted) -> tuple[str, str]:
    """An order as its source lists it, as far as that tells it, and as it is here."""
    listed = ""
    if theirs is not None:
        amount = "" if theirs.amount_minor is None else spelled(theirs.amount_minor, theirs.currency)
        listed = f"{amount or theirs.currency} {theirs.date}".strip()
    return listed, f"{spelled(ours.amount_minor, ours.currency)} {ours.date}".strip()


def _next_steps(report: Report) -> list[str]:
    """One for each state that was found, with the first order of it."""
    first: dict[str, Counted] = {}
    for one in report.found:
        first.setdefault(one.state, one)
    told = []
    if "differs" in first:
        seen = hints.command(f"journey {shlex.quote(first['differs'].number)}")
        told.append(f"What came of an order that differs, and whether a newer version was refused: {seen}")
    told += [
        f"Why one is {state}: {hints.command(f'quarantine show {first[state].intake_id}')}"
        for state in ("quarantined", "dismissed")
        if state in first
    ]
    if "missing" in first and not report.fetched and not report.requested:
        told.append("What never came: --fetch gets it from its source, --request asks the source to send it again.")
    return told
