"""Questions about what control has heard: journeys, status, dead letters. No rules, no locks."""

import asyncio
import contextlib
import re
from collections.abc import Iterator, Sequence, Set
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from tieout.contracts.agreement import SettingsChange, SettingsChanges, SettingsChangesRequest
from tieout.contracts.control import (
    DeadLetter,
    DeadLetters,
    DeadLettersRequest,
    FlowState,
    Journey,
    JourneyChoice,
    JourneyRequest,
    Journeys,
    ServiceStatus,
    Settings,
    SettingsRequest,
    Status,
    StatusRequest,
    StepLatency,
    Throughput,
)
from tieout.contracts.event import Notice
from tieout.contracts.operation import OrderNamed, Trail, TrailEntry, TrailRequest
from tieout.contracts.streams import CORE_SERVICES, FOLLOWED
from tieout.contracts.watch import LeafSite
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain import journey as journeys
from tieout.control.domain.journey import HeardStep
from tieout.control.domain.latency import JOURNEY, percentile_ms
from tieout.control.domain.sites import troubled
from tieout.servicekit import Database, Refused, instant, sql

statements = sql.load(__file__)
read_notice = msgspec.json.Decoder(Notice).decode

NO_CHAIN = str(UUID(int=0))
CHAINS_MAX = 200  # Of all journeys of one number.
NOTICES_MAX = 2_000
JOURNEYS_MAX = 20
VOUCHER = re.compile(r"[^\s-]{1,4}-\d{4}-\d{2}-\d{1,9}")  # 记-2026-11-000012
STEPS_PER_JOURNEY_MAX = 1_000  # An answer has to fit into one message.


async def show_journey(request: JourneyRequest, database: Database, colleagues: Colleagues) -> Journeys:
    """Every journey of an order number, or of the orders that a document or voucher of this number is about.

    Raises Refused(not_found) where nobody has heard of it.

    Shops show numbers as #1001 and hand over 1001, so both find it.
    """
    try:
        return await _journeys(request, database, colleagues)
    except Refused:
        bare = request.order_no.lstrip("#").strip()
        if not bare or bare == request.order_no:
            raise
        return await _journeys(JourneyRequest(bare, request.company), database, colleagues)


async def _journeys(
    request: JourneyRequest, database: Database, colleagues: Colleagues, *, papers: bool = True
) -> Journeys:
    """`papers`: whether the number may be that of a payment or another document, which leads to its orders."""
    async with database.read() as connection:
        chains = await connection.fetch(statements.chains_of_order, request.order_no, request.company, CHAINS_MAX)
        wanted = {row["chain_id"] for row in chains}
        heard = await heard_of(wanted, connection) if wanted else []
    groups = journeys.chains_by_journey(heard)
    if papers and not any(step.event_type in journeys.ORDER_TYPES for step in heard):
        gate = await _at_the_gate(request, colleagues)
        named = [one for one in gate.orders if request.company in ("", one.company)]
        if orders := [one for one in named if one.order_no]:
            told = await _of_orders(orders, database, colleagues)
            if told.journeys:
                return told
        # Money of several orders has a chain of its own, which control has heard of a moment after finance posted it.
        if named and wanted <= {one.chain_id for one in named}:
            return await _of_money(request.order_no, named, database, colleagues)
        if not groups and gate.entries:
            refused = journeys.tell(request.order_no, request.company, NO_CHAIN, (), {"gateway": gate.entries})
            return Journeys(journeys=(refused,))
        if not groups and VOUCHER.fullmatch(request.order_no.strip()):
            return await _of_voucher(request, database, colleagues)
    if not groups:
        of_company = f" of company {request.company}" if request.company else ""
        raise Refused(
            "not_found",
            f"Nothing is known of an order, document or voucher {request.order_no}{of_company}. If a document was "
            "refused, it stands in the quarantine: ./tieout quarantine list",
            field="order_no",
            status=404,
        )
    silent: set[str] = set()
    found = [
        await _tell(request.order_no, company, chains, heard, colleagues, silent)
        for (company, _), chains in sorted(groups.items())[:JOURNEYS_MAX]
    ]
    return Journeys(journeys=tuple(found), unanswered=tuple(sorted(silent)))


async def _of_orders(orders: Sequence[OrderNamed], database: Database, colleagues: Colleagues) -> Journeys:
    """Of those that control has heard of."""
    found: list[Journey] = []
    silent: set[str] = set()
    for one in orders:
        with contextlib.suppress(Refused):
            told = await _journeys(JourneyRequest(one.order_no, one.company), database, colleagues, papers=False)
            found += told.journeys
            silent.update(told.unanswered)
    return Journeys(tuple(found[:JOURNEYS_MAX]), unanswered=tuple(sorted(silent)))


async def _of_voucher(request: JourneyRequest, database: Database, colleagues: Colleagues) -> Journeys:
    """Of the order that a voucher belongs to, or of its paper. Several companies may have one of this number, and one
    payment may be of several orders: then these are told to choose from.

    Raises Refused: not_found, or unavailable where finance does not answer.
    """
    number = request.order_no.strip()
    try:
        told = await colleagues.ask("finance", "trail", TrailRequest(NO_CHAIN, number), Trail)
    except Unanswered as error:
        raise Refused("unavailable", f"{error.service} has no answer: {error.why}", status=503) from None
    found = [one for one in told.orders if request.company in ("", one.company)]
    if not found:
        of_company = f"Company {request.company}" if request.company else "No company"
        has = "has no" if request.company else "has a"
        raise Refused("not_found", f"{of_company} {has} voucher {number}.", field="order_no", status=404)
    return await _chosen(found, database, colleagues)


async def _of_money(number: str, named: Sequence[OrderNamed], database: Database, colleagues: Colleagues) -> Journeys:
    """Of the orders that payments or refunds of this number are of, as finance's books have it; else their own."""
    found: list[OrderNamed] = []
    for one in named:
        try:
            told = await colleagues.ask("finance", "trail", TrailRequest(one.chain_id, number), Trail)
        except Unanswered:
            told = Trail(())
        found += told.orders or (OrderNamed(one.company, number, one.chain_id),)
    return await _chosen(found, database, colleagues)


async def _chosen(found: Sequence[OrderNamed], database: Database, colleagues: Colleagues) -> Journeys:
    """The journey of the only one, else all of them to choose from."""
    if len(found) > 1:
        return Journeys((), choices=tuple(JourneyChoice(one.company, one.order_no) for one in found))
    one = found[0]
    with contextlib.suppress(Refused):
        of_number = await _journeys(JourneyRequest(one.order_no, one.company), database, colleagues, papers=False)
        own = tuple(each for each in of_number.journeys if each.chain_id == one.chain_id)
        if own:
            return Journeys(own, unanswered=of_number.unanswered)
    async with database.read() as connection:
        heard = await heard_of({one.chain_id}, connection)
    silent: set[str] = set()
    alone = await _tell(one.order_no, one.company, [one.chain_id], heard, colleagues, silent)
    return Journeys((alone,), unanswered=tuple(sorted(silent)))


async def heard_of(chains: Set[str], connection: Any) -> list[HeardStep]:
    """Every step of these chains that control heard of."""
    rows = await connection.fetch(statements.notices_of_chains, list(chains), NOTICES_MAX)
    return [step for row in rows for step in _steps(row, chains)]


async def _at_the_gate(request: JourneyRequest, colleagues: Colleagues) -> Trail:
    """A document in quarantine never became a command, so no notice told of it; and notices of a payment tell its
    order's number alone. The gateway knows both by their own."""
    try:
        return await colleagues.ask("gateway", "trail", TrailRequest(NO_CHAIN, request.order_no), Trail)
    except Unanswered:
        return Trail(())


async def _tell(
    order_no: str,
    company: str,
    chains: Sequence[str],
    heard: Sequence[HeardStep],
    colleagues: Colleagues,
    silent: set[str],
) -> Journey:
    async def trail(service: str, chain: str) -> Trail:
        try:
            return await colleagues.ask(service, "trail", TrailRequest(chain, order_no), Trail)
        except Unanswered:
            silent.add(service)
            return Trail(())

    asked = [(service, chain) for service in FOLLOWED for chain in chains]
    answers = await asyncio.gather(*(trail(service, chain) for service, chain in asked))
    trails: dict[str, dict[TrailEntry, None]] = {}  # A set in order: two chains may tell the same entry.
    for (service, _), answer in zip(asked, answers, strict=True):
        trails.setdefault(service, {}).update(dict.fromkeys(answer.entries))
    money = [one for answer in answers for one in answer.money]
    steps = [step for step in heard if step.company == company and step.chain_id in chains]
    lists = {service: list(entries) for service, entries in trails.items()}
    return journeys.tell(order_no, company, chains[0], steps[:STEPS_PER_JOURNEY_MAX], lists, money)


async def show_status(
    request: StatusRequest, database: Database, colleagues: Colleagues, flows: Sequence[FlowState]
) -> Status:
    async with database.read() as connection:
        buckets = await connection.fetch(statements.latencies, request.minutes)
        counted = await connection.fetch(statements.throughput, request.minutes)
        open_counts = await connection.fetchrow(statements.open_counts)
    health, sites = await asyncio.gather(
        asyncio.gather(*(colleagues.health(service) for service in CORE_SERVICES)), _sites(colleagues)
    )
    waiting: dict[str, int] = {}
    for flow in flows:
        service = flow.durable.partition("-")[0]
        waiting[service] = waiting.get(service, 0) + flow.waiting + flow.unacked
    services = tuple(
        ServiceStatus(
            service,
            up=any(instance.ready for instance in instances),
            instances=tuple(instances),
            waiting=waiting.get(service, 0),
        )
        for service, instances in zip(CORE_SERVICES, health, strict=True)
    )
    given_up = {f"{one.service} {rule}" for instances in health for one in instances for rule in one.unchecked}
    return Status(
        at=_text(datetime.now(UTC)),
        services=services,
        flows=tuple(flows),
        latencies=_latencies(buckets),
        throughput=tuple(
            Throughput(row["event_type"], row["total"], round(row["last_minute"], 2), round(row["peak"], 2))
            for row in counted
        ),
        dead_letters=open_counts["dead_letters"] if open_counts else 0,
        findings=sum(max((one.findings for one in instances), default=0) for instances in health),
        unchecked=tuple(sorted(given_up)),
        disagreements=open_counts["disagreements"] if open_counts else 0,
        sites=sites,
    )


async def _sites(colleagues: Colleagues) -> tuple[LeafSite, ...]:
    try:
        return troubled(await colleagues.sites(), datetime.now(UTC))
    except Unanswered:
        return ()  # That the gateway is silent stands among the services.


def _latencies(rows: Sequence[Any]) -> tuple[StepLatency, ...]:
    pairs: dict[tuple[str, str], dict[int, int]] = {}
    for row in rows:
        pairs.setdefault((row["before"], row["after"]), {})[row["bucket"]] = row["n"]
    told = [
        StepLatency(
            before,
            after,
            sum(buckets.values()),
            *(round(percentile_ms(buckets, share), 1) for share in (0.5, 0.95, 0.99)),
        )
        for (before, after), buckets in pairs.items()
    ]
    told.sort(key=lambda step: ((step.before, step.after) != JOURNEY, -step.count, step.before, step.after))
    return tuple(told)


async def list_dead_letters(request: DeadLettersRequest, database: Database) -> DeadLetters:
    async with database.read() as connection:
        rows = await connection.fetch(statements.dead_letters, request.after, request.service, request.limit)
    letters = tuple(DeadLetter(**{**dict(row), "at": _text(row["at"])}) for row in rows)
    return DeadLetters(letters, next_after=letters[-1].number if len(letters) == request.limit else 0)


async def list_settings(request: SettingsRequest, colleagues: Colleagues) -> Settings:
    """All services' changes of settings in one list. Raises Refused(invalid) for an unknown service."""
    if request.service and request.service not in CORE_SERVICES:
        raise Refused(
            "invalid",
            f"There is no service {request.service!r}; there are: {', '.join(CORE_SERVICES)}.",
            field="service",
            status=422,
        )
    if request.before:  # Here, because a service's refusal would look like one that is away.
        instant(request.before, "before")
    asked = SettingsChangesRequest(request.before, request.table, request.by_hand, request.limit)
    silent: list[str] = []
    tables: set[str] = set()

    async def ask(service: str) -> Sequence[SettingsChange]:
        try:
            told = await colleagues.ask(service, "settings_changes", asked, SettingsChanges)
        except Unanswered:
            silent.append(service)
            return ()
        tables.update(told.tables)
        return told.changes

    services = (request.service,) if request.service else CORE_SERVICES
    found = [change for changes in await asyncio.gather(*map(ask, services)) for change in changes]
    if request.table and request.table not in tables and not found and not silent:
        known = ", ".join(sorted(tables)) or "none"
        detail = f"There is no table {request.table!r} of settings; there are: {known}."
        raise Refused("invalid", detail, field="table", status=422)
    found.sort(key=lambda change: (change.at, change.number), reverse=True)
    return Settings(tuple(found[: request.limit]), unanswered=tuple(sorted(silent)))


def _steps(row: Any, wanted: Set[str]) -> Iterator[HeardStep]:
    """The events of some chains, out of one notice."""
    notice = read_notice(row["body"])
    for index, chain in enumerate(notice.chains):
        if chain in wanted:
            yield HeardStep(
                chain_id=chain,
                event_id=notice.ids[index],
                event_type=notice.types[index],
                producer=row["producer"],
                at=notice.time,
                position=notice.positions[index],
                order_no=notice.order_nos[index],
                company=notice.companies[index],
                cause_id=notice.causes[index],
                repeats=row["repeats"],
            )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
