"""The work of statements, counted instead of timed: the rows that their plans touched.

A flow that reads a long order once for each of its lines touches its lines squared: a hundred million rows for ten
thousand lines, on any machine, however busy. Seconds would tell the same on a quiet one only.

    async with rows_touched(testbed.postgres, database) as touched:
        await desk.give(credit)
    assert touched.above(100 * LINES) == {}

Postgres says it by its own module auto_explain, so what triggers and functions do is counted as well.
"""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from tieout.devstack.postgres import Postgres
from tieout.servicekit.database import Database
from tieout.servicekit.sql import NAMES

_SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_parameter_max_length": "0",  # Arrays of ten thousand lines would fill the log.
    "auto_explain.log_format": "json",
}
_PLAN = re.compile(r"@(?P<database>\w+) LOG:  duration: \S+ ms  plan:\n(?P<json>(?:\t.*\n)+)")
_REMOVED = (
    "Rows Removed by Filter",
    "Rows Removed by Join Filter",
    "Rows Removed by Index Recheck",
    "Rows Removed by Conflict Filter",
)


class Touched:
    """By statement, the most rows that one execution of it touched: what its nodes passed on and what they dropped."""

    def __init__(self) -> None:
        self.most: Counter[str] = Counter()

    def note(self, statement: str, plan: Mapping[str, Any]) -> None:
        name = NAMES.get(statement, " ".join(statement.split())[:120])
        self.most[name] = max(self.most[name], round(rows_of(plan)))

    def above(self, rows: int) -> dict[str, int]:
        return {name: count for name, count in self.most.items() if count > rows}


def rows_of(plan: Mapping[str, Any]) -> float:
    """Postgres tells averages of each loop of a node."""
    each = plan.get("Actual Rows", 0) + sum(plan.get(removed, 0) for removed in _REMOVED)
    own: float = each * plan.get("Actual Loops", 0)
    return own + sum(map(rows_of, plan.get("Plans", ())))


@asynccontextmanager
async def rows_touched(postgres: Postgres, database: Database) -> AsyncIterator[Touched]:
    """Of all that `database` does meanwhile. What it found is in there at the end of the block."""
    touched = Touched()
    async with database.read() as connection:
        name, role = await connection.fetchrow("SELECT current_database(), current_user") or ("", "")
    of_all = f"ALTER ROLE {role} IN DATABASE {name}"
    superuser = await asyncpg.connect(postgres.url())
    began = postgres.log.stat().st_size
    try:
        for setting, value in _SETTINGS.items():
            await superuser.execute(f"{of_all} SET {setting} = '{value}'")
        await database.pool.expire_connections()  # A connection learns of it when it is opened.
        yield touched
    finally:
        await superuser.execute(f"{of_all} RESET ALL")
        await superuser.close()
        await database.pool.expire_connections()
    with postgres.log.open("rb") as log:
        log.seek(began)
        told = log.read().decode(errors="replace")
    for entry in _PLAN.finditer(told):
        if entry["database"] == name:
            explained = json.loads(entry["json"])
            touched.note(explained["Query Text"].removesuffix(";"), explained["Plan"])
    assert touched.most, f"{postgres.log} holds no plan of {name}"
