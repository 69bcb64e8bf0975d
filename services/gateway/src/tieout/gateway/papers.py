"""One document on its way through a batch: read, interpreted, judged. What goes wrong with it stays with it."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import structlog
from msgspec import Struct
from tieout.gateway.channels import Channel
from tieout.gateway.channels.registry import CHANNELS
from tieout.gateway.domain import sizes
from tieout.gateway.domain.drafts import KnownOrder, Mapped, Satellite, Verdict, World
from tieout.gateway.domain.faults import Fault
from tieout.gateway.domain.judging import judge
from tieout.gateway.identifiers import COMMANDS_MAX
from tieout.gateway.satellites import Member

log = structlog.get_logger(__name__)

LOOK_AT_SIZE_FROM = 100_000  # A shorter document needs no message too large: its lines do not grow ninefold.

Needed = TypeVar("Needed")


class Paper(Struct):
    """One document on its way through a batch. In the end exactly one of the last four says what became of it."""

    id: UUID
    satellite: str
    channel: str
    topic: str
    body: bytes
    received_at: datetime
    sender: Satellite | None = None
    read: Any = None
    names: str | None = None  # The source's id of the order that it names.
    mapped: Mapped | None = None
    verdicts: Sequence[Verdict] = ()
    fault: Fault | None = None
    waits: bool = False
    ignored: str = ""


def attempt(paper: Paper, step: Callable[[Paper, Needed], None], needed: Needed) -> None:
    """A step on one document; whatever goes wrong with it stays with it."""
    try:
        step(paper, needed)
    except Fault as fault:
        paper.fault, paper.mapped = fault, None
    except Exception as error:
        reference = secrets.token_hex(6)
        log.error("mapping failed", intake_id=str(paper.id), reference=reference, exc_info=error)
        paper.mapped = None
        paper.fault = Fault("mapping_failed", "", f"a mistake of ours; the gateway's log has it under {reference}")


def _channel_of(paper: Paper) -> Channel:
    channel = CHANNELS.get(paper.channel)
    if channel is None:
        raise Fault("unknown_channel", "", f"there is no channel {paper.channel[:40]!r}")
    return channel


def read(paper: Paper, members: Mapping[str, Member]) -> None:
    member = members.get(paper.satellite)
    if member is None:
        raise Fault(
            "unknown_satellite", "", f"nobody described {paper.satellite!r}: PUT /v1/satellites/{paper.satellite}"
        )
    paper.sender = member.satellite
    channel = _channel_of(paper)
    paper.read = channel.read(paper.body, paper.topic)
    paper.names = channel.lookup(paper.read)


def interpret(paper: Paper, known: KnownOrder | None) -> None:
    assert paper.sender is not None
    mapped = _channel_of(paper).map(paper.read, paper.sender, known)
    if len(mapped.drafts) > COMMANDS_MAX:
        raise Fault("too_many", "", f"{len(mapped.drafts)} commands in one document; at most {COMMANDS_MAX}")
    paper.read = None
    if mapped.ignored:
        paper.ignored = mapped.ignored
    else:
        paper.mapped = mapped


def judge_all(paper: Paper, around: tuple[World, datetime]) -> None:
    assert paper.mapped is not None
    assert paper.sender is not None
    world, now = around
    drafts = enumerate(paper.mapped.drafts, 1)
    verdicts = [judge(draft, paper.sender, world, now, paper.id, ordinal) for ordinal, draft in drafts]
    if len(paper.body) > LOOK_AT_SIZE_FROM:
        for verdict in verdicts:
            sizes.check(verdict.command)
    paper.verdicts = verdicts
