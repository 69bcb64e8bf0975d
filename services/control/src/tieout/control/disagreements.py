"""Unexplained differences are remembered, and announced once: control.disagreement_found.v1.

A difference that a later proof does not find is marked as gone; should it come again, it is announced again.
"""

from collections.abc import Mapping, Sequence

from tieout.contracts.agreement import MEASURES
from tieout.contracts.control import Difference, DisagreementFound
from tieout.servicekit import Database, sql

statements = sql.load(__file__)

_NAMES = {measure.number: measure.name for measure in MEASURES}
REMEMBERED_MAX = 1_000  # Of one proof; a table that was emptied by hand needs no million events.


async def note(
    differences: Sequence[Difference],
    compared_whole: Sequence[int],
    database: Database,
    names: Mapping[int, str] = _NAMES,
) -> None:
    """Keep what one proof found; `compared_whole` are the measures in which nothing was left out."""
    found = {
        (d.measure, d.position): (d.measure, d.position, d.order_no, d.chain_id, tell(d))
        for d in reversed(differences)
        if d.cause == "differs"
    }
    rows = list(found.values())[:REMEMBERED_MAX]
    if not rows:
        async with database.read() as connection:
            if not await connection.fetchval(statements.standing):
                return
    async with database.transaction() as tx:
        await tx.execute(statements.note_gone, compared_whole, [row[0] for row in rows], [row[1] for row in rows])
        if not rows:
            return
        fresh = await tx.fetch(statements.note_found, *map(list, zip(*rows, strict=True)))
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


def tell(difference: Difference) -> str:
    """order: quantity_micro 5, amount_minor 9; finance: nothing"""
    sides = []
    for side in difference.sides:
        values = [f"{name} {value}" for name, value in zip(difference.values, (side.a, side.b), strict=True) if name]
        sides.append(f"{side.service}: {', '.join(values) if side.present else 'nothing'}")
    return f"line {difference.line_no}: {'; '.join(sides)}"
