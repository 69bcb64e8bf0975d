"""dead.<service>.<flow> -> dead_letter

Every message that a flow gave up, with its reason, in one place: for people, and for the proof, which must know why a
book has no rows of an event.
"""

from tieout.servicekit import Database, Letter, Received, batch_flow, sql

statements = sql.load(__file__)


@batch_flow("control-collect-dead", Letter, size=100)
async def collect_dead(batch: list[Received[Letter]], database: Database) -> None:
    rows = [
        (
            letter.id,
            letter.at,
            letter.service,
            letter.flow,
            letter.subject,
            letter.reason,
            letter.field,
            letter.detail,
            letter.order_no,
            letter.company,
            letter.chain_id,
            letter.position,
            letter.attempts,
            received.body,
        )
        for received in batch
        for letter in (received.data,)
    ]
    async with database.transaction() as tx:
        await tx.execute(statements.keep_letters, *map(list, zip(*rows, strict=True)))
