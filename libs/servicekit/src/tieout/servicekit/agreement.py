"""A service's side of the proof: marks, digests, rows, sequences, violations. contracts/agreement.py has the shapes.

Digests and their triggers live in kit/0003_pre_digests.sql, the log of settings in kit/0004_pre_settings.sql; here are
the questions about them.
"""

import asyncio
import itertools
import sys
import time
from array import array
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
import structlog
from msgspec import structs
from tieout.contracts.agreement import (
    BEFORE_ALL,
    DIGEST_VERSION,
    LEAF_BITS,
    LEAVES_PER_QUESTION,
    MEASURES,
    BookUpto,
    CurrencySum,
    CurrencySums,
    Digest,
    DigestEntry,
    DigestRequest,
    MarkAnswer,
    MarkRequest,
    Positions,
    PositionsRequest,
    Row,
    Rows,
    RowsRequest,
    Sequences,
    SequencesRequest,
    SettingsChange,
    SettingsChanges,
    SettingsChangesRequest,
    SumsRequest,
    TotalsRequest,
    Touch,
    Violation,
    Violations,
    ViolationsRequest,
    Waiting,
)
from tieout.contracts.operation import Nothing
from tieout.contracts.streams import stream_of
from tieout.servicekit import sql
from tieout.servicekit.books import Book, Sums, totals, whole
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Cause, Misconfigured, Refused, cause_of

statements = sql.load(__file__)

KNOWN_ANSWER = -2186038058745988139  # On Postgres 18, as on those before it that we know.
PRODUCER = {measure.number: measure.producer for measure in MEASURES}
ROWS_MAX = 20_000
SCRUB_LEAVES = 1_000  # At a time; also the slice of the background scrub.
LEAF_MIN, LEAF_MAX = -(1 << 63) + 1, (1 << 63) - 1  # All that a digest can name.
MARK_TRIES = 5
LONG_SECONDS = 5.0  # A look that took longer rests as long as it took.
CHANGES_MAX = 500
TOLD_MAX = 10  # Findings that are logged one by one.
NOTHING = DigestEntry(-1, 0, 0, 0, "0")
HAND_RULES = (
    "touched_by_hand",
    "triggers_armed",
    "guards_untouched",
    "positions_only_grow",
    "settings_by_hand",
    "migrations_known",
)
log = structlog.get_logger(__name__)


class Evidence:
    """Answers the questions of the proof from the service's own database."""

    def __init__(
        self,
        database: Database,
        violations: sql.Statements | None,
        migrations: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        """`migrations` are those of this release (migrate.checksums); None where nobody knows them."""
        self._database = database
        self._violations = violations
        self._migrations = migrations
        self._books: dict[str, Book] = {}
        self._totals = ""  # The statement that adds up any of them.
        self.found = Violations((), ())  # By the last scrub, the background's or somebody's who asked.
        self._one_scrub = asyncio.Lock()
        self._scrubbed_from = float("-inf")  # When the last whole one began that came to its end.
        self._took = 0.0  # By it, in seconds.
        self._summing: dict[str, asyncio.Task[CurrencySums]] = {}
        self._under_way: set[asyncio.Task[Any]] = set()
        self._marked = 0  # Published messages when the mark was last found closed.

    async def start(self) -> None:
        """Raises Misconfigured where there are no tables yet, and where this Postgres hashes otherwise: then no digest
        could be compared."""
        async with self._database.read() as connection:
            if not await connection.fetchval(statements.is_migrated):
                service = self._database.service
                raise Misconfigured(
                    f"The database was never migrated. Run `python -m tieout.{service} migrate` as its owner, "
                    "then start again."
                )
            answer = await connection.fetchval(statements.known_answer)
            if answer != KNOWN_ANSWER:
                raise Misconfigured(
                    f"hashint8extended answers {answer} instead of {KNOWN_ANSWER} on this Postgres. "
                    "Raise DIGEST_VERSION, and build the digests of all services afresh."
                )
            self._books = {row["book"]: Book(row) for row in await connection.fetch(statements.books)}
        self._totals = totals(list(self._books.values())) if self._books else ""
        self._highest = " UNION ALL ".join(book.highest for book in self._books.values())

    async def stop(self) -> None:
        """What goes on although nobody waits for it."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=1.0)

    def _go_on(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Whoever asked may stop waiting; what was read of a large book so far would be read again otherwise."""
        task = asyncio.create_task(work)
        self._under_way.add(task)

        def ended(task: "asyncio.Task[Any]") -> None:
            self._under_way.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.warning("a look at the books failed", error=repr(error)[:300])

        task.add_done_callback(ended)
        return task

    @property
    def books(self) -> dict[str, Book]:
        return self._books

    def book(self, measure: int, name: str, version: int) -> Book:
        if version != DIGEST_VERSION:
            raise Refused(
                "other_version",
                f"Digests here have version {DIGEST_VERSION}, you ask for {version}. Deploy one version everywhere.",
                field="version",
                status=409,
            )
        book = self._books.get(name)
        if book is None or book.measure != measure:
            raise Refused(
                "not_found", f"This service has no book {name!r} for measure {measure}.", field="book", status=404
            )
        return book

    async def mark(self, request: MarkRequest, database: Database) -> MarkAnswer:
        """How far our positions are closed and published. Asks again briefly, as closing takes two looks."""
        mark = await self._mark(database)
        if request.totals is None:
            return mark
        return structs.replace(mark, digest=await self.totals(request.totals, database))

    async def _mark(self, database: Database) -> MarkAnswer:
        async with database.quick() as connection:
            row = await connection.fetchrow(statements.take_mark)
            for _ in range(MARK_TRIES):
                if row is None or row["closed"]:
                    break
                await asyncio.sleep(0.005)
                row = await connection.fetchrow(statements.take_mark)
            assert row is not None
            held = None if row["closed"] else await connection.fetchrow(statements.held_back)
        mark = MarkAnswer(row["m"], {stream_of(database.service): row["q"]}, row["last_position"])
        if held is None:
            return mark
        return structs.replace(
            mark,
            oldest_writer=held["oldest_writer"] or "",
            unpublished=held["events"],
            unpublished_seconds=round(held["seconds"], 1),
        )

    async def close_positions(self) -> None:
        """Each second under load: closing takes two looks, so whoever asks finds the first one done."""
        published = self._database.outbox.published
        if self._marked == published:
            return
        async with self._database.quick() as connection:
            row = await connection.fetchrow(statements.take_mark)
        if row is not None and row["closed"]:
            self._marked = published

    async def totals(self, request: TotalsRequest, database: Database) -> Digest:
        """Of several books at one moment: a few branches, the begun branch's leaves, the begun leaf's rows."""
        for asked in request.books:
            self.book(asked.measure, asked.book, request.version)
        if not request.books:
            return Digest(())
        async with database.read() as connection:
            rows = await connection.fetch(
                self._totals, [asked.book for asked in request.books], [asked.upto for asked in request.books]
            )
            highest = {row["book"]: row["highest"] for row in await connection.fetch(self._highest)}
        found = {row["book"]: _entry(-1, row) for row in rows}
        return Digest(
            tuple(found.get(asked.book, NOTHING) for asked in request.books),
            tuple(BEFORE_ALL if (top := highest[asked.book]) is None else top for asked in request.books),
        )

    async def digest(self, request: DigestRequest, database: Database) -> Digest:
        book = self.book(request.measure, request.book, request.version)
        if not request.leaves and not request.by_branch:
            asked = BookUpto(request.measure, request.book, request.upto)
            (total,) = (await self.totals(TotalsRequest((asked,)), database)).entries
            return Digest(() if total == NOTHING else (total,))
        level = "leaves" if request.leaves else "branches"
        async with database.read() as connection:
            rows = await connection.fetch(book.levels, request.upto, level, list(request.branches), book.name)
        return Digest(tuple(_entry(row["leaf"], row) for row in rows))

    async def positions(self, request: PositionsRequest, database: Database) -> Positions:
        book = self.book(request.measure, request.book, request.version)
        leaves = list(request.leaves)
        if len(leaves) > LEAVES_PER_QUESTION:
            raise Refused(
                "too_large", f"Ask for at most {LEAVES_PER_QUESTION} leaves at a time.", field="leaves", status=413
            )
        places = {leaf: index << LEAF_BITS for index, leaf in enumerate(leaves)}
        hashes = array("q", bytes(8 * len(leaves) << LEAF_BITS))
        async with database.read() as connection:
            rows = await connection.fetch(book.positions, leaves, request.upto)
        for position, value in rows:
            hashes[places[position >> LEAF_BITS] + (position & ((1 << LEAF_BITS) - 1))] = value or 1
        if sys.byteorder == "big":
            hashes.byteswap()
        return Positions(hashes.tobytes())

    async def sums(self, request: SumsRequest, database: Database) -> CurrencySums:
        """The book's totals per currency. What was summed before is kept, as long as the digest says the same."""
        book = self.book(request.measure, request.book, DIGEST_VERSION)
        if not book.knows_currency:
            return CurrencySums(())
        while (before := self._summing.get(book.name)) is not None:
            await asyncio.wait({before})  # Whatever became of it: what it has read need not be read again.
        task = self._summing[book.name] = self._go_on(self._sum(book, request, database))
        task.add_done_callback(lambda _: self._summing.pop(book.name))
        return await asyncio.shield(task)

    async def _sum(self, book: Book, request: SumsRequest, database: Database) -> CurrencySums:
        async with database.read() as connection:
            rows = await connection.fetch(self._totals, [book.name], [request.upto])
            total = _sums(rows[0]) if rows else (0, 0, 0)
            known, sums = book.summed
            if known > request.upto:
                known, sums = 0, {}
            found = _added(sums, await connection.fetch(book.sums, known, request.upto))
            if known and _total(found) != total:  # Late rows, or somebody's hand.
                found = _added({}, await connection.fetch(book.sums, 0, request.upto))
        if _total(found) == total:
            book.summed = (request.upto, found)
        return CurrencySums(tuple(CurrencySum(currency, *found[currency]) for currency in sorted(found)))

    async def rows(self, request: RowsRequest, database: Database) -> Rows:
        book = self.book(request.measure, request.book, request.version)
        limit = max(1, min(request.limit, ROWS_MAX))
        producer = PRODUCER[request.measure]
        positions = list(request.positions)
        async with database.read() as connection:
            # Parked first: a message that is woken between the two looks is then seen as a row, never as nothing.
            waiting = await connection.fetch(statements.parked_positions, stream_of(producer), positions)
            found = await connection.fetch(book.rows, positions, request.upto, limit + 1, request.after)
            touched = []
            if positions and await connection.fetchval(statements.any_touched, book.table):
                touched = await connection.fetch(book.touched, positions)
        sequences = {}
        if request.sequences and producer == database.service:
            sequences = (await self.sequences(SequencesRequest(request.positions), database)).sequences
        return Rows(
            tuple(
                Row(r["position"], r["line"], r["chain"], r["order_no"], whole(r["a"]), whole(r["b"]), r["currency"])
                for r in found[:limit]
            ),
            tuple(
                Waiting(
                    row["position"],
                    row["durable"],
                    row["key"],
                    row["reason"],
                    row["parked_at"].astimezone(UTC).isoformat().replace("+00:00", "Z"),
                )
                for row in waiting
            ),
            tuple(
                Touch(
                    row["position"],
                    row["line"],
                    row["op"],
                    row["who"],
                    row["at"],
                    row["counts"],
                    row["a"],
                    row["b"],
                    row["settled"],
                )
                for row in touched
            ),
            len(found) > limit,
            sequences,
        )

    async def sequences(self, request: SequencesRequest, database: Database) -> Sequences:
        positions = sorted(request.positions)
        if not positions:
            return Sequences({})
        async with database.read() as connection:
            rows = await connection.fetch(statements.sequences, positions[0], positions[-1], positions)
        known = {row["position"]: row["sequence"] for row in rows}
        return Sequences({position: known.get(position, 0) for position in positions})

    async def violations(self, request: ViolationsRequest, database: Database) -> Violations:
        """A whole look that begins now; what is known already where it takes longer than the asker waits, or where one
        that took long has just ended: who asks again and again must not keep the database busy."""
        if self._took > LONG_SECONDS and time.monotonic() - self._scrubbed_from < 2 * self._took:
            return self.found
        looking = self._go_on(self.scrub(database))
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
                rules, found = await self._look(database)
            except Exception as error:
                if cause_of(error) is not Cause.PASSING:  # Else it is tried again by itself.
                    self.found = structs.replace(self.found, failed=f"{type(error).__name__}: {error}"[:300])
                raise
            self._keep(Violations(tuple(rules), tuple(found), at))
            self._scrubbed_from, self._took = began, time.monotonic() - began
            return self.found

    async def _look(self, database: Database) -> tuple[list[str], list[Violation]]:
        rules = [*HAND_RULES, "settings_are_logged", "digest_is_rows"]
        async with database.read() as connection:
            found = await self._by_hand(connection)
            found.extend(
                Violation(
                    "settings_are_logged",
                    f"{row['tab']} {row['key']}",
                    row["now"],
                    row["logged"],
                    "changed while its triggers were disabled",
                )
                for row in await connection.fetch(statements.settings_unlogged)
            )
            cuts = [row["leaf"] for row in await connection.fetch(statements.scrub_cuts, SCRUB_LEAVES)]
            for below, last in itertools.pairwise((LEAF_MIN - 1, *cuts, LEAF_MAX)):
                wrong = await connection.fetch(statements.scrub, below + 1, last)
                found.extend(
                    Violation("digest_is_rows", f"{row['book']}, leaf {row['leaf']}", row["kept"], row["facts"])
                    for row in wrong
                )
            found.extend(
                Violation("digest_is_rows", f"{row['book']}, branch {row['branch']}", row["kept"], row["leaves"])
                for row in await connection.fetch(statements.scrub_branches)
            )
        found.extend(await self.rules(database))
        rules.extend(rule for rule, _ in self._violations or ())
        return rules, found

    async def rules(self, database: Database) -> list[Violation]:
        """Only the service's own rules."""
        found: list[Violation] = []
        async with database.read() as connection:
            for rule, statement in self._violations or ():
                found.extend(await _broken(connection, rule, statement))
        return found

    async def glance(self, database: Database) -> Violations:
        """Only what costs next to nothing: what triggers and logs say. The rest stays as it was found last."""
        async with database.read() as connection:
            found = await self._by_hand(connection)
        kept = [violation for violation in self.found.violations if violation.rule not in HAND_RULES]
        rules = self.found.rules or HAND_RULES
        self._keep(structs.replace(self.found, rules=rules, violations=(*found, *kept)))
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

    async def settings_changes(self, request: SettingsChangesRequest, database: Database) -> SettingsChanges:
        limit = max(1, min(request.limit, CHANGES_MAX))
        async with database.read() as connection:
            rows = await connection.fetch(
                statements.settings_changes, _moment(request.before), request.table, request.by_hand, limit
            )
            tables = await connection.fetch(statements.settings_tables)
        return SettingsChanges(
            tuple(
                SettingsChange(
                    database.service,
                    row["number"],
                    row["at"].astimezone(UTC).isoformat().replace("+00:00", "Z"),
                    row["tab"],
                    row["op"],
                    row["source"],
                    row["key"],
                    row["before"],
                    row["after"],
                    row["who"],
                    row["actor"],
                )
                for row in rows
            ),
            tuple(row["tab"] for row in tables),
        )

    async def fold(self) -> None:
        """Each second: merge what the triggers appended."""
        async with self._database.read() as connection:
            if await connection.fetchval(statements.deltas_waiting):
                await connection.execute(statements.fold)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise Refused("invalid", f"{text!r} is no time. Write 2026-11-23T08:00:00Z.", field="before") from None


def _sums(row: Any) -> tuple[int, int, int]:
    return row["n"], whole(row["a"]), whole(row["b"])


def _entry(leaf: int, row: Any) -> DigestEntry:
    return DigestEntry(leaf, *_sums(row), row["h"])


def _added(sums: Sums, rows: list[Any]) -> Sums:
    found = dict(sums)
    for row in rows:
        before = found.get(row["currency"], (0, 0, 0))
        n, a, b = _sums(row)
        found[row["currency"]] = (before[0] + n, before[1] + a, before[2] + b)
    return found


def _total(sums: Sums) -> tuple[int, ...]:
    return tuple(sum(column) for column in zip((0, 0, 0), *sums.values(), strict=True))


async def _broken(connection: Any, rule: str, statement: str) -> list[Violation]:
    """What breaks a rule of the service. One that cannot be computed (a hand wrote huge numbers) is broken.

    Rules read whole tables, so a nested loop never pays; statistics of yesterday's short orders would choose one for a
    long order, and read all of it for each of its lines.
    """
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL enable_nestloop = off")
            rows = await connection.fetch(statement)
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
        " ".join(filter(None, (_ALTERED[row["kind"]][0], row["tab"]))),
        row["found"],
        row["recorded"],
        f"{row['names'] or row['tab']}: {_ALTERED[row['kind']][1]}. {counted}See the runbook BooksDiffer",
    )


_ALTERED = {  # What it is, and what no migration did to it.
    "trigger": ("triggers of", "switched off and on, or made anew: rows may have been edited meanwhile unseen"),
    "rule": ("rules of", "made or altered: they may change what is written"),
    "function": ("functions", "replaced: while they were others, edits may have gone unseen"),
    "columns": ("columns of", "altered, and the table was rewritten: its values may be others"),
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
