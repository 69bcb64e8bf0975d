"""Why a consumer stands still: the most probable cause, from what its service says, or does not say.

The causes are asked in this order because each hides those below it: a process that is gone shows no lock, and a flow
that waits for a lock looks as if its batch were merely long.
"""

from collections.abc import Iterable

from msgspec import Struct
from tieout.contracts.control import FlowState
from tieout.contracts.watch import Blocked, Cause, FlowVitals, SatelliteRhythm, Vitals

LONG_SECONDS = 30.0  # A batch that works so long is told, too; shorter ones are no alarm.
DEATHS_IN_A_ROW = 2  # Within the last hour, as the service itself tells.
LOCK_SECONDS = 5.0  # A service's own batches wait for each other for less; that is their order, no cause.
ATTEMPTS_MAX = 3  # A batch that was delivered more often was given up or died on each time.


class Verdict(Struct, frozen=True):
    cause: Cause
    told: str
    told_zh: str
    next_step: str


def why_it_stands(flow: FlowState, vitals: Vitals | None, silence: str, before: Vitals | None) -> Verdict:
    """`silence`: "gone" or "hangs", where the service did not answer; `before`: what it said when it last did."""
    service = flow.durable.partition("-")[0]
    if vitals is None:
        return _silent(service, silence, before)
    if flow.paused_until:
        return Verdict(
            "paused",
            f"Somebody paused {flow.durable} on the hub until {flow.paused_until}",
            f"有人在消息中心将 {flow.durable} 暂停至 {flow.paused_until}",
            f"control has {service} resume it. Does it come again: find out who does that ($JS.API.CONSUMER.PAUSE).",
        )
    if vitals.database:
        return Verdict(
            "database_away",
            f"The database of {service} does not answer: {vitals.database}",
            f"{service} 的数据库没有响应:{vitals.database}",
            "Mend the database. The flow goes on by itself, and no attempt was burnt.",
        )
    if (held := held_up(service, vitals.blocked)) is not None:
        return _blocked(service, held)
    own = next((one for one in vitals.flows if one.durable == flow.durable), None)
    if own is not None and own.stopped:
        return Verdict(
            "code_is_wrong",
            f"Most messages of {flow.durable} fail, so it holds them all and probes: {own.trouble}",
            f"{flow.durable} 的大多数消息失败,已暂停并定时试探:{own.trouble}",
            f"Deploy a mended {service}. Nothing was given up meanwhile.",
        )
    if (dying := _dying(service, vitals)) is not None:
        return dying
    if own is None:
        return Verdict(
            "not_consumed",
            f"{service} {vitals.version} runs, but does not consume {flow.durable}",
            f"{service} {vitals.version} 正在运行,但不消费 {flow.durable}",
            f"Was an older version started? Deploy the version of {service} that has this flow.",
        )
    return _inside(flow, own, service)


def _silent(service: str, silence: str, before: Vitals | None) -> Verdict:
    if silence == "hangs":
        return Verdict(
            "hangs",
            f"The process of {service} is connected and does not answer: it is suspended, or busy with one thing",
            f"{service} 进程已连接但没有响应:被挂起,或被单个任务占满",
            f"Look at its CPU time; restart {service}. The broker delivers again what it had not confirmed.",
        )
    dying = _dying(service, before) if before is not None else None
    if dying is not None:
        return dying
    memory = ""
    if before is not None and before.memory_limit_bytes:
        memory = f"; it last had {before.memory_bytes >> 20} of {before.memory_limit_bytes >> 20} MB"
    return Verdict(
        "process_gone",
        f"No process of {service} is there{memory}",
        f"{service} 没有任何进程在运行{memory}",
        f"Start {service}; `./tieout logs {service}` has its last words.",
    )


def _dying(service: str, vitals: Vitals) -> Verdict | None:
    """Killed again and again, or once for its memory."""
    starved = [ending for ending in vitals.endings if ending.how == "out_of_memory"]
    if starved:
        last = starved[0]
        memory = f"{last.memory_bytes >> 20} of {last.memory_limit_bytes >> 20} MB"
        return Verdict(
            "out_of_memory",
            f"{service} was killed for its memory {len(starved)} times within the hour; it last noted {memory}",
            f"{service} 一小时内因内存不足被终止 {len(starved)} 次;最后记录的内存为 {memory}",
            f"Give {service} more memory, or find the message: the batch in hand and its attempts stand in the vitals.",
        )
    if len(vitals.endings) >= DEATHS_IN_A_ROW:
        return Verdict(
            "keeps_dying",
            f"{service} was killed {len(vitals.endings)} times within the hour",
            f"{service} 一小时内被终止 {len(vitals.endings)} 次",
            f"`./tieout logs {service}`; the kernel's log says whether it was for its memory.",
        )
    return None


def held_up(service: str, blocked: Iterable[Blocked]) -> Blocked | None:
    """The wait that holds the service up, the longest first. Where its own working session holds the lock and both are
    young, that is work: to end it would only undo what is under way. Whoever waits himself is not the one to end."""
    held = [one for one in blocked if not _at_work(service, one)]
    waiting = {one.pid for one in held}
    return min(held, key=lambda one: (one.by_pid in waiting, -one.waits_seconds), default=None)


def _at_work(service: str, one: Blocked) -> bool:
    own = one.by_role == f"{service}_app" and one.by_application == f"tieout-{service}"
    return own and one.by_state == "active" and max(one.waits_seconds, one.by_seconds) < LOCK_SECONDS


def _blocked(service: str, blocked: Blocked) -> Verdict:
    holder = f"pid {blocked.by_pid}, role {blocked.by_role}"
    if blocked.by_application:
        holder += f", {blocked.by_application}"
    if blocked.by_seconds:
        holder += f", {blocked.by_state} for {blocked.by_seconds:.0f} s"
    return Verdict(
        "blocked_by_lock",
        f"A transaction of {service} waits {blocked.waits_seconds:.0f} s for a lock that is held by {holder}",
        f"{service} 的事务等待锁已 {blocked.waits_seconds:.0f} 秒,持有者:{holder}",
        f"Ask its owner to end that transaction, or SELECT pg_terminate_backend({blocked.by_pid}).",
    )


def _inside(flow: FlowState, own: FlowVitals, service: str) -> Verdict:
    if own.attempts > ATTEMPTS_MAX:
        return Verdict(
            "poison_message",
            f"The batch in hand of {own.durable} was delivered {own.attempts} times: one of its messages kills or "
            f"blocks whoever handles it. {own.trouble}".rstrip(),
            f"{own.durable} 当前批次已投递 {own.attempts} 次:其中某条消息会使处理者崩溃或卡住。{own.trouble}".rstrip(),
            f"`./tieout logs {service}` at the last restart. It stands at sequence {flow.floor + 1} of {flow.stream}.",
        )
    if own.trouble:
        return Verdict(
            "passing",
            f"{own.durable} pauses and tries again: {own.trouble}",
            f"{own.durable} 暂停并重试:{own.trouble}",
            "Mend what it names; it goes on by itself.",
        )
    if own.in_hand_seconds > 0:
        return Verdict(
            "long_batch",
            f"{own.durable} has been working on one batch for {own.in_hand_seconds:.0f} s",
            f"{own.durable} 处理当前批次已 {own.in_hand_seconds:.0f} 秒",
            "A large document, or a slow statement: look at the service's log and at the database's activity.",
        )
    return Verdict(
        "unknown",
        f"{own.durable} has {flow.waiting + flow.unacked} messages and moves none; its process answers",
        f"{own.durable} 有 {flow.waiting + flow.unacked} 条消息但没有进展;进程有响应",
        f"Restart {service}; nothing is booked twice. Keep its log.",
    )


def silent(satellite: SatelliteRhythm) -> Verdict:
    minutes = satellite.silent_seconds / 60
    return Verdict(
        "silent",
        f"Nothing has come from {satellite.satellite} for {minutes:.0f} minutes; by its own rhythm about "
        f"{satellite.expected:.0f} of them would have had documents",
        f"{satellite.satellite} 已 {minutes:.0f} 分钟没有任何单据;"
        f"按其自身节奏应有约 {satellite.expected:.0f} 分钟有单据",
        f"Ask whoever runs it. Then `./tieout census {satellite.satellite} FILE` finds what did not arrive.",
    )
