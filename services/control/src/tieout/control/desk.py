"""The desk: looks every few seconds for what opens and settles tickets by itself, and at their clocks.

A flow that stopped because its code is wrong has one ticket until it has handled something again. A message that waits
too long for its partner document has one per service. A mute that ends, and a deadline that passes, are told once.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog
from tieout.contracts.operation import UNREADABLE_EVENTS, UNSEEN_SECONDS_MAX, Health
from tieout.contracts.streams import CORE_SERVICES
from tieout.control import tickets
from tieout.control.calm import rest
from tieout.control.colleagues import Colleagues
from tieout.control.domain.letters import FLOWS
from tieout.control.domain.opening import Opening
from tieout.servicekit import Database, Transaction, sql
from tieout.servicekit.errors import Cause, cause_of

statements = sql.load(__file__)
log = structlog.get_logger(__name__)


class Desk:
    def __init__(self, colleagues: Colleagues, seconds: float, parked_hours_max: float) -> None:
        self._colleagues = colleagues
        self._seconds = seconds
        self._parked_hours_max = parked_hours_max
        self._replicas: Mapping[str, float] = {}
        self._parked_oldest: dict[str, float] = {}
        self._tickets: dict[str, float] = {}
        self._overdue: dict[str, float] = {}

    def readings(self) -> dict[str, Callable[[], Mapping[str, float]]]:
        """What it saw last, as metrics."""
        return {
            "tieout.service.replicas": lambda: self._replicas,
            "tieout.parked.oldest": lambda: self._parked_oldest,
            "tieout.tickets": lambda: self._tickets,
            "tieout.tickets.overdue": lambda: self._overdue,
        }

    async def run(self, database: Database) -> None:
        """Until cancelled. What fails is logged and tried again at the next turn."""
        if self._seconds <= 0:
            await asyncio.Event().wait()
        database.readings |= self.readings()
        while True:
            await rest(database, self._seconds, calm=True)  # A flow that stops has handled something before.
            try:
                await self.once(database)
            except Exception as error:
                if cause_of(error) is Cause.CODE:
                    log.exception("the desk failed")
                else:
                    log.warning("the desk waits", error=repr(error)[:300])

    async def once(self, database: Database) -> None:
        answers = await asyncio.gather(*(self._colleagues.health(service) for service in CORE_SERVICES))
        told = [health for instances in answers for health in instances]
        self._replicas = dict.fromkeys(CORE_SERVICES, 0) | {one.service: _running(one) for one in told}
        self._parked_oldest = {one.service: one.parked_oldest_seconds for one in told}
        await self.look(database, told)

    async def look(self, database: Database, told: Iterable[Health]) -> None:
        """What the services say of themselves. Who does not answer leaves his tickets as they are."""
        async with database.read() as connection:
            standing = {row["fingerprint"] for row in await connection.fetch(statements.standing)}
        openings: list[Opening] = []
        settled: dict[str, str] = {}
        told = list(told)
        given_up: dict[str, set[str]] = {health.service: set() for health in told if health.scrubbed_at}
        for health in told:
            if health.unchecked:
                given_up.setdefault(health.service, set()).update(health.unchecked)
        for service, rules in given_up.items():  # By any of its processes, each of which looks by itself.
            if rules:
                openings.append(_unchecked(service, rules))
            else:
                settled[f"finding:unchecked:{service}"] = "All of its rules are checked again."
        for health in told:
            stopped = dict(health.stopped)
            for replica in health.replicas:
                if replica.unseen_seconds < UNSEEN_SECONDS_MAX:
                    stopped |= replica.stopped
            for durable, where in stopped.items():
                openings.append(_stopped(health.service, durable, where))
            for durable, numbers in health.flows.items():
                # A process that has just started has not stopped yet, and proves nothing.
                if durable not in stopped and numbers.get("done", 0) > 0:
                    settled[f"flow_stopped:{durable}"] = "The flow handles messages again."
            late = _late(health.service)
            if health.parked_oldest_seconds > self._parked_hours_max * 3600:
                openings.append(_parked(health, late))
            else:
                settled[late] = "Nothing waits too long any more."
        await self._write(
            database,
            [opening for opening in openings if opening.fingerprint not in standing],
            {fingerprint: why for fingerprint, why in settled.items() if fingerprint in standing},
        )

    async def _write(self, database: Database, openings: list[Opening], settled: dict[str, str]) -> None:
        async with database.read() as connection:
            standing = await connection.fetch(statements.clocks)
        self._tickets = {str(row["priority"]): row["standing"] for row in standing}
        self._overdue = {str(row["priority"]): row["overdue"] for row in standing}
        if not openings and not settled and not any(row["over"] for row in standing):
            return
        async with database.transaction() as tx:
            for opening in openings:
                if await tickets.open_once(tx, opening):
                    log.error("ticket opened", kind=opening.kind, flow=opening.flow, title=opening.title_en)
            for fingerprint, why in sorted(settled.items()):
                await tickets.settle_ticket(tx, fingerprint, why)
            for row in await tx.fetch(statements.unmuted):
                await _tell(tx, row["number"], "unmuted", "reopened" if row["struck"] else "")
            for row in await tx.fetch(statements.overdue):
                await _tell(tx, row["number"], "overdue", "overdue", f"It is priority {row['priority']} now.")


async def _tell(tx: Transaction, number: int, what: str, notification: str, note: str = "") -> None:
    await tx.execute(tickets.statements.note_history, [number], [what], [tickets.SELF], [note])
    if notification:
        await tx.execute(tickets.statements.tell, [number], [notification], [note])


def _stopped(service: str, durable: str, where: str) -> Opening:
    english, chinese = FLOWS.get(durable, (durable, durable))
    if where.startswith(UNREADABLE_EVENTS):
        return Opening(
            kind="flow_stopped",
            fingerprint=f"flow_stopped:{durable}",
            title_en=f"{english} has stopped: most events cannot be read",
            title_zh=f"{chinese}已停止：多数事件无法读取",
            service=service,
            flow=durable,
            detail=f"{where}. Nothing is lost: they wait in the stream. Deploy a version that reads them, or give "
            f"them up: tieout give-up {durable} --reason …",
        )
    return Opening(
        kind="flow_stopped",
        fingerprint=f"flow_stopped:{durable}",
        title_en=f"{english} has stopped: most messages fail, so its code is wrong",
        title_zh=f"{chinese}已停止：多数消息处理失败，程序有误",
        service=service,
        flow=durable,
        detail=f"{where}. Nothing is lost: the messages wait in the stream, and one is tried every ten seconds.",
    )


def _unchecked(service: str, rules: Iterable[str]) -> Opening:
    return Opening(
        kind="finding",
        fingerprint=f"finding:unchecked:{service}",
        title_en=f"Rules of {service} are not checked: nobody knows whether its balances are their facts",
        title_zh=f"{service} 的规则未能检查：余额与事实是否一致尚不可知",
        service=service,
        priority=2,
        reason="unchecked",
        detail=f"Given up: {', '.join(sorted(rules))}. The check took too long, or waited for a lock.",
        runbook="BooksDiffer",
    )


def _running(health: Health) -> int:
    """Processes that have noted themselves of late; whoever answers is one in any case."""
    return max(1, sum(one.unseen_seconds < UNSEEN_SECONDS_MAX for one in health.replicas))


def _late(service: str) -> str:
    return f"deadline:parked:{service}"


def _parked(health: Health, fingerprint: str) -> Opening:
    hours = int(health.parked_oldest_seconds // 3600)
    return Opening(
        kind="deadline",
        fingerprint=fingerprint,
        title_en=f"Messages wait too long for their partner documents in {health.service}",
        title_zh=f"{health.service} 中有消息等待关联单据过久",
        service=health.service,
        detail=f"{health.parked} wait, the oldest for {hours} hours.",
    )
