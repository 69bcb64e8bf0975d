"""A whole look at a service's books: its own rules, its digests against their rows, what hands touched, the guards.

What the last look found is kept, for whoever asks meanwhile. When one is due without anybody asking is in scrub.py.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import structlog
from msgspec import structs
from tieout.contracts.agreement import Unchecked, Violation, Violations, ViolationsRequest
from tieout.contracts.operation import Nothing
from tieout.servicekit import sql
from tieout.servicekit.agreement import MARK_GONE
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Cause, cause_of
from tieout.servicekit.unawaited import Unawaited

statements = sql.load(__file__)

SCRUB_LEAVES = 1_000  # At a time; also the slice of the background scrub.
LEAF_MIN, LEAF_MAX = -(1 << 63) + 1, (1 << 63) - 1  # All that a digest can name.
LONG_SECONDS = 5.0  # A look that took longer rests as long as it took.
RULE_MEMORY = "32MB"  # Of Postgres for each sort of a rule, twice that for a hash; one rule of a service at a time.
RULE_SECONDS_MAX = 60.0  # Then a rule is given up, and told as not checked.
CLIENT_SECONDS = 3600.0  # The server ends a statement, by its `statement_timeout`; this is for one that is gone.
TOLD_MAX = 10  # Findings that are logged one by one.
_SALT_CHANGED = (
    "another salt than the log's fingerprints are made with, while its triggers were disabled: whether a secret is "
    "what it was is not known until the old one is back, from a backup"
)
HAND_RULES = (
    "touched_by_hand",
    "triggers_armed",
    "guards_untouched",
    "positions_only_grow",
    "settings_by_hand",
    "migrations_known",
)
# Of one check, while the connection goes on: others can be made, and this one is not known to hold.
_GIVEN_UP = (
    TimeoutError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
)
log = structlog.get_logger(__name__)


class Findings:
    """Looks at the books of one service, and remembers what it found."""

    def __init__(
        self,
        rules: Iterable[tuple[str, str]] | None,
        migrations: Mapping[tuple[str, str], str] | None = None,
        rule_seconds: float = RULE_SECONDS_MAX,
    ) -> None:
        """`rules` are the service's own, name and statement. `migrations` are those of this release
        (migrate.checksums); None where nobody knows them. A check that takes longer than `rule_seconds` is given up."""
        self._rules = tuple(rules or ())
        self._rule_seconds = rule_seconds
        self._migrations = migrations
        self.found = Violations((), ())  # By the last scrub, the background's or somebody's who asked.
        self._one_scrub = asyncio.Lock()
        self._scrubbed_from = float("-inf")  # When the last whole one began that came to its end.
        self._took = 0.0  # By it, in seconds.
        self._unawaited = Unawaited()

    async def stop(self) -> None:
        """Of looks that go on although nobody waits for them."""
        await self._unawaited.stop()

    async def violations(self, request: ViolationsRequest, database: Database) -> Violations:
        """A whole look that begins now; what is known already where it takes longer than the asker waits, or where one
        that took long has just ended: who asks again and again must not keep the database busy."""
        if self._took > LONG_SECONDS and time.monotonic() - self._scrubbed_from < 2 * self._took:
            return self.found
        looking = self._unawaited.go_on(self.scrub(database))
        done, _ = await asyncio.wait({looking}, timeout=request.wait_seconds)
        return looking.result() if done else structs.replace(self.found, under_way=True)

    async def scrub(self, database: Database) -> Violations:
        """The service's own rules, what hands have touched, triggers that are not armed, digests unlike their rows.

        Two at once would only take each other's time: whoever comes meanwhile shares the next one.
        """
        asked = time.monotonic()
        async with self._one_scrub:
            if self._scrubbed_from >= asked:
                return self.found
            began, at = time.monotonic(), _now()
            try:
                rules, found, unchecked = await self._look(database)
            except Exception as error:
                if cause_of(error) is not Cause.PASSING:  # Else it is tried again by itself.
                    self.found = structs.replace(self.found, failed=f"{type(error).__name__}: {error}"[:300])
                raise
            self._keep(Violations(tuple(rules), tuple(found), at, unchecked=tuple(unchecked)))
            self._scrubbed_from, self._took = began, time.monotonic() - began
            return self.found

    async def _look(self, database: Database) -> tuple[list[str], list[Violation], list[Unchecked]]:
        """Rules that were checked, what breaks them, and rules that could not be checked."""
        found: list[Violation] = []
        unchecked: list[Unchecked] = []
        async with database.read() as connection:
            async with self._check(connection, unchecked, *HAND_RULES):
                found.extend(await self._by_hand(connection))
            async with self._check(connection, unchecked, "settings_are_logged"):
                found.extend(
                    Violation(
                        "settings_are_logged",
                        f"{row['tab']} {row['key']}",
                        row["now"],
                        row["logged"],
                        _SALT_CHANGED if row["tab"] == "settings_salt" else "changed while its triggers were disabled",
                    )
                    for row in await connection.fetch(statements.settings_unlogged)
                )
            await self._scrub_digests(connection, found, unchecked)
            await self._own_rules(connection, found, unchecked)
        given_up = {one.rule for one in unchecked}
        # What was known of them stands until somebody knows better.
        found.extend(one for one in self.found.violations if one.rule in given_up and one not in found)
        rules = [*HAND_RULES, "settings_are_logged", "digest_is_rows", *(rule for rule, _ in self._rules)]
        return [rule for rule in rules if rule not in given_up], found, unchecked

    async def _scrub_digests(self, connection: Any, found: list[Violation], unchecked: list[Unchecked]) -> None:
        """A slice at a time; none is asked after one that was given up."""
        cuts: list[int] = []
        async with self._check(connection, unchecked, "digest_is_rows"):
            cuts = [row["leaf"] for row in await connection.fetch(statements.scrub_cuts, SCRUB_LEAVES)]
        for below, last in itertools.pairwise((LEAF_MIN - 1, *cuts, LEAF_MAX)):
            if any(one.rule == "digest_is_rows" for one in unchecked):
                return
            async with self._check(connection, unchecked, "digest_is_rows"):
                wrong = await connection.fetch(statements.scrub, below + 1, last)
                found.extend(
                    Violation("digest_is_rows", f"{row['book']}, leaf {row['leaf']}", row["kept"], row["facts"])
                    for row in wrong
                )
        async with self._check(connection, unchecked, "digest_is_rows"):
            found.extend(
                Violation("digest_is_rows", f"{row['book']}, branch {row['branch']}", row["kept"], row["leaves"])
                for row in await connection.fetch(statements.scrub_branches)
            )

    async def _own_rules(self, connection: Any, found: list[Violation], unchecked: list[Unchecked]) -> None:
        for rule, statement in self._rules:
            async with self._check(connection, unchecked, rule):
                found.extend(await _broken(connection, rule, statement))

    @asynccontextmanager
    async def _check(self, connection: Any, unchecked: list[Unchecked], *rules: str) -> AsyncIterator[None]:
        """What takes too long, or waits too long for a lock, is told as not checked; the other rules are checked."""
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL statement_timeout = {max(1, round(self._rule_seconds * 1000))}")
                yield
        except _GIVEN_UP as error:
            if connection.is_closed():
                raise  # No check was given up: the database is away.
            why = " ".join(str(error).split())[:200] or f"it took longer than {self._rule_seconds:g} s"
            log.error("rule not checked", rules=rules, error=why, runbook="BooksDiffer")
            unchecked.extend(Unchecked(rule, why) for rule in rules)

    async def rules(self, database: Database) -> list[Violation]:
        """Only the service's own rules. Raises TimeoutError where one could not be checked."""
        found: list[Violation] = []
        unchecked: list[Unchecked] = []
        async with database.read() as connection:
            await self._own_rules(connection, found, unchecked)
        if unchecked:
            raise TimeoutError(f"not checked: {', '.join(one.rule for one in unchecked)}")
        return found

    async def glance(self, database: Database) -> Violations:
        """Only what costs next to nothing: what triggers and logs say. The rest stays as it was found last."""
        found: list[Violation] = []
        unchecked: list[Unchecked] = []
        async with database.read() as connection, self._check(connection, unchecked, *HAND_RULES):
            found.extend(await self._by_hand(connection))
        kept = [one for one in self.found.violations if unchecked or one.rule not in HAND_RULES]
        unchecked.extend(one for one in self.found.unchecked if one.rule not in HAND_RULES)
        given_up = {one.rule for one in unchecked}
        rules = tuple(rule for rule in dict.fromkeys((*HAND_RULES, *self.found.rules)) if rule not in given_up)
        self._keep(structs.replace(self.found, rules=rules, violations=(*found, *kept), unchecked=tuple(unchecked)))
        return self.found

    async def _by_hand(self, connection: Any) -> list[Violation]:
        found = [_touched(row) for row in await connection.fetch(statements.touched)]
        found.extend(
            Violation("triggers_armed", row["tab"], f"{row['missing']} is missing or disabled", "ENABLE ALWAYS")
            for row in await connection.fetch(statements.unarmed)
        )
        found.extend(_altered(row) for row in await connection.fetch(statements.guards))
        found.extend(
            Violation(
                "guards_untouched",
                f"all, since {row['at']}",
                row["found"],
                row["recorded"],
                "a copy from a dump, whose guards were recorded anew: what it held then was taken for right. "
                "Was it meant: CALL trust_copy('why'). See the runbook BooksDiffer",
            )
            for row in await connection.fetch(statements.copies)
        )
        found.extend(
            Violation(
                "positions_only_grow",
                row["what"],
                str(row["held_at"]),
                str(row["given_out"]),
                "above all that was given out: a sequence was set back, or a hand wrote it. Stop the service first",
            )
            for row in await connection.fetch(statements.set_back)
        )
        if await connection.fetchval(statements.mark_is_gone):
            found.append(Violation("positions_only_grow", "mark", "no row", "one row", MARK_GONE))
        found.extend(
            Violation(
                "settings_by_hand",
                f"{row['tab']} {row['key']}",
                row["now"],
                row["expected"],
                f"{row['op']} by {row['who']} at {row['at']}",
            )
            for row in await connection.fetch(statements.settings_by_hand)
        )
        if self._migrations is not None:
            found.extend(
                Violation(
                    "migrations_known",
                    f"{row['owner']}/{row['name']}",
                    row["checksum"],
                    self._migrations.get((row["owner"], row["name"]), "(no such file)"),
                    f"applied at {row['applied_at']}, and in no file of this release: a newer release, or a hand. "
                    "What was inserted in its name was excused",
                )
                for row in await connection.fetch(statements.migrations)
                if not self._holds(row)
            )
        return found

    def _holds(self, row: Any) -> bool:
        """An older process works on for a while beside the migrations of the release that takes its place."""
        known = self._migrations or {}
        if (row["owner"], row["name"]) in known:
            return bool(known[row["owner"], row["name"]] == row["checksum"])
        newest = max((name for owner, name in known if owner == row["owner"]), default="")
        return bool(row["fresh"]) and newest < row["name"]

    def _keep(self, found: Violations) -> None:
        known = {(violation.rule, violation.key) for violation in self.found.violations}
        fresh = [violation for violation in found.violations if (violation.rule, violation.key) not in known]
        for violation in fresh[:TOLD_MAX]:
            log.error("books differ from their facts", rule=violation.rule, what=violation.key, runbook="BooksDiffer")
        if len(fresh) > TOLD_MAX:
            log.error("books differ from their facts", more=len(fresh) - TOLD_MAX, runbook="BooksDiffer")
        self.found = found

    async def findings(self, request: Nothing, database: Database) -> Violations:
        """What the last scrub found, whoever asked for it. Costs nothing; rules are empty before the first one."""
        return self.found


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


async def _broken(connection: Any, rule: str, statement: str) -> list[Violation]:
    """What breaks a rule of the service. One that cannot be computed (a hand wrote huge numbers) is broken.

    Rules read whole tables, so a nested loop never pays; statistics of yesterday's short orders would choose one for a
    long order, and read all of it for each of its lines. Their hashes get memory of their own: what a service's short
    statements live on would be written to disk and read again.
    """
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '{RULE_MEMORY}'")
            rows = await connection.fetch(statement, timeout=CLIENT_SECONDS)
    except asyncpg.DataError as error:
        return [Violation(rule, "(all)", f"cannot be computed: {error}", "every value within its bounds")]
    return [
        Violation(rule, str(row["key"]), str(row["kept"]), str(row["facts"]), str(row["detail"] or "")) for row in rows
    ]


def _altered(row: Any) -> Violation:
    """A trigger that was switched off and on again leaves nothing else behind: what was done meanwhile is unknown."""
    counted = ""
    if row["edits"] > row["logged"]:
        counted = f"Postgres counts {row['edits']} edited or deleted rows there, the log of edits {row['logged']}. "
    return Violation(
        "guards_untouched",
        _ALTERED[row["kind"]][0] + (f" of {row['tab']}" if row["tab"] else ""),
        row["found"],
        row["recorded"],
        f"{row['names'] or row['tab']}: {_ALTERED[row['kind']][1]}. {counted}See the runbook BooksDiffer",
    )


_ALTERED = {  # What it is, and what no migration did to it.
    "trigger": ("triggers", "switched off and on, or made anew: rows may have been edited meanwhile unseen"),
    "rule": ("rules", "made or altered: they may change what is written"),
    "function": ("functions", "replaced, or granted to others: while they were others, edits may have gone unseen"),
    "columns": ("columns", "altered, and the table was rewritten: its values may be others"),
    "constraint": ("constraints", "dropped, altered or added: it may hold now what it refused, or refuse what it held"),
    "column": ("columns' rules", "may be empty now, may not, or have other defaults"),
    "index": ("indexes", "dropped, broken or altered: twice the same may be in there, or each look reads the table"),
    "rights": ("rights", "granted, taken away, or another owner's: who may change what it holds is not as it was"),
    "policy": ("policies", "made or altered: they may hide rows from the service, or refuse them"),
    "child": ("inheriting tables", "made to inherit: their rows show in every look at it, and nothing refused them"),
    "setting": ("settings of sessions", "set for whole sessions: commits may not wait for the disk, names mean others"),
}


def _touched(row: Any) -> Violation:
    detail = f"{row['op']} by {row['who']} at {row['at']}"
    return Violation(
        "touched_by_hand",
        f"{row['tab']} {row['key']}",
        row["now"] or "(gone)",
        row["before"] or "(was not there)",
        detail,
    )
