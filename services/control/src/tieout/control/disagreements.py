"""Unexplained differences are remembered, and announced once: control.disagreement_found.v1.

A difference that a later proof does not find is marked as gone; should it come again, it is announced again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tieout.contracts.agreement import MEASURES
from tieout.contracts.control import Cause, Difference, DisagreementFound
from tieout.control.tickets import Affected, Opening, open_tickets, settle_ticket
from tieout.servicekit import Database, sql

statements = sql.load(__file__)

_NAMES = {measure.number: measure.name for measure in MEASURES}
EXCUSED: frozenset[Cause] = frozenset(
    {"in_flight", "stalled", "parked", "waiting_approval", "goods_in_return", "period_deferred", "dead"}
)  # Known to somebody else already: to the flow, to the partner document, to the dead letter's ticket.
TITLES = {
    "lost_by_broker": ("the broker lost events that had been published", "消息服务器丢失了已发布的事件"),
    "missing_at_source": ("books hold what their source does not", "账簿中有来源没有的事实"),
    "edited_by_hand": ("somebody edited a book by hand", "有人手工修改了账簿"),
    "duplicate": ("a fact is booked twice", "同一事实重复入账"),
    "unknown": ("the books differ and nothing explains it", "账簿不一致,原因不明"),
}
_TITLES_ZH = {measure.number: measure.title_zh for measure in MEASURES}
REMEMBERED_MAX = 1_000  # Of one proof; a table that was emptied by hand needs no million events.


async def note(
    differences: Sequence[Difference],
    compared_whole: Mapping[int, int],
    database: Database,
    names: Mapping[int, str] = _NAMES,
) -> None:
    """Keep what one proof found; `compared_whole`: in which measures nothing was left out, and up to which position."""
    found = {
        (d.measure, d.position): (d.measure, d.position, d.order_no, d.chain_id, tell(d), d.cause, d.why, d.repair)
        for d in reversed(differences)
        if d.cause not in EXCUSED
    }
    rows = list(found.values())[:REMEMBERED_MAX]
    if not rows:
        async with database.read() as connection:
            if not await connection.fetchval(statements.standing):
                return
    async with database.transaction() as tx:
        gone = await tx.fetch(
            statements.note_gone,
            list(compared_whole),
            list(compared_whole.values()),
            [row[0] for row in rows],
            [row[1] for row in rows],
        )
        for measure, cause in sorted({(row["measure"], row["cause"]) for row in gone}):
            if not await tx.fetchval(statements.stands, measure, cause):
                await settle_ticket(tx, _fingerprint(names, measure, cause), "a later proof no longer finds it")
        if not rows:
            return
        fresh = await tx.fetch(statements.note_found, *map(list, zip(*rows, strict=True)))
        await open_tickets(tx, _openings(fresh, names))
        positions = await tx.positions(len(fresh))
        for row, position in zip(fresh, positions, strict=True):
            name = names.get(row["measure"], str(row["measure"]))
            tx.announce(
                DisagreementFound(
                    measure=name,
                    position=row["position"],
                    chain_id=row["chain_id"],
                    order_no=row["order_no"],
                    detail=row["detail"],
                ),
                position=position,
                key=(name, row["position"], row["times"]),
                chain=row["chain_id"],
                order_no=row["order_no"],
            )


def _fingerprint(names: Mapping[int, str], measure: int, cause: str) -> str:
    kind = "broker_loss" if cause == "lost_by_broker" else "disagreement"
    return f"{kind}:{names.get(measure, measure)}:{cause}"


def _openings(fresh: Sequence[Any], names: Mapping[int, str]) -> list[Opening]:
    """One ticket per measure and cause, however many events."""
    groups: dict[tuple[int, str], list[Any]] = {}
    for row in fresh:
        groups.setdefault((row["measure"], row["cause"]), []).append(row)
    openings = []
    for (measure, cause), rows in sorted(groups.items()):
        name = names.get(measure, str(measure))
        english, chinese = TITLES.get(cause, TITLES["unknown"])
        openings.append(
            Opening(
                kind="broker_loss" if cause == "lost_by_broker" else "disagreement",
                fingerprint=_fingerprint(names, measure, cause),
                title_en=f"{name}: {english}",
                title_zh=f"{_TITLES_ZH.get(measure, name)}:{chinese}",
                service="control",
                reason=cause,
                detail=f"{rows[0]['order_no']}, {rows[0]['detail']}; {rows[0]['why']}",
                runbook="BooksDiffer",
                count=len(rows),
                orders=[Affected("", number) for number in sorted({row["order_no"] for row in rows} - {""})],
            )
        )
    return openings


def tell(difference: Difference) -> str:
    """order: quantity_micro 5, amount_minor 9; finance: nothing"""
    sides = []
    for side in difference.sides:
        values = [f"{name} {value}" for name, value in zip(difference.values, (side.a, side.b), strict=True) if name]
        sides.append(f"{side.service}: {', '.join(values) if side.present else 'nothing'}")
    return f"line {difference.line_no}: {'; '.join(sides)}"
