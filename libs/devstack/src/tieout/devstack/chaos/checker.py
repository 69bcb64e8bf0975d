"""The independent checker: what was sent and what stands in the databases, compared. Pure; no service's code.

`judge` gives one finding for each rule that does not hold. An empty list says: every acknowledged document is accounted
for exactly once, the books hold the same rows, vouchers balance and are numbered without gaps, stock never was below
what its policy allows. While work is under way there are findings that vanish by themselves: ask again.
"""

import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from hashlib import md5

from msgspec import Struct
from tieout.devstack.chaos.books import Books, Row

SHOWN = 5  # Of the keys that break a rule.
_PAPERS = ("receipt", "adjustment", "confirmation", "delivery")
_MONEY = ("payment", "refund")
_FATES = ("command", "refused", "ignored", "waiting", "pending")


class Sent(Struct, frozen=True):
    """A document as its satellite recorded it."""

    satellite: str
    number: str
    body: bytes
    expected: tuple[tuple[str, str], ...]  # (kind, outcome) of each command that it leads to; "quarantined" for none.
    acknowledged: bool
    intake_id: str = ""  # From the gateway's answer; "" where a leaf site's own broker took it.
    again: str = ""  # Likewise, where a restored gateway was told to be sent it again.


class Finding(Struct, frozen=True):
    rule: str
    count: int
    examples: tuple[str, ...]
    lost: int = 0  # Documents that nobody accounts for,
    doubled: int = 0  # and documents that had their effect more than once.

    def __str__(self) -> str:
        more = "" if self.count <= len(self.examples) else " …"
        return f"{self.rule}: {self.count} ({'; '.join(self.examples)}{more})"


class Poison(Struct, frozen=True):
    """A message that nobody can handle, as the harness published it."""

    fingerprints: tuple[str, ...]  # sha256 of each event in it.
    durables: tuple[str, ...]  # Flows that hear it, each of which must give it up.
    kind: str


def judge(
    sent: Iterable[Sent],
    books: Books,
    *,
    poison: Iterable[Poison] = (),
    streams_lost: bool = False,
    sent_again: int = 0,
    patient: tuple[str, ...] = (),
) -> list[Finding]:
    """What does not hold. `sent` may be empty where no gateway took part; then the books alone are compared.

    `streams_lost`: the broker lost messages, and with them what stands in no outbox, such as poison.
    `sent_again`: how often the gateway was restored to an older backup, and sent again what it named.
    `patient`: how reasons begin for which a message may wait for ever, where partners were left out on purpose.
    """
    sent = list(sent)
    found = [
        *_documents(sent, books),
        *_commands(books),
        *_expected(sent, books, sent_again),
        *_orders(books),
        *_stock(books),
        *_ledger(books),
        *_letters(list(poison), books, streams_lost),
        *_leftovers(books, patient),
    ]
    return [one for one in found if one.count]


def broken(rule: str, keys: Iterable[object], *, lost: bool = False, doubled: bool = False) -> Finding:
    listed = [str(key) for key in keys]
    return Finding(rule, len(listed), tuple(listed[:SHOWN]), len(listed) * lost, len(listed) * doubled)


def differing(rule: str, one: Iterable[Row], other: Iterable[Row]) -> Finding:
    """Two books that must hold the same rows, each as often."""
    left, right = Counter(one), Counter(other)
    keys = [f"only here {row}" for row in (left - right).elements()]
    return broken(rule, keys + [f"only there {row}" for row in (right - left).elements()])


# ---------------------------------------------------------------------------------------------- documents and commands


def _documents(sent: list[Sent], books: Books) -> Iterator[Finding]:
    """Each acknowledged document lies in the gateway as it was sent, and has exactly one fate."""
    raw = books.of("gateway", "raw")
    by_id = {row[0]: row for row in raw}
    kept = Counter((row[1], row[2]) for row in raw)
    lost, altered = [], []
    asked: Counter[tuple[str, str]] = Counter()
    for one in sent:
        digest = md5(one.body, usedforsecurity=False).hexdigest()
        if not one.acknowledged:
            continue
        asked[one.satellite, digest] += 1
        if one.intake_id:
            row = by_id.get(one.intake_id) or by_id.get(one.again)
            if row is None:
                lost.append(f"{one.satellite} {one.number} {one.intake_id}")
            elif row[2] != digest:
                altered.append(f"{one.satellite} {one.number}")
        elif not kept[one.satellite, digest]:
            lost.append(f"{one.satellite} {one.number}")
    yield broken("acknowledged but not kept", lost, lost=True)
    yield broken("kept otherwise than sent", altered, lost=True)
    answered = {one.satellite for one in sent if one.intake_id}
    twice = [key for key, number in kept.items() if key[0] in answered and 0 < asked[key] < number]
    yield broken("one delivery kept more than once", twice, doubled=True)
    fates: dict[str, set[str]] = defaultdict(set)
    for fate in _FATES:
        for row in books.of("gateway", fate):
            fates[document_of(row[1] if fate == "command" else row[0])].add(fate)
    yield broken("documents without a fate", [key for key in by_id if not fates[key]], lost=True)
    yield broken("documents with two fates", [key for key in by_id if len(fates[key]) > 1], doubled=True)
    yield broken("documents not mapped yet", [key for key in by_id if fates[key] & {"pending", "waiting"}])


def document_of(command_id: str) -> str:
    """The lowest four bits of a command's id count the commands of its document."""
    return command_id[:-1] + "0"


def _commands(books: Books) -> Iterator[Finding]:
    """Each command has exactly one outcome with its owner, or lies in a dead letter or among those that wait."""
    commands = books.of("gateway", "command")
    if not commands:
        return
    outcomes: Counter[str] = Counter()
    for owner, column in (("order", 1), ("inventory", 0), ("finance", 0)):
        outcomes.update(row[column] for row in books.of(owner, "submission"))
    waiting = {owner: len(books.of(owner, "parked")) for owner in ("order", "inventory", "finance")}
    missing = [row for row in commands if not outcomes[row[1]]]
    excused = sum(waiting.values())  # A parked command has no outcome yet; its row names the event, not the command.
    if len(missing) > excused:
        yield broken("commands without an outcome", [f"{row[2]} {row[5]}" for row in missing], lost=True)
    yield broken("commands with two outcomes", [key for key, n in outcomes.items() if n > 1], doubled=True)
    known = {row[1] for row in commands}
    yield broken("outcomes without a command", [key for key in outcomes if key not in known])
    for owner in ("order", "inventory", "finance"):
        accepted: Counter[tuple[str, ...]] = Counter()
        for row in books.of(owner, "submission"):
            kind, source, company, number, outcome = row[-5:]
            accepted[kind, source, company, number] += outcome == "accepted"
        yield broken(f"{owner}: a number accepted twice", [key for key, n in accepted.items() if n > 1], doubled=True)


def _expected(sent: list[Sent], books: Books, sent_again: int) -> Iterator[Finding]:
    """As many outcomes of each kind as the plan of the day says, whatever broke meanwhile."""
    if not sent or not all(one.acknowledged for one in sent):
        return
    wanted: Counter[tuple[str, str, str]] = Counter()
    planned = {one.satellite for one in sent if one.expected}
    for one in sent:
        for kind, outcome in one.expected:
            wanted[one.satellite, "document" if outcome == "quarantined" else kind, outcome] += 1
    told: Counter[tuple[str, str, str]] = Counter()
    for owner in ("order", "inventory", "finance"):
        for row in books.of(owner, "submission"):
            told[row[-4], row[-5], row[-1]] += 1
    satellites = {row[0]: row[1] for row in books.of("gateway", "raw")}
    for row in books.of("gateway", "refused"):
        told[satellites.get(row[0], ""), "document", "quarantined"] += 1
    leaf = {one.satellite for one in sent if not one.intake_id}
    off = [
        f"{key}: {wanted[key]} sent, {told[key]} found"
        for key in sorted({*wanted, *told})
        if key[0] in planned and not wanted[key] <= told[key] <= _most(key, wanted, key[0] in leaf, sent_again)
    ]
    yield broken("outcomes other than planned", off)


def _most(key: tuple[str, str, str], wanted: Counter[tuple[str, str, str]], leaf: bool, sent_again: int) -> float:
    """What comes once more is told once more, but never has an effect once more, nor a second refusal."""
    satellite, kind, outcome = key
    if outcome in ("accepted", "quarantined"):
        return wanted[key]
    if leaf:  # A lost stream copies again from the site.
        return math.inf
    if outcome == "duplicate":
        return wanted[key] + sent_again * sum(n for one, n in wanted.items() if one[:2] == (satellite, kind))
    return wanted[key] * (1 + sent_again)


# ------------------------------------------------------------------------------------------------ the books


def _orders(books: Books) -> Iterator[Finding]:
    """Order, inventory and finance hold the same rows of the same events."""
    header = books.of("order", "header")
    yield differing(
        "orders placed / known to inventory", [(r[0], r[1]) for r in header], books.of("inventory", "placed")
    )
    yield differing(
        "orders placed / known to finance", [(r[1], r[5], r[6]) for r in header], books.of("finance", "known")
    )
    lines = books.of("order", "line")
    yield differing("order lines / demand", [(r[0], r[1], *r[3:]) for r in lines], books.of("inventory", "demand"))
    shipped = books.of("order", "shipped")
    moves = [r for r in books.of("inventory", "move") if r[2] in ("issue", "service", "delivery")]
    yield differing(
        "shipped / noted by order",
        [(r[0], r[1], r[9], r[7], r[8]) for r in moves],
        [(r[0], r[1], r[2], r[3], r[4]) for r in shipped],
    )
    posted = books.of("finance", "posted")
    billed = [r for r in posted if r[2] in ("shipped", "service", "delivered")]
    yield differing(
        "shipped lines of order / billed lines",
        [(r[0], r[1], r[4] - r[3], r[5], r[6]) for r in shipped],
        [(r[0], r[1], -r[3], r[5], r[6]) for r in billed],
    )
    yield differing(
        "moves / stock postings",
        [(r[0], r[1], r[5], r[6]) for r in books.of("inventory", "move") if r[2] not in ("service", "delivery")],
        [(r[0], r[1], r[3], r[4]) for r in posted if r[2] not in ("service", "delivered")],
    )
    yield broken("shipments billed twice", [r[0] for r in books.of("finance", "shipment") if r[1] > 1], doubled=True)
    yield differing("stops / noted by order", books.of("inventory", "stop"), books.of("order", "stop"))
    yield differing(
        "credits / credited", [tuple(r[:4]) for r in books.of("order", "credit")], books.of("finance", "credit")
    )
    restocked = Counter({(r[0], r[1]): r[2] for r in books.of("inventory", "taken_back")})
    yield differing(
        "credits / taken back",
        [(r[0], r[1], r[5]) for r in books.of("order", "credit") if r[4]],
        [(*key, number) for key, number in restocked.items()],
    )
    yield differing("settled / noted by order", books.of("finance", "settlement"), books.of("order", "settlement"))
    yield from _lines(books, lines, shipped)


def _lines(books: Books, lines: list[Row], shipped: list[Row]) -> Iterator[Finding]:
    """Of each order line: ordered = left + stopped + still promised, and no part of it left twice."""
    rest: Counter[tuple[int, int]] = Counter()
    for position, line_no, _, quantity, *_ in lines:
        rest[position, line_no] += quantity
    parts: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for _, line_no, order, start, end, _, _, leaves, _ in shipped:
        if leaves:
            rest[order, line_no] -= end - start
            parts[order, line_no].append((start, end))
    for _, line_no, order, quantity, on_its_way in books.of("inventory", "stop"):
        rest[order, line_no] -= quantity - on_its_way  # What was stopped on its way has left, and come back.
    for order, line_no, reserved, back in books.of("inventory", "open"):
        rest[order, line_no] -= reserved + back
    yield broken("order lines with a remainder", [f"{key} {left}" for key, left in rest.items() if left], doubled=False)
    overlapping = [key for key, some in parts.items() if any(a[1] > b[0] for a, b in _neighbours(sorted(some)))]
    yield broken("parts of a line that left twice", overlapping, doubled=True)


def _neighbours(some: list[tuple[int, int]]) -> Iterable[tuple[tuple[int, int], tuple[int, int]]]:
    return itertools.pairwise(some)


def _stock(books: Books) -> Iterator[Finding]:
    """Kept balances are the sums of their facts, and no policy was broken at any moment."""
    moves: dict[int, list[Row]] = defaultdict(list)
    for row in books.of("inventory", "move"):
        if row[3] is not None:
            moves[row[3]].append(row)
    promised = {row[0]: (row[1], row[2]) for row in books.of("inventory", "promised")}
    gone = Counter({row[0]: row[1] for row in books.of("inventory", "late")})
    wrong, below, short = [], [], []
    for stock, company, warehouse, sku, policy, on_hand, reserved, back, value in books.of("inventory", "stock"):
        name = f"{company} {warehouse} {sku}"
        mine = moves.get(stock, [])
        sums = (sum(r[5] for r in mine), sum(r[6] for r in mine), *promised.get(stock, (0, 0)))
        if sums != (on_hand, value, reserved, back):
            wrong.append(f"{name}: kept {(on_hand, value, reserved, back)}, facts {sums}")
        if policy == "allow_negative":
            continue
        running = 0
        for row in mine:
            running += row[5]
            if running < -gone[stock]:
                below.append(f"{name} {running} at {row[0]}")
                break
        if max(on_hand, 0) < reserved:
            short.append(f"{name}: {on_hand} on hand, {reserved} promised")
    yield broken("stock balances other than their moves", wrong)
    yield broken("stock below its policy", below)
    yield broken("more promised than there is", short)


def _ledger(books: Books) -> Iterator[Finding]:
    """Vouchers are complete, balanced and numbered without gaps."""
    lines: Counter[int] = Counter()
    wanted: dict[int, int] = {}
    functional: Counter[int] = Counter()
    unbalanced = []
    for position, number, line_count, off, off_functional in books.of("finance", "balance"):
        lines[position] += number
        wanted[position] = line_count
        functional[position] += off_functional
        if off:
            unbalanced.append(f"{position}: {off}")
    unbalanced += [f"{position}: {off} functional" for position, off in functional.items() if off]
    yield broken("vouchers that do not balance", unbalanced)
    yield broken("vouchers without all their lines", [p for p, n in wanted.items() if lines[p] != n])
    yield broken("voucher lines that nobody posted", [row[0] for row in books.of("finance", "stray")])
    gaps = [
        f"{row[1]}-{row[2]} of {row[0]}: {row[3]} to {row[4]}, {row[5]} vouchers, counter {row[7]}"
        for row in books.of("finance", "numbers")
        if row[3] != 1 or row[4] != row[5] or row[5] != row[6] or row[7] != row[4]
    ]
    yield broken("voucher numbers with gaps", gaps)
    goods = sum(row[0] or 0 for row in books.of("finance", "goods"))
    gained = sum(row[4] for row in books.of("finance", "posted") if row[2] not in ("service", "delivered"))
    if goods != gained:
        yield broken("stock account other than stock postings", [f"{goods} on the account, {gained} posted"])


def _letters(poison: list[Poison], books: Books, streams_lost: bool) -> Iterator[Finding]:
    """Poison is given up by each flow that heard it, and nothing else is; control knows every letter."""
    known = {row[0] for row in books.of("control", "dead")}
    planted = {fingerprint for one in poison for fingerprint in one.fingerprints}
    given_up: set[tuple[str, str]] = set()
    innocent, untold = [], []
    contents: dict[str, set[str]] = defaultdict(set)
    for service in books.rows:
        for _, body in books.of(service, "letters"):
            letter = json.loads(body)
            given_up.add((letter["flow"], letter["fingerprint"]))
            contents[letter["id"]].add(letter["fingerprint"])
            if letter["fingerprint"] not in planted:
                innocent.append(f"{letter['flow']} {letter['reason']} {letter.get('detail', '')[:120]}")
            if "control" in books.rows and letter["id"] not in known:
                untold.append(f"{letter['flow']} {letter['reason']}")
    yield broken("given up though nothing was wrong with it", innocent, lost=True)
    yield broken("dead letters that control does not know", untold)
    yield broken("several dead letters under one id", [key for key, some in contents.items() if len(some) > 1])
    if not streams_lost:
        missing = [
            f"{durable}: {one.kind}"
            for one in poison
            for fingerprint in one.fingerprints
            for durable in one.durables
            if (durable, fingerprint) not in given_up
        ]
        yield broken("poison that nobody gave up", missing)


def _leftovers(books: Books, patient: tuple[str, ...]) -> Iterator[Finding]:
    """Nothing is announced and not published, given up, or edited by hand."""
    for service in books.rows:
        unsent = sum(row[0] for row in books.of(service, "unsent"))
        if unsent:
            yield Finding(f"{service}: events not published", unsent, ())
        yield broken(f"{service}: rows touched by hand", books.of(service, "tamper"))
        stuck = [row for row in books.of(service, "parked") if not row[2].startswith(patient)]
        yield broken(f"{service}: messages that still wait", stuck)
