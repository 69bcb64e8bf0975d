"""A selection -> the events that it means, each for the flows that hear it. control.freeze_replay

Events are found in the notices that control has heard, dead letters in its own books; bodies stay where they are.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from tieout.contracts.event import Envelope, Notice
from tieout.contracts.gateway import SatelliteCommands, SatelliteCommandsRequest
from tieout.contracts.replay import INTAKE, ChooseDocuments, ChosenDocuments, Kept, KeptRequest, Selection
from tieout.contracts.streams import EVENTS, FLOWS, FOLLOWED, stream_of
from tieout.control.colleagues import Colleagues
from tieout.control.domain.history import Happened
from tieout.servicekit import Connection, Database, Refused, instant, sql

statements = sql.load(__file__)

FLOWS_OF: dict[str, list[str]] = {
    subject: [flow.durable for flow in FLOWS if subject in flow.subjects and flow.service != "control"]
    for subject in EVENTS
}
STREAMS = {stream_of(producer): producer for producer in FOLLOWED}
EVENTS_MAX = 500_000
FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
LAST_DAY = datetime(9999, 1, 1, tzinfo=UTC)

_read_notice = msgspec.json.Decoder(Notice).decode
_read_envelope = msgspec.json.Decoder(Envelope).decode


class _Letter(msgspec.Struct):
    """What a replay needs of a dead letter."""

    stream: str
    sequence: int
    event_id: str = ""
    body: str = ""


_read_letter = msgspec.json.Decoder(_Letter).decode


class Chooser:
    def __init__(self, colleagues: Colleagues) -> None:
        self._colleagues = colleagues

    async def choose(self, selection: Selection, database: Database) -> list[Happened]:
        """Raises Refused where the selection says nothing, or too much."""
        since, until = _moment(selection.since, "since", FIRST_DAY), _moment(selection.until, "until", LAST_DAY)
        if selection.step == INTAKE:
            return await self._documents(selection, since, until)
        flows = _flows(selection.step)
        if selection.ticket or selection.letters:
            return await self._letters(selection, flows, since, until, database)
        wanted = await self._positions(selection)
        chains = await self._chains(selection, until, database)
        if wanted is None and chains is None and not (selection.since or selection.until):
            raise Refused(
                "invalid",
                "Say what to replay: a ticket, order numbers, a satellite, a time range, or a stream with sequences. "
                "For everything: since 1970-01-01T00:00:00Z.",
                field="selection",
                status=422,
            )
        found: list[Happened] = []
        async with database.read() as connection:
            rows = await self._notices(connection, wanted, chains, since)
        for row in rows:
            chosen = _events(row, flows, selection.company, chains, wanted)
            found += [item for item in chosen if since <= datetime.fromisoformat(item.at) <= until]
            if len(found) > EVENTS_MAX:
                raise Refused(
                    "too_many",
                    f"More than {EVENTS_MAX} events. Replay a shorter time range after the other.",
                    field="selection",
                    status=422,
                )
        return found

    async def _documents(self, selection: Selection, since: datetime, until: datetime) -> list[Happened]:
        """Raw documents of the gateway; each is a chain of its own until it is known what it leads to."""
        if not (selection.satellite or selection.order_nos or selection.since or selection.until):
            raise Refused(
                "invalid", f"With {INTAKE}, name a satellite, order numbers or times.", field="selection", status=422
            )
        found: list[Happened] = []
        after: UUID | None = None
        while True:
            request = ChooseDocuments(selection.satellite, since, until, selection.order_nos, after)
            page = await self._colleagues.ask("gateway", "choose_documents", request, ChosenDocuments)
            for one in page.documents:
                intake_id, at = str(one.intake_id), one.received_at.astimezone(UTC).isoformat()
                found.append(
                    Happened(INTAKE, "raw", "gateway", 0, 0, intake_id, intake_id, one.number, one.company, at)
                )
            if not page.more or len(found) > EVENTS_MAX:
                return found[:EVENTS_MAX]
            after = page.documents[-1].intake_id

    async def _letters(
        self, selection: Selection, flows: Set[str], since: datetime, until: datetime, database: Database
    ) -> list[Happened]:
        async with database.read() as connection:
            rows = await connection.fetch(
                statements.letters,
                selection.ticket,
                list(selection.order_nos),
                selection.company,
                since,
                until,
                list(selection.positions),
            )
        stream = selection.stream.lower()
        found = [_of_letter(row) for row in rows if row["flow"] in flows]
        return [one for one in found if stream in ("", one.producer)]

    async def _positions(self, selection: Selection) -> dict[str, set[int]] | None:
        """Producer -> positions of a range of stream sequences; None where none is asked for."""
        if not (selection.stream or selection.first_sequence or selection.last_sequence or selection.positions):
            return None
        producer = STREAMS.get(selection.stream.upper())
        if producer is None:
            raise Refused("invalid", f"There are the streams {', '.join(STREAMS)}.", field="stream", status=422)
        if selection.positions:
            return {producer: set(selection.positions)}
        if not 0 < selection.first_sequence <= selection.last_sequence:
            raise Refused("invalid", "Give the first and the last sequence.", field="first_sequence", status=422)
        found: set[int] = set()
        after = 0
        while True:
            request = KeptRequest(
                first_sequence=selection.first_sequence, last_sequence=selection.last_sequence, after=after
            )
            kept = await self._colleagues.ask(producer, "kept", request, Kept)
            found.update(event.position for event in kept.events)
            if not kept.more:
                return {producer: found}
            after = kept.events[-1].position

    async def _chains(self, selection: Selection, until: datetime, database: Database) -> set[str] | None:
        """Chains of order numbers and of a satellite's documents; None where neither is asked for."""
        found: set[str] | None = None
        if selection.order_nos:
            async with database.read() as connection:
                rows = await connection.fetch(statements.chains_of_orders, list(selection.order_nos), selection.company)
            found = {row[0] for row in rows}
        if selection.satellite:
            sent = {str(chain) for chain in await self._sent_by(selection.satellite, until)}
            found = sent if found is None else found & sent
        return found

    async def _sent_by(self, satellite: str, until: datetime) -> list[UUID]:
        found: list[UUID] = []
        after = 0
        while True:
            request = SatelliteCommandsRequest(satellite, until, after)
            page = await self._colleagues.ask("gateway", "satellite_commands", request, SatelliteCommands)
            found += page.chains
            after = page.next_after
            if not after:
                return found

    async def _notices(
        self,
        connection: Connection,
        wanted: dict[str, set[int]] | None,
        chains: set[str] | None,
        since: datetime,
    ) -> Sequence[Any]:
        if chains is not None:
            return await connection.fetch(statements.notices_of_chains, list(chains))
        if wanted is not None:
            ((producer, positions),) = wanted.items()
            if not positions:
                return ()
            return await connection.fetch(statements.notices_of_positions, producer, min(positions), max(positions))
        return await connection.fetch(statements.notices_since, since)


def _flows(step: str) -> frozenset[str]:
    """The flows that a step names: itself, all of a service, or all that hear an event."""
    every = frozenset(flow.durable for flow in FLOWS)
    if not step:
        return every
    found = frozenset(flow.durable for flow in FLOWS if step in (flow.durable, flow.service) or step in flow.subjects)
    if not found:
        raise Refused(
            "invalid",
            f"There is no step {step!r}. Name a flow (finance-bill-shipments), a service (finance), an event "
            f"(order.placed.v1), or {INTAKE}.",
            field="step",
            status=422,
        )
    return found


def _moment(text: str, field: str, missing: datetime) -> datetime:
    return instant(text, field) if text else missing


def _events(
    row: Any,
    flows: Set[str],
    company: str,
    chains: set[str] | None,
    wanted: dict[str, set[int]] | None,
) -> Iterator[Happened]:
    """The events of one notice that are chosen, once for each flow."""
    notice = _read_notice(row["body"])
    producer = row["producer"]
    positions = None if wanted is None else wanted.get(producer, set())
    for index, subject in enumerate(notice.types):
        hearing = [flow for flow in FLOWS_OF.get(subject, ()) if flow in flows]
        if not hearing or (company and notice.companies[index] != company):
            continue
        if chains is not None and notice.chains[index] not in chains:
            continue
        if positions is not None and notice.positions[index] not in positions:
            continue
        for flow in hearing:
            yield Happened(
                flow=flow,
                subject=subject,
                producer=producer,
                position=notice.positions[index],
                sequence=0,
                event_id=notice.ids[index],
                chain_id=notice.chains[index],
                order_no=notice.order_nos[index],
                company=notice.companies[index],
                at=notice.time,
                cause_id=notice.causes[index],
            )


def _of_letter(row: Any) -> Happened:
    letter = _read_letter(row["letter"])
    at, cause = row["at"].astimezone(UTC).isoformat().replace("+00:00", "Z"), ""
    try:
        envelope = _read_envelope(letter.body.encode())
        at, cause = envelope.time, envelope.causationid
    except (msgspec.MsgspecError, RecursionError):
        pass  # It died of that; the flow will say so again.
    return Happened(
        flow=row["flow"],
        subject=row["subject"],
        producer=letter.stream.lower(),
        position=row["position"],
        sequence=letter.sequence,
        event_id=letter.event_id or f"{letter.stream}-{letter.sequence}",
        chain_id=row["chain_id"],
        order_no=row["order_no"],
        company=row["company"],
        at=at,
        cause_id=cause,
        letter=row["number"],
    )


def documents(items: Iterable[Happened]) -> int:
    return len({item.chain_id for item in items})
