"""Rehearse, run and prove frozen replays, one after the other.

A replay belongs to whichever process holds its lease. One that dies is taken over within seconds; what it had booked
and not noted is found to be there already, so going on is always safe. One that ends lets go, and the next goes on.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence

import structlog
from tieout.contracts.control import Agreement, AgreementRequest, Difference
from tieout.control.colleagues import Colleagues
from tieout.control.proof import Prover
from tieout.control.replay.playing import LEASE_SECONDS, Held, Playing
from tieout.servicekit import Database, sql

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0  # For replays that another process left behind, or that were steered there.
AGAIN_SECONDS = 1.0
LET_GO_SECONDS = 2.0
PROVE_SECONDS = 60.0  # What the replay set going has so long to arrive.
PROOF_WAIT_SECONDS = 2.0
STEPS_MAX = 4  # From an order to the money that settles it: so often one event may lead to the next.
DIFFERENCES_MAX = 100_000
FINAL = ("differs", "dead")


class Runner:
    def __init__(self, colleagues: Colleagues, prover: Prover) -> None:
        self._colleagues = colleagues
        self._prover = prover
        self.asked = asyncio.Event()  # Somebody has just started something.

    async def run(self, database: Database) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.asked.wait()
            self.asked.clear()
            try:
                while await self.once(database):
                    pass
            except Exception:
                log.exception("replay failed; it is taken up again")
                await asyncio.sleep(AGAIN_SECONDS)

    async def once(self, database: Database) -> bool:
        """Take up the oldest replay that nobody works on. False where there is none."""
        async with database.read() as connection:
            row = await connection.fetchrow(statements.claim, LEASE_SECONDS)
        if row is None:
            return False
        playing = Playing(row, database, self._colleagues)
        keeping = asyncio.create_task(playing.keep_lease())
        with contextlib.suppress(Held):
            try:
                if row["abandoned"]:
                    await playing.taken_over(row["done"], row["items"])
                if row["state"] == "rehearsing":
                    await playing.play_all()
                    await playing.rehearsed()
                else:
                    if row["state"] == "running":
                        await playing.play_all()
                        await playing.proving()
                    await self._prove(playing, database)
            except Held:
                raise
            except BaseException:  # Also where this process stops.
                with contextlib.suppress(Exception):  # The database is away; then the lease ends by itself.
                    async with asyncio.timeout(LET_GO_SECONDS):
                        await playing.let_go()
                raise
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
        return True

    async def _prove(self, playing: Playing, database: Database) -> None:
        """The agreement again, for the touched orders.

        What the replay set going leads to more: each round closes what had been announced by the end of the one
        before. Elsewhere orders go on coming, so the books as a whole need not be at rest.
        """
        end = time.monotonic() + PROVE_SECONDS
        request = AgreementRequest(wait_seconds=PROOF_WAIT_SECONDS, violations=False, limit=DIFFERENCES_MAX)
        goals: dict[str, int] | None = None
        rounds = 0
        while True:
            answer = await self._prover.prove(request, database)
            wrong = await playing.touched(answer.differences)
            if answer.verdict == "agree" or any(one.cause in FINAL for one in wrong) or time.monotonic() > end:
                break
            if not answer.unanswered and (goals is None or _reached(answer, goals)):
                goals = {mark.producer: mark.last_position for mark in answer.watermarks}
                rounds += 1
                if rounds > STEPS_MAX:
                    break
            await playing.still_mine()
            await asyncio.sleep(0.1)
        known = answer.verdict == "agree" or rounds > STEPS_MAX
        await playing.concluded("" if known and not wrong else _why_not(answer, wrong), wrong)


def _reached(answer: Agreement, goals: dict[str, int]) -> bool:
    return all(measure.watermark >= goals.get(measure.producer, 0) for measure in answer.measures)


def _why_not(answer: Agreement, wrong: Sequence[Difference]) -> str:
    if wrong:
        orders = _listed({one.order_no or one.chain_id for one in wrong})
        return f"the books differ on {len({one.chain_id for one in wrong})} of the documents: {orders}"
    if answer.unanswered:
        return f"{', '.join(answer.unanswered)} did not answer"
    return f"what it set going has not arrived everywhere within {PROVE_SECONDS:.0f} s"


def _listed(names: Iterable[str], most: int = 5) -> str:
    some = sorted(names)
    return ", ".join(some[:most]) + (" …" if len(some) > most else "")
