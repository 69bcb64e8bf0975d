"""Questions to the gateway. No rules, no locks."""

import base64
from collections.abc import Sequence
from typing import Any, cast, get_args
from uuid import UUID

from tieout.contracts.access import AUDIT, Asked, AuditPage, ListAudit
from tieout.contracts.event import event_id
from tieout.contracts.gateway import (
    DOCUMENTS,
    GATEWAY_OUTCOMES,
    PROGRESS,
    QUARANTINE,
    SATELLITE_COMMANDS,
    SATELLITES,
    SHOW_DOCUMENT,
    CommandView,
    DocumentPage,
    DocumentSummary,
    DocumentView,
    GatewayOutcome,
    GatewayOutcomes,
    GatewayOutcomesRequest,
    ListDocuments,
    ListQuarantine,
    ListSatellites,
    Progress,
    ProgressRequest,
    ProgressView,
    Quarantined,
    QuarantineGroup,
    QuarantinePage,
    Refusal,
    SatelliteCommands,
    SatelliteCommandsRequest,
    Satellites,
    SatelliteView,
    ShowDocument,
    State,
)
from tieout.contracts.operation import OrderNamed, Trail, TrailEntry, TrailRequest
from tieout.contracts.rates import RATES, ListRates, RatePage, RateView
from tieout.gateway.domain.faults import Reason
from tieout.gateway.domain.judging import CONTRACTS
from tieout.gateway.identifiers import STEP, document_of
from tieout.servicekit import Connection, Database, Refused, operation, sql

statements = sql.load(__file__)

CONTENT_BYTES_MAX = 700_000  # As base64 it still fits into one answer.
LARGEST = 2**63 - 1
NO_CHAIN = UUID(int=0)
REASONS: tuple[str, ...] = get_args(Reason)
GROUPS_MAX = 100  # On one page of the quarantine; as of the contract.
COMMANDS_PAGE = 15_000  # Of 39 bytes each.


@operation(SATELLITES)
async def list_satellites(request: ListSatellites, database: Database) -> Satellites:
    async with database.read() as connection:
        rows = await connection.fetch(statements.satellites)
    return Satellites(tuple(SatelliteView(**row) for row in rows))


@operation(SHOW_DOCUMENT)
async def show_document(request: ShowDocument, database: Database) -> DocumentView:
    """Also by the intake id of one of its commands."""
    id = document_of(request.intake_id)
    async with database.read() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        raw = await connection.fetchrow(statements.document, id)
        commands = await connection.fetch(statements.commands, id, UUID(int=id.int + STEP))
        if raw is None:
            return await _without_bytes(connection, id, commands)
        refusals = await connection.fetch(statements.refusals, id)
        states = await _states(connection, [id])
    content, is_base64 = _text(raw["body"]) if request.content else ("", False)
    return DocumentView(
        intake_id=id,
        state=states[id],
        satellite=raw["satellite"],
        channel=raw["channel"],
        topic=raw["topic"],
        received_at=raw["received_at"],
        bytes=raw["bytes"],
        content=content,
        content_is_base64=is_base64,
        commands=tuple(CommandView(*row) for row in commands),
        refusals=tuple(Refusal(*row) for row in refusals),
        corrects=raw["corrects"],
        waits_for=raw["waits_for"] or "",
        ignored=raw["ignored"] or "",
    )


async def _without_bytes(connection: "Connection[Any]", id: UUID, commands: Sequence[Any]) -> DocumentView:
    """Rebuilt from its commands after a database was lost. Raises Refused where there is none."""
    rebuilt = await connection.fetchrow(statements.rebuilt, id)
    if rebuilt is None:
        told = "No document has this intake id. It stands in the answer to its delivery."
        if await connection.fetchval(statements.is_lost, id):
            told = (
                "What came at the instant of this intake id and led to no command was lost with a database that was "
                "restored from an older backup. Send the document again."
            )
        raise Refused("not_found", told, field="intake_id", status=404)
    return DocumentView(
        intake_id=id,
        state="rebuilt",
        satellite=rebuilt["satellite"],
        channel="",
        topic="",
        received_at=rebuilt["received_at"],
        bytes=0,
        commands=tuple(CommandView(*row) for row in commands),
        remark="Recovered from its commands; its own bytes were lost with a database.",
    )


@operation(SATELLITE_COMMANDS)
async def satellite_commands(request: SatelliteCommandsRequest, database: Database) -> SatelliteCommands:
    """For a replay of all that a satellite sent."""
    async with database.read() as connection:
        rows = await connection.fetch(
            statements.satellite_commands, request.satellite, request.until, request.after, COMMANDS_PAGE
        )
    chains = dict.fromkeys(row["chain_id"] for row in rows)
    return SatelliteCommands(tuple(chains), rows[-1]["position"] if len(rows) == COMMANDS_PAGE else 0)


@operation(DOCUMENTS)
async def list_documents(request: ListDocuments, database: Database) -> DocumentPage:
    async with database.read() as connection:
        await check_choice(connection, request.satellite)
        rows = await connection.fetch(statements.documents, request.satellite, request.before, request.limit + 1)
        states = await _states(connection, [row["id"] for row in rows])
    page = tuple(
        DocumentSummary(
            row["id"],
            states[row["id"]],
            row["satellite"],
            row["channel"],
            row["topic"],
            row["received_at"],
            row["bytes"],
        )
        for row in rows[: request.limit]
    )
    return DocumentPage(page, page[-1].intake_id if len(rows) > request.limit else None)


@operation(QUARANTINE)
async def list_quarantine(request: ListQuarantine, database: Database) -> QuarantinePage:
    """A choice that nothing can ever match is refused: misspelt, it would read as if all were well."""
    async with database.read() as connection:
        chosen = (request.satellite, request.reason, request.field)
        await check_choice(connection, *chosen)
        rows = await connection.fetch(statements.quarantine, *chosen, request.all, request.after, request.limit + 1)
        ((waiting, newest),) = await connection.fetch(statements.quarantine_open, *chosen)
        groups = [] if request.after else await connection.fetch(statements.quarantine_groups, *chosen, GROUPS_MAX)
    page = tuple(_quarantined(row) for row in rows[: request.limit])
    following = page[-1].entry if len(rows) > request.limit else 0
    return QuarantinePage(page, waiting, following, newest, tuple(QuarantineGroup(*row) for row in groups))


async def check_choice(connection: "Connection[Any]", satellite: str, reason: str = "", field: str = "") -> None:
    """Raises Refused for a satellite that nobody described and nothing came from, for a reason that is neither one
    of ours nor told by any satellite's own checks, and for a field that nothing was ever refused for."""
    if satellite and not await connection.fetchval(statements.is_satellite, satellite):
        detail = f"There is no satellite {satellite[:60]!r}, and nothing came from one. See GET /v1/satellites."
        raise Refused("not_found", detail, field="satellite", status=404)
    if reason and reason not in REASONS and not await connection.fetchval(statements.is_reason, reason):
        detail = f"There is no reason {reason[:60]!r}; there are: {', '.join(REASONS)}, and what satellites tell."
        raise Refused("not_found", detail, field="reason", status=404)
    if field and not await connection.fetchval(statements.is_field, field):
        spelled = "Write it as ./tieout quarantine list (GET /v1/quarantine) does."
        detail = f"Nothing was ever refused for the field {field[:60]!r}. {spelled}"
        raise Refused("not_found", detail, field="field", status=404)


def _quarantined(row: Any) -> Quarantined:
    told = dict(row)
    told["quantity_micro"], told["amount_minor"] = _integer(row["quantity_micro"]), _integer(row["amount_minor"])
    return Quarantined(**told)


@operation(GATEWAY_OUTCOMES)
async def outcomes(request: GatewayOutcomesRequest, database: Database) -> GatewayOutcomes:
    async with database.read() as connection:
        rows = await connection.fetch(statements.outcomes, request.company, request.source)
    return GatewayOutcomes(tuple(_outcome(row) for row in rows))


def _outcome(row: Any) -> GatewayOutcome:
    values = list(row)
    values[-2:] = [_integer(value) for value in values[-2:]]
    return GatewayOutcome(*values)


@operation(AUDIT)
async def list_audit(request: ListAudit, database: Database) -> AuditPage:
    async with database.read() as connection:
        rows = await connection.fetch(
            statements.audit, request.who, request.operation, request.path, request.before, request.limit + 1
        )
    page = tuple(Asked(*row) for row in rows[: request.limit])
    return AuditPage(page, page[-1].entry if len(rows) > request.limit else 0)


@operation(RATES)
async def list_rates(request: ListRates, database: Database) -> RatePage:
    async with database.read() as connection:
        rows = await connection.fetch(
            statements.rates, request.currency, request.quoted_in, request.until, request.limit
        )
    return RatePage(tuple(RateView(*row) for row in rows))


@operation(PROGRESS)
async def progress(request: ProgressRequest, database: Database) -> ProgressView:
    async with database.read() as connection:
        rows = await connection.fetch(statements.progress, request.source)
        commands = await connection.fetch(statements.progress_commands, request.source)
    kinds: dict[str, dict[str, int]] = {}
    for satellite, kind, count in commands:
        kinds.setdefault(satellite, {})[kind] = count
    return ProgressView(tuple(_progress(row, kinds) for row in rows))


def _progress(row: Any, kinds: dict[str, dict[str, int]]) -> Progress:
    values = [*row, kinds.get(row[0], {})]
    return Progress(*values)


async def trail(request: TrailRequest, database: Database) -> Trail:
    """What arrived for a chain, and what it was handed over as; documents of its number that were refused. Asked for no
    chain, also which orders documents of that number are about."""
    try:
        chain = UUID(request.chain_id)
    except ValueError:
        return Trail(())
    async with database.read() as connection:
        commands = await connection.fetch(statements.trail_commands, chain, request.order_no)
        refused = await connection.fetch(statements.trail_refusals, request.order_no) if request.order_no else ()
        named = await connection.fetch(statements.orders_of_paper, request.order_no) if chain == NO_CHAIN else ()
    entries = []
    for row in commands:
        contract = CONTRACTS[row["kind"]]
        where = f"{row['satellite']}/{row['channel']}"
        entries.append(TrailEntry(at=_time(row["received_at"]), step="received", document=row["number"], detail=where))
        entries.append(
            TrailEntry(
                at=_time(row["at"]),
                step="handed over",
                document=row["number"],
                event_id=event_id(contract.SUBJECT, row["id"]),
                quantity_micro=row["quantity_micro"],
                amount_minor=row["amount_minor"],
                currency=row["currency"] if row["amount_minor"] else "",
                detail=row["kind"],
            )
        )
    for row in refused:
        detail = f"{row['reason']} {row['field']}".strip()
        entries.append(
            TrailEntry(
                at=_time(row["at"]),
                step="quarantined",
                document=row["number"],
                detail=detail,
                intake_id="" if row["decision"] else str(row["id"]),
            )
        )
        if row["decision"]:
            why = f"by {row['decided_by']}" + (f": {row['note']}" if row["note"] else "")
            at = _time(row["decided_at"])
            entries.append(TrailEntry(at=at, step=row["decision"], document=row["number"], detail=why))
    return Trail(tuple(entries), tuple(OrderNamed(*row) for row in named))


async def _states(connection: "Connection[Any]", ids: list[UUID]) -> dict[UUID, State]:
    rows = await connection.fetch(statements.states, ids, [UUID(int=id.int + STEP) for id in ids])
    return {row[0]: cast("State", row[1]) for row in rows}


def _text(body: bytes) -> tuple[str, bool]:
    if len(body) > CONTENT_BYTES_MAX:
        raise Refused(
            "too_large", f"The document has {len(body)} bytes. Ask with content=false.", field="content", status=413
        )
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True


def _integer(value: Any) -> int:
    """Sums of faulty documents may be of any size; an answer bears 64 bits."""
    return max(-LARGEST, min(LARGEST, int(value)))


def _time(at: Any) -> str:
    return cast("str", at.isoformat()).replace("+00:00", "Z")
