"""pending documents -> order.submit | order.cancel | … | refusal | waiting | ignored

One batch is one transaction: the queue's rows are gone, and what the documents led to is written and announced, or
nothing of it. A document that names an order by its source's own id waits until that order was seen.
"""

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog
from tieout.contracts.event import event_id
from tieout.gateway.channels.registry import CHANNELS
from tieout.gateway.domain.drafts import Company, KnownOrder, Satellite, Summary, Verdict, World
from tieout.gateway.domain.faults import Fault
from tieout.gateway.domain.judging import MAIN, wanted_rate, wanted_skus, wanted_warehouses
from tieout.gateway.identifiers import number_of
from tieout.gateway.intake.splitting import depth_exceeds, depth_of
from tieout.gateway.origins import came_with
from tieout.gateway.papers import Paper, attempt, interpret, judge_all, read
from tieout.gateway.satellites import Member, Satellites
from tieout.servicekit import Database, Transaction, sql
from tieout.servicekit.errors import Cause, cause_of

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

BATCH_DOCUMENTS = 1000
BATCH_BYTES = 8 << 20
BREATH = 25  # Documents between two chances for everybody else in this process.
LAG_SECONDS = 5.0  # So often the queue is counted while it is worked on.
IDLE_SECONDS = 1.0  # Another replica may have taken documents in,
WAKE_SECONDS = 1.0  # or have seen an order that somebody waits for here.
LINGER_SECONDS = 0.015
SKUS_REMEMBERED = 500_000
MAIN_ONLY = {MAIN}

REFUSED_SPANS_MAX = 16  # Of one batch: a feed that is all wrong must stay cheap.

COMMAND_COLUMNS = (
    "position",
    "quantity_micro",
    "amount_minor",
    "id",
    "chain_id",
    "business_date",
    "lines",
    "kind",
    "company",
    "satellite",
    "number",
    "order_no",
    "currency",
)
REFUSAL_COLUMNS = (
    "id",
    "satellite",
    "reason",
    "field",
    "detail",
    "kind",
    "company",
    "number",
    "business_date",
    "lines",
    "quantity_micro",
    "amount_minor",
)

_encode = msgspec.json.Encoder().encode
_read_known = msgspec.json.Decoder(KnownOrder).decode


class Mapper:
    """`run` maps whatever is pending, for as long as the service runs."""

    def __init__(
        self,
        database: Database,
        satellites: Satellites,
        arrived: asyncio.Event,
        waiting_max: timedelta,
        rate_days_max: int,
        depth_max: int,
        document_bytes_max: int,
    ) -> None:
        self._database = database
        self._satellites = satellites
        self._arrived = arrived
        self._waiting_max = waiting_max
        self._rate_days_max = rate_days_max
        self._depth_max = depth_max
        self._document_bytes_max = document_bytes_max
        self._skus: set[tuple[str, str]] = set()  # Known ones only: an article is never taken off the list.
        self._warehouses: dict[str, set[str]] = {}  # By company; the same.
        self._counts = database.counts.setdefault("gateway-map-documents", {})
        self._looked = self._woken = 0.0
        self._refused: Counter[str] = Counter()
        database.readings["tieout.documents.refused"] = lambda: self._refused
        self._one_by_one = False  # The last batch met a row that the database refuses: find it.

    async def run(self) -> None:
        """A full batch is followed by the next at once; between small ones is a moment, so that they grow by
        themselves under load, and each commit and publish serves more documents."""
        await self._database.outbox.open.wait()  # Once: no position is drawn before the stream was asked for ours.
        while True:
            self._arrived.clear()
            try:
                mapped = await self.map_batch()
                if time.monotonic() - self._woken > WAKE_SECONDS:
                    await self._wake_waiting()
            except Exception as error:
                await self._recover(error)
                continue
            if not mapped:
                self._counts["lag"] = 0
                await self._rest()
            elif mapped < BATCH_DOCUMENTS // 2:
                await asyncio.sleep(LINGER_SECONDS)

    async def _rest(self) -> None:
        """Until documents come: here, which is told at once, or at another replica, for which we look. One statement
        a look and no transaction of the service's, so that an idle gateway counts as idle everywhere."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), IDLE_SECONDS)
                return
            try:
                if await self._wake_waiting():
                    return
            except Exception as error:
                await self._recover(error)

    async def _wake_waiting(self) -> bool:
        """Whether anything is in the queue now."""
        self._woken = time.monotonic()
        async with self._database.pool.acquire() as connection:
            return bool(await connection.fetchval(statements.wake_waiting, self._waiting_max))

    async def _recover(self, error: Exception) -> None:
        cause = cause_of(error)
        if cause is Cause.DATA and not self._one_by_one:
            self._one_by_one = True
        elif cause is Cause.CODE:
            log.exception("mapping failed", exc_info=error)
            await asyncio.sleep(1.0)
        elif cause is not Cause.AGAIN:
            log.warning("mapping waits", error=repr(error)[:300])
            await asyncio.sleep(0.5)

    async def map_batch(self) -> int:
        """How many documents were taken from the queue."""
        members = await self._satellites.all()
        started = time.monotonic()
        with self._database.tracing.work("map documents") as work:
            async with self._database.transaction() as tx:
                papers = await self._claim(tx)
                work.count = len(papers)
                if not papers:
                    return 0
                known = await self._read_and_map(tx, papers, members)
                await self._judge(tx, papers)
                if self._one_by_one:
                    await self._save_one_by_one(tx, papers, known)
                else:
                    await _save(tx, papers, known)
                if started - self._looked > LAG_SECONDS:
                    self._looked = started
                    self._counts["lag"] = await tx.fetchval(statements.count_pending)
        self._one_by_one = False
        self._measure(papers, time.monotonic() - started)
        return len(papers)

    async def rehearse(self, documents: Sequence[UUID]) -> list[Paper]:
        """What mapping these would lead to; nothing is written."""
        members = await self._satellites.all()
        async with self._database.transaction() as tx:
            rows = await tx.fetch(statements.read_documents, list(documents), self._document_bytes_max)
            papers = await self._papers(tx, rows)
            await self._read_and_map(tx, papers, members)
            await self._judge(tx, papers)
        return papers

    def _measure(self, papers: Sequence[Paper], seconds: float) -> None:
        """For metrics, as a flow of the kit counts itself. Latency: from the receipt of the bytes to our commit."""
        counts, now = self._counts, datetime.now(UTC)
        ages = sorted((now - paper.received_at).total_seconds() for paper in papers[:: max(1, len(papers) // 20)])
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            counts[f"latency_{name}_ms"] = round(ages[int(share * (len(ages) - 1))] * 1000, 1)
        self._refused.update(paper.satellite for paper in papers if paper.fault is not None)
        counts["done"] = counts.get("done", 0) + len(papers)
        counts["batches"] = counts.get("batches", 0) + 1
        counts["batch_last"], counts["batch_seconds"] = len(papers), seconds

    # ------------------------------------------------------------------------------------------------ claiming

    async def _claim(self, tx: Transaction) -> list[Paper]:
        documents = size = 0
        numbers: list[int] = []
        for number, count, weight in await tx.fetch(statements.claim):
            if numbers and (documents + count > BATCH_DOCUMENTS or size + weight > BATCH_BYTES):
                break
            numbers.append(number)
            documents += count
            size += weight
        if not numbers:
            return []
        return await self._papers(tx, await tx.fetch(statements.take, numbers, self._document_bytes_max))

    async def _papers(self, tx: Transaction, rows: Sequence[Any]) -> list[Paper]:
        """What is too large comes without its bytes and is refused by its size alone: nobody reads it, and a batch is
        as small as it promises."""
        papers = [Paper(*row) for row in rows]
        large = {paper.id: paper for paper in papers if paper.body is None}
        if large:
            for id, size in await tx.fetch(statements.sizes, list(large)):
                place = f"document {number_of(id)} of its delivery"
                detail = f"{place} has {size} bytes; at most {self._document_bytes_max} are taken. Send it in parts"
                large[id].body, large[id].fault = b"", Fault("document_too_large", "", detail)
        return papers

    # ------------------------------------------------------------------------------------------------ deciding

    def _read(self, paper: Paper, members: Mapping[str, Member]) -> None:
        """Its depth first: whatever parses it may take that for granted."""
        if depth_exceeds(paper.body, self._depth_max):
            place = f"document {number_of(paper.id)} of its delivery"
            depth = depth_of(paper.body)
            raise Fault("too_deep", "", f"{place} is nested {depth} levels deep; at most {self._depth_max} are taken")
        read(paper, members)

    async def _read_and_map(
        self, tx: Transaction, papers: Sequence[Paper], members: Mapping[str, Member]
    ) -> dict[tuple[str, str], KnownOrder]:
        """Documents that name no other one first; then those that do, with what the others told. Answers that."""
        told: dict[tuple[str, str], KnownOrder] = {}
        later: list[Paper] = []
        for index, paper in enumerate(papers):
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            if paper.fault is None:
                attempt(paper, self._read, members)
            if paper.fault is not None:
                continue
            if paper.names is None:
                attempt(paper, interpret, None)
                if paper.mapped is not None and paper.mapped.knows is not None:
                    external_id, order = paper.mapped.knows
                    told.setdefault((paper.satellite, external_id), order)
            else:
                later.append(paper)
        if not later:
            return told
        asked = {(paper.satellite, paper.names or "") for paper in later}
        rows = await tx.fetch(statements.known_orders, [s for s, _ in asked], [external for _, external in asked])
        known = {**told, **{(row[0], row[1]): _read_known(row[2]) for row in rows}}
        too_old = datetime.now(UTC) - self._waiting_max
        for index, paper in enumerate(later):
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            named = known.get((paper.satellite, paper.names or ""))
            if named is None and paper.received_at > too_old:
                paper.waits = True
            else:
                attempt(paper, interpret, named)
        return told

    async def _judge(self, tx: Transaction, papers: Sequence[Paper]) -> None:
        world = await self._look_around(tx, papers)
        now = datetime.now(UTC)
        for index, paper in enumerate(papers):
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            if paper.mapped is not None:
                attempt(paper, judge_all, (world, now))

    async def _look_around(self, tx: Transaction, papers: Sequence[Paper]) -> World:
        """Companies, which of the SKUs and warehouses that these documents name nobody has told of, and rates of
        foreign money."""
        companies = {row[0]: Company(*row) for row in await tx.fetch(statements.companies)}
        wanted: set[tuple[str, str]] = set()
        warehouses: set[tuple[str, str]] = set()
        foreign: set[tuple[str, str, date]] = set()
        for paper in papers:
            if paper.mapped is not None:
                for draft in paper.mapped.drafts:
                    wanted.update(wanted_skus(draft))
                    company = draft.content["company"]
                    names = wanted_warehouses(draft)
                    if not names <= self._warehouses.get(company, MAIN_ONLY):
                        warehouses.update((company, name) for name in names)
                    if (rate := wanted_rate(draft, companies)) is not None:
                        foreign.add(rate)
        wanted -= self._skus
        unknown: set[tuple[str, str]] = set()
        if wanted:
            asked = [(c, s) for c, s in wanted if "\0" not in s]
            rows = await tx.fetch(statements.unknown_skus, [c for c, _ in asked], [s for _, s in asked])
            unknown = {(row[0], row[1]) for row in rows}
            if len(self._skus) > SKUS_REMEMBERED:
                self._skus.clear()
            self._skus |= wanted - unknown
        undescribed: frozenset[tuple[str, str]] = frozenset()
        if warehouses:
            asked = [(c, w) for c, w in warehouses if w != MAIN and "\0" not in w]
            rows = await tx.fetch(statements.unknown_warehouses, [c for c, _ in asked], [w for _, w in asked])
            undescribed = frozenset((row[0], row[1]) for row in rows)
            for company, name in set(asked) - undescribed:
                self._warehouses.setdefault(company, {MAIN}).add(name)
        rates = {}
        if foreign:
            asked_rates = [list(column) for column in zip(*foreign, strict=True)]
            rows = await tx.fetch(statements.rates, *asked_rates, self._rate_days_max)
            rates = {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}
        return World(companies, unknown, rates, undescribed)

    # -------------------------------------------------------------------------------------------------- saving

    async def _save_one_by_one(
        self, tx: Transaction, papers: Sequence[Paper], known: Mapping[tuple[str, str], KnownOrder]
    ) -> None:
        """The database refused a row of this batch: each document gets a savepoint, and the bad one a refusal."""
        for paper in papers:
            before = len(tx.announced)
            own = {}
            if paper.mapped is not None and paper.mapped.knows is not None:
                key = (paper.satellite, paper.mapped.knows[0])
                own = {key: known[key]}
            try:
                async with tx.connection.transaction():
                    await _save(tx, [paper], own)
            except Exception as error:
                if cause_of(error) is not Cause.DATA:
                    raise
                del tx.announced[before:], tx.told[before:]
                reference = secrets.token_hex(6)
                log.error("document cannot be stored", intake_id=str(paper.id), reference=reference, exc_info=error)
                paper.verdicts, paper.waits, paper.ignored = (), False, ""
                paper.fault = Fault("mapping_failed", "", f"the database refused it; the log has it under {reference}")
                async with tx.connection.transaction():
                    await _save(tx, [paper], {})


async def _save(tx: Transaction, papers: Sequence[Paper], known: Mapping[tuple[str, str], KnownOrder]) -> None:
    positions = iter(await tx.positions(sum(len(paper.verdicts) for paper in papers)))
    commands: list[tuple[Any, ...]] = []
    refusals: list[tuple[Any, ...]] = []
    waiting: list[tuple[UUID, str, str]] = []
    ignored: list[tuple[UUID, str, str]] = []
    for paper in papers:
        if paper.fault is not None:
            refusals.append(_refusal(paper, paper.fault))
            if tx.tracing.enabled and len(refusals) <= REFUSED_SPANS_MAX:
                _trace_refusal(tx, paper, refusals[-1])
        elif paper.waits:
            waiting.append((paper.id, paper.satellite, paper.names or ""))
        elif paper.ignored:
            ignored.append((paper.id, paper.satellite, _clean(paper.ignored, 200)))
        else:
            for verdict in paper.verdicts:
                position = next(positions)
                commands.append(_announce(tx, paper, verdict, position))
    if commands:
        await tx.copy("command", columns=COMMAND_COLUMNS, records=commands)
    if refusals:
        await tx.copy("refusal", columns=REFUSAL_COLUMNS, records=refusals)
    if ignored:
        await tx.copy("ignored", columns=("id", "satellite", "reason"), records=ignored)
    if waiting:
        await tx.copy("waiting", columns=("id", "satellite", "external_id"), records=waiting)
    if known:
        keys = sorted(known)
        columns = [s for s, _ in keys], [external for _, external in keys]
        accepted: dict[tuple[str, str], KnownOrder] = {}
        for paper in papers:
            if paper.mapped is not None and paper.mapped.knows is not None:
                accepted.setdefault((paper.satellite, paper.mapped.knows[0]), paper.mapped.knows[1])
        told = [_encode(accepted.get(key) or known[key]) for key in keys]
        await tx.execute(statements.note_orders, *columns, told, [key in accepted for key in keys])
        await tx.execute(statements.wake, *columns)


def _announce(tx: Transaction, paper: Paper, verdict: Verdict, position: int) -> tuple[Any, ...]:
    command: Any = verdict.command
    tx.announce(
        command,
        position=position,
        key=(command.intake_id,),
        chain=verdict.chain,
        order_no=verdict.order_no,
        company=command.company,
        began=paper.received_at,
        came=lambda: came_with(paper.id, paper.channel, tx.tracing),
    )
    return (
        position,
        verdict.quantity_micro,
        verdict.amount_minor,
        command.intake_id,
        verdict.chain,
        command.business_date,
        verdict.lines,
        verdict.kind,
        command.company,
        paper.satellite,
        command.number,
        verdict.order_no,
        getattr(command, "currency", ""),
    )


def _refusal(paper: Paper, fault: Fault) -> tuple[Any, ...]:
    summary = Summary()
    sender = paper.sender or Satellite(paper.satellite)
    if paper.channel in CHANNELS:
        try:
            summary = CHANNELS[paper.channel].summary(paper.body, paper.topic, sender)
        except Exception as error:
            log.error("summary failed", intake_id=str(paper.id), exc_info=error)
    return (
        paper.id,
        paper.satellite,
        _clean(fault.reason, 60),
        _clean(fault.field, 300),
        _clean(fault.detail, 1000),
        _clean(summary.kind, 32),
        _clean(summary.company, 64),
        _clean(summary.number, 100),
        _date(summary.business_date),
        summary.lines,
        summary.quantity_micro,
        summary.amount_minor,
    )


def _trace_refusal(tx: Transaction, paper: Paper, row: tuple[Any, ...]) -> None:
    """Whoever looks up the trace of an order that never came finds why."""
    satellite, reason, field, kind, company, number = row[1], row[2], row[3], row[5], row[6], row[7]
    chain = event_id(kind, company, satellite, number) if kind and company and number else ""
    tx.tracing.failed(
        f"refuse document of {_clean(paper.channel, 40)}",
        chain,
        error=reason,
        attributes={
            "order.no": number,
            "company": company,
            "satellite": satellite,
            "tieout.field": field,
            "tieout.intake_id": str(paper.id),
        },
        began=paper.received_at,
    )


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _clean(text: str, most: int) -> str:
    """Whatever stood in a document, as text that a database keeps."""
    return text[:most].replace("\0", "\\0").encode("utf-8", "replace").decode("utf-8")
