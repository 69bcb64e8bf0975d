"""Send files through intake and chain, wait until every document is accounted for, and weigh what came of them.

The format is a plug-in, found by name. Company, warehouse and satellite are made if they do not exist, and used as
they are if they do; of articles, what the files tell is put. The key of a satellite that a feed made is kept in the
stack's folder for the next one; of any other satellite it is unknown here, and `--rotate` gives it a new one, which
ends the old. The report is read from the services' own books: exit code 0 only if the conservation law holds for every
month.
"""

import argparse
import asyncio
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
from msgspec import Struct
from rich.console import Console
from tieout.contracts.control import (
    PROVE_AGREEMENT,
    SHOW_STATUS,
    Agreement,
    AgreementRequest,
    Status,
    StatusRequest,
)
from tieout.contracts.finance import (
    ACCOUNTS,
    COMPANIES,
    PUT_COMPANY,
    AccountTurnover,
    AccountTurnoverRequest,
    Companies,
    ListCompanies,
    PutCompany,
)
from tieout.contracts.gateway import SATELLITES, ListSatellites, PutSatellite, Satellites, SatelliteView
from tieout.contracts.inventory import Article, PutWarehouse
from tieout.devstack import endpoints, establish, feed_report, formats, hints, outcomes
from tieout.devstack.calling import call
from tieout.devstack.conservation import Balance, Term, balance
from tieout.devstack.failures import CommandFailed
from tieout.devstack.feed_progress import Sent, Steps
from tieout.devstack.formats import Document, FormatError, Run, Setup
from tieout.devstack.outcomes import Books
from tieout.devstack.satellites import Door, key_headers
from tieout.devstack.secrets import Secrets
from tieout.devstack.terminal import Screen
from tieout.devstack.wording import counted, why_silent

CHANNEL = "tieout"
SATELLITE = "feed"  # Where the files name none.
DOCUMENTS_AT_ONCE = 500
BYTES_AT_ONCE = 700_000
CONNECTIONS = 4
QUIET_SECONDS = 6.0  # The books have not changed for so long: what is missing now will stay missing.
SETTLE_SECONDS_MAX = 600.0
FOLLOWED_SECONDS_MAX = 60.0
INTERRUPTED = 130  # As a shell counts: 128 and the number of SIGINT.


class FeedReport(Struct, frozen=True):
    satellite: str
    company: str
    currency: str
    documents: int
    seconds: float
    balance: Balance
    terms: tuple[Term, ...]
    turnovers: tuple[AccountTurnover, ...]  # Of the company, by month of the business date; the whole of its books.
    parked: int
    under_way: int
    quarantined: int = 0  # Documents, of any kind.
    refused: int = 0  # Orders that inventory refused as a whole.
    entered: int = 0  # Documents that the books took, now or before; opening stock does not count.

    @property
    def in_vain(self) -> bool:
        """Accounted for, and yet nothing of it is in the books: hardly what somebody wanted who fed it."""
        return not self.entered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    known = ", ".join(formats.names())
    parser.add_argument("--format", required=True, metavar="F", help=f"one of: {known}")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files to send, also packed ones (.gz)")
    parser.epilog = (
        "uci-online-retail reads real data that is public: https://archive.ics.uci.edu/dataset/352/online+retail (or "
        "502/online+retail+ii), the sheets of its spreadsheet saved as CSV with the columns InvoiceNo, StockCode, "
        "Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country. tieout-ndjson is one document per line: "
        "docs/documents.md."
    )
    parser.add_argument(
        "--opening", choices=("auto", "none"), default="auto", help="bring opening stock in first (default: auto)"
    )
    parser.add_argument("--rate", type=_rate, default=0.0, metavar="R", help="documents per second (default: no limit)")
    parser.add_argument("--satellite", default="", metavar="S", help="feed as this satellite (default: the format's)")
    parser.add_argument(
        "--rotate", action="store_true", help="give an existing satellite a new key; its old one ends at once"
    )
    parser.add_argument(
        "--allow-refused", action="store_true", help="exit code 0 also where every document was refused or quarantined"
    )
    parser.add_argument("--json", action="store_true", help="the report as one JSON document")


def run(arguments: argparse.Namespace) -> int:
    sent = Sent()
    try:
        return _run(arguments, sent)
    except KeyboardInterrupt:
        sys.stderr.write(f"\ntieout feed: {sent.interrupted()}.\n")
        return INTERRUPTED


def _run(arguments: argparse.Namespace, sent: Sent) -> int:
    try:
        source = formats.find(arguments.format)(arguments.files, arguments.opening)
    except FormatError as error:
        raise CommandFailed(str(error)) from None
    if not (source.opening or source.documents):
        raise CommandFailed(f"there are no documents in {', '.join(map(str, arguments.files))}")
    where = endpoints.of_stack(arguments.dir)
    console = Screen(stderr=arguments.json)
    try:
        asked = feed(
            where,
            source,
            Screen(stderr=True),
            satellite=arguments.satellite,
            rate=arguments.rate,
            rotate=arguments.rotate,
            sent=sent,
        )
        report = asyncio.run(asked)
    except httpx.TransportError as error:
        step = f"What is wrong: {hints.command('doctor')}"
        raise CommandFailed(f"{where.gateway} does not answer ({why_silent(error)}). {step}") from None
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
        feed_report.verdict(report.balance.holds, console, in_vain=report.in_vain)
    else:
        told = f"{counted(report.documents, 'document')} in {report.seconds:.1f} s."
        feed_report.render(report.balance, report.terms, report.currency, console, sent=told, in_vain=report.in_vain)
    warn(report, console)
    return 0 if report.balance.holds and (arguments.allow_refused or not report.in_vain) else 1


def warn(report: FeedReport, console: Console) -> None:
    """What somebody has to look at. The last word, where the eye ends."""
    told = []
    all_ = counted(report.documents, "document")
    if report.quarantined:
        see = hints.command(f"quarantine list --satellite {shlex.quote(report.satellite)}")
        are = "is" if report.quarantined == 1 else "are"
        told.append(f"{report.quarantined:,} of {all_} {are} in quarantine. See: {see}")
    if report.refused:
        were = "was" if report.refused == 1 else "were"
        told.append(f"{report.refused:,} of {all_} {were} refused for want of stock.")
    for sentence in told:
        console.print(f"! {sentence}", style="red" if report.in_vain else "yellow", highlight=False, soft_wrap=True)


async def feed(
    where: endpoints.Endpoints,
    source: Run,
    console: Console,
    *,
    satellite: str = "",
    rate: float = 0.0,
    rotate: bool = False,
    sent: Sent | None = None,
) -> FeedReport:
    """Everything of a run, until the books have taken it in; or until they have stopped moving without it.

    Progress goes to the console; `sent` is kept up to date for a caller that may interrupt it."""
    sent = sent or Sent()
    name = satellite or (source.setup.satellite if source.setup is not None else SATELLITE)
    began = time.monotonic()
    async with where.async_client(timeout=120) as client:
        key = await furnish(client, source, name, Secrets(Path(where.admin_token_file).parent), rotate=rotate)
        before = await outcomes.read(client, source=name)
        door = Door(where.gateway, connections=CONNECTIONS, timeout_seconds=60)
        documents = list(source.documents)
        sent.total = len(source.opening) + len(documents)
        with Steps(console) as steps:
            try:
                await _send(door, name, key, source.opening, 0.0, steps, sent)
                await _stocked(client, name, len(source.opening))
                await _send(door, name, key, documents, rate, steps, sent)
                books, law = await _settled(client, name, source, before, steps)
                await _followed(client)
            finally:
                await door.close()
        company = source.setup.company if source.setup is not None else ""
        turnovers = await call(client, ACCOUNTS, AccountTurnoverRequest(company=company, by="business"))
        status: Status = await call(client, SHOW_STATUS, StatusRequest())
    quarantined, entered = _taken(before, books, name, len(source.opening) if documents else 0)
    refused = law.total.outcomes["refused"].documents if "refused" in law.total.outcomes else 0
    return FeedReport(
        satellite=name,
        company=company,
        currency=source.setup.currency if source.setup is not None else "",
        documents=len(source.opening) + len(documents),
        seconds=time.monotonic() - began,
        balance=law,
        terms=tuple(_since(before, books)),
        turnovers=turnovers.turnovers,
        parked=sum(health.parked for service in status.services for health in service.instances),
        under_way=books.under_way,
        quarantined=quarantined,
        refused=refused,
        entered=max(entered - refused, 0),
    )


async def furnish(
    client: httpx.AsyncClient, source: Run, satellite: str, kept: Secrets, *, rotate: bool = False
) -> str:
    """What the run needs to exist; the satellite's key. Nothing is made before the key is sure."""
    setup = source.setup
    known = await _known(client, satellite)
    key = "" if known is None else _key_of(known, setup, kept, rotate=rotate)
    if setup is not None:
        await _open(client, setup)
        await establish.describe_warehouses(client, [PutWarehouse(setup.company, setup.warehouse)])
        articles = [Article(known.sku, known.name, standard_cost_minor=known.cost_minor) for known in setup.articles]
        await establish.list_articles(client, setup.company, articles)
    if known is None:
        zone = setup.zone if setup is not None else "UTC"
        companies = (setup.company,) if setup is not None else ()
        key = await establish.admit(client, PutSatellite(satellite, satellite, companies, zone=zone))
        kept.keep(_file_of(satellite), key)
    elif rotate:
        key = await establish.admit(client, PutSatellite(satellite, rotate=True))
        kept.keep(_file_of(satellite), key)
    await establish.wait_until_learned(client)
    return key


async def _known(client: httpx.AsyncClient, satellite: str) -> SatelliteView | None:
    listed: Satellites = await call(client, SATELLITES, ListSatellites())
    return next((known for known in listed.satellites if known.satellite == satellite), None)


def _key_of(known: SatelliteView, setup: Setup | None, kept: Secrets, *, rotate: bool) -> str:
    """Of a satellite that exists: its settings are somebody's, and so is its key."""
    name = known.satellite
    if known.authentication != "key":
        raise CommandFailed(
            f"the satellite {name} proves itself by {known.authentication}, and a feed by a key. "
            "Name another one with --satellite"
        )
    if setup is not None and known.companies and setup.company not in known.companies:
        raise CommandFailed(
            f"the satellite {name} may speak for {', '.join(known.companies)}, and the files are of {setup.company}. "
            "Name another one with --satellite"
        )
    key = kept.kept(_file_of(name))
    if not key and not rotate:
        raise CommandFailed(
            f"there is a satellite {name} already, and nobody can show its key. Name another one with --satellite, "
            "or give it a new key with --rotate: whoever sends with the old one is refused from then on"
        )
    return key


async def _open(client: httpx.AsyncClient, setup: Setup) -> None:
    """The company, where there is none: the name and policies of one that exists are somebody's."""
    found: Companies = await call(client, COMPANIES, ListCompanies(company=setup.company))
    for known in found.companies:
        if (known.currency, known.zone) != (setup.currency, setup.zone):
            raise CommandFailed(
                f"the company {known.company} keeps its books in {known.currency} ({known.zone}), and the files are in "
                f"{setup.currency} ({setup.zone}). Feed them to a company of another name"
            )
    if not found.companies:
        opened = PutCompany(company=setup.company, name=setup.company_name, currency=setup.currency, zone=setup.zone)
        await call(client, PUT_COMPANY, opened)


def _file_of(satellite: str) -> str:
    return f"feed_key_{satellite}"


async def _send(
    door: Door,
    satellite: str,
    key: str,
    documents: Sequence[Document],
    rate: float,
    steps: Steps,
    told: Sent,
) -> None:
    """Bulk requests of NDJSON, several at a time. A run has keys of its own: the same file again is not a retry."""
    run, began, sent = uuid4().hex, time.monotonic(), 0
    slots = asyncio.Semaphore(CONNECTIONS)

    async def post(ordinal: int, chunk: list[bytes]) -> None:
        told.on_the_way += len(chunk)
        try:
            headers = key_headers(key, f"{run}-{ordinal}", "application/x-ndjson")
            answer = await door.send(satellite, CHANNEL, b"\n".join(chunk) + b"\n", headers)
            if not answer.taken:
                why = answer.body[:500].decode(errors="replace")
                if answer.status == 401:
                    why += f" The key of {satellite} was changed since: give it a new one with --rotate."
                raise CommandFailed(f"the gateway refused a batch of documents: HTTP {answer.status} {why}")
            told.on_the_way -= len(chunk)
            told.taken += len(chunk)
            steps.tell("documents sent", told.taken, told.total)
        finally:
            slots.release()

    try:
        async with asyncio.TaskGroup() as group:
            for ordinal, chunk in enumerate(_chunks(documents, rate)):
                await slots.acquire()
                if rate:
                    await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))
                sent += len(chunk)
                group.create_task(post(ordinal, chunk))
    except ExceptionGroup as failures:
        raise CommandFailed(str(failures.exceptions[0])) from failures


def _chunks(documents: Sequence[Document], rate: float) -> Iterable[list[bytes]]:
    """As many documents as fit into one request; with a rate, about five requests a second."""
    most = max(1, min(DOCUMENTS_AT_ONCE, int(rate / 5))) if rate else DOCUMENTS_AT_ONCE
    chunk: list[bytes] = []
    size = 0
    for document in documents:
        if chunk and (len(chunk) >= most or size + len(document.body) > BYTES_AT_ONCE):
            yield chunk
            chunk, size = [], 0
        chunk.append(document.body)
        size += len(document.body) + 1
    if chunk:
        yield chunk


async def _stocked(client: httpx.AsyncClient, satellite: str, receipts: int) -> None:
    """Until inventory has taken in the opening receipts: a sale that comes before them would find no stock."""
    deadline = time.monotonic() + 60
    while receipts:
        books = await outcomes.read(client, source=satellite)
        told = books.documents()
        done = sum(
            told[outcomes.key(satellite, "receipt", outcome)] for outcome in ("accepted", "duplicate", "conflict")
        )
        if done >= receipts or told[outcomes.key(satellite, "receipt", "quarantined")] or time.monotonic() > deadline:
            return
        await asyncio.sleep(0.1)


async def _followed(client: httpx.AsyncClient) -> None:
    """Until the books have followed each other: order knows of a return before its goods are back, and those before
    their cost is posted. What waits for a partner is not waited for."""
    deadline = time.monotonic() + FOLLOWED_SECONDS_MAX
    request = AgreementRequest(wait_seconds=2, violations=False, currencies=False)
    while time.monotonic() < deadline:
        proved: Agreement = await call(client, PROVE_AGREEMENT, request)
        on_the_way = sum(measure.in_flight for measure in proved.measures)
        if proved.verdict != "open" or not (on_the_way or any(mark.unpublished for mark in proved.watermarks)):
            return


async def _settled(
    client: httpx.AsyncClient, satellite: str, source: Run, before: Books, steps: Steps
) -> tuple[Books, Balance]:
    due = sum(month.lines for month in source.input.values())
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    quiet_since, last = time.monotonic(), before
    while True:
        books = await outcomes.read(client, source=satellite)
        law = balance(source.input, _since(before, books))
        steps.tell("lines accounted for", due - law.total.missing.lines, due)
        now = time.monotonic()
        if books != last:
            quiet_since, last = now, books
        if (law.holds and not books.under_way) or now > deadline or now - quiet_since > QUIET_SECONDS:
            return books, law
        await asyncio.sleep(0.4)


def _taken(before: Books, after: Books, satellite: str, opening: int) -> tuple[int, int]:
    """How many documents are in quarantine, and how many the books took, or had taken already, without the opening."""
    counted = after.documents()
    counted.subtract(before.documents())
    quarantined = counted[outcomes.key(satellite, "", "quarantined")]
    receipts = counted[outcomes.key(satellite, "receipt", "accepted")]
    taken = sum(
        number
        for (source, _, outcome), number in counted.items()
        if source == satellite and outcome in ("accepted", "duplicate")
    )
    return quarantined, taken - min(receipts, opening)


def _since(before: Books, after: Books) -> Iterable[Term]:
    """What has come into the books since: earlier feeds of the same satellite are not of this run."""
    yield from after.terms()
    for term in before.terms():
        yield Term(
            term.month,
            term.outcome,
            term.service,
            -term.documents,
            -term.lines,
            -term.quantity_micro,
            -term.amount_minor,
            -term.rounding_micro,
            term.reason,
        )


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 < rate < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate: give documents per second, for example 200")
    return rate
