"""Rows of an outbox that was restored from an older backup: as they were published, and as the stream holds them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from tieout.contracts.event import event_id
from tieout.contracts.streams import notice_subject, stream_of
from tieout.servicekit import sql
from tieout.servicekit.letters import LETTERS_STREAM
from tieout.servicekit.lost_part import Message, Row
from tieout.servicekit.packs import packed

statements = sql.load(__file__)

_read_any = msgspec.json.Decoder().decode


async def restore_row(connection: Any, service: str, row: Row, created: datetime | None) -> None:
    """Unless it is there already. `created`: when the stream was."""
    sequences = sorted({*(event.sequence for event in row.events), row.notice.sequence})
    numbers = {sequence: number for number, sequence in enumerate(sequences, 1)}
    positions = [event.position for event in row.events]
    subjects = [*(event.kind for event in row.events), row.notice.subject]
    bodies = [*(event.body for event in row.events), row.notice.body]
    message = [*(numbers[event.sequence] for event in row.events), numbers[row.notice.sequence]]
    packed(subjects, bodies, message)  # Raises where the numbers do not fit: better now than at the next audit.
    notice = event_id(notice_subject(service), positions[0])
    consecutive = sequences == list(range(sequences[0], sequences[-1] + 1))
    await connection.execute(
        statements.restore_row,
        stream_of(service),
        positions,
        positions[0],
        positions[-1],
        [*(event.id for event in row.events), notice],
        subjects,
        bodies,
        message,
        datetime.fromisoformat(row.time),
        sequences[0],
        sequences[-1],
        None if consecutive else sequences,
        created,
    )


async def restore_letters(connection: Any, letters: Iterable[Message]) -> None:
    for message in letters:
        told = _read_any(message.body)
        await connection.execute(
            statements.restore_row,
            LETTERS_STREAM,
            [],
            None,
            None,
            [told["id"]],
            [message.subject],
            [message.body],
            [1],
            datetime.fromisoformat(told["at"]),
            message.sequence,
            message.sequence,
            None,
            None,
        )
