"""dead.<service>.<flow> -> dead_letter, ticket

Every message that a flow gave up, with its reason, in one place: for people, for the proof, which must know why a book
has no rows of an event, and for the replay. Letters of one cause share a ticket.
"""

from collections import Counter

from tieout.control import tickets
from tieout.control.domain import letters as domain
from tieout.control.domain.letters import Letter, clean
from tieout.servicekit import Database, Received, Transaction, batch_flow, sql

statements = sql.load(__file__)

TICKETS_PER_FLOW_MAX = 20  # A flow that finds a new cause for each message gets one ticket more, for all the others.


@batch_flow("control-collect-dead", Letter, size=100)
async def collect_dead(batch: list[Received[Letter]], database: Database) -> None:
    came = {received.data.id: received for received in batch}
    async with database.transaction() as tx:
        fresh = await _keep(tx, came)
        known = await _tickets_of(tx, {letter.flow for letter in fresh})
        named = _named(fresh, known)
        numbers = await tickets.open_tickets(tx, domain.openings(named))
        if named:
            places = [(letter.id, numbers[name]) for name, letter in named]
            await tx.execute(statements.note_tickets, *map(list, zip(*places, strict=True)))
    if fresh:
        database.count("control-collect-dead", "collected", len(fresh))


async def _keep(tx: Transaction, came: dict[str, Received[Letter]]) -> list[Letter]:
    """The letters that are new."""
    rows = [
        (
            letter.id,
            letter.at,
            letter.service,
            letter.flow,
            letter.subject,
            clean(letter.reason),
            clean(letter.field),
            clean(letter.detail),
            clean(letter.order_no),
            clean(letter.company),
            letter.chain_id,
            letter.position,
            letter.attempts,
            letter.cause,
            received.body,
        )
        for received in came.values()
        for letter in (received.data,)
    ]
    fresh = await tx.fetch(statements.keep_letters, *map(list, zip(*rows, strict=True)))
    return [came[row["letter_id"]].data for row in fresh]


async def _tickets_of(tx: Transaction, flows: set[str]) -> dict[str, set[str]]:
    """Fingerprints that each flow has tickets of."""
    found: dict[str, set[str]] = {flow: set() for flow in flows}
    if flows:
        for row in await tx.fetch(statements.tickets_of_flows, sorted(flows)):
            found[row["flow"]].add(row["fingerprint"])
    return found


def _named(fresh: list[Letter], known: dict[str, set[str]]) -> list[tuple[str, Letter]]:
    """Each letter with the fingerprint of its ticket."""
    named = []
    room = Counter({flow: TICKETS_PER_FLOW_MAX - len(names) for flow, names in known.items()})
    for letter in fresh:
        name = domain.fingerprint(letter)
        if name not in known[letter.flow]:
            if room[letter.flow] > 0:
                room[letter.flow] -= 1
                known[letter.flow].add(name)
            else:
                name = domain.other(letter.flow)
        named.append((name, letter))
    return named
