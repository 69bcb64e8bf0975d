"""The checks of a checkup, each from values alone: what is so, why it matters, what to do next."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from tieout.contracts.control import Agreement, FlowState, ServiceStatus
from tieout.contracts.currency import spelled
from tieout.contracts.finance import StandingSum
from tieout.contracts.operation import UNSEEN_SECONDS_MAX, Health
from tieout.contracts.streams import DEAD_STREAM
from tieout.contracts.watch import Alarm, Check, CheckState, TableSize, Vitals
from tieout.control.domain.stalls import held_up

DATABASE_MS = 200.0
OUTBOX_SECONDS = 10.0
PARKED_SECONDS = 24 * 3600.0
MEMORY_SHARE = 0.85
DONE_SECONDS = 300.0
STREAM_SHARE = 0.8
DEAD_ROWS = 200_000
RECENT_MINUTES = 15


def services(states: Sequence[ServiceStatus]) -> Check:
    away = [state.service for state in states if not state.up]
    if not away:
        return Check("services", "ok", f"All {len(states)} services answer and are ready.")
    return Check(
        "services",
        "wrong",
        f"Not ready: {', '.join(away)}.",
        "What they own stands still. Documents are taken in as long as the gateway and its database run.",
        f"./tieout logs {away[0]}",
        "ServiceAway",
    )


def replicas(instances: Iterable[Health]) -> Check:
    """Every process of every service, also those that did not answer themselves."""
    every = [(health.service, one) for health in instances for one in health.replicas]
    silent = [(service, one) for service, one in every if one.unseen_seconds > UNSEEN_SECONDS_MAX]
    if silent:
        told = ", ".join(f"{service} {one.pid} on {one.host} ({_span(one.unseen_seconds)})" for service, one in silent)
        return Check(
            "replicas",
            "look",
            f"Not heard of: {told}.",
            "It hangs, or died and was not started again. The others do its work, with less strength.",
            f"./tieout logs {silent[0][0]}",
            "ServiceAway",
        )
    unready = [f"{service} {one.pid} on {one.host}" for service, one in every if not one.ready]
    if unready:
        why = "A process that has just started becomes ready within seconds; one that stays so waits for a server."
        told = f"Not ready: {', '.join(unready)}."
        return Check("replicas", "look", told, why, "Wait a moment; then read its log.", "ServiceAway")
    counts: dict[str, int] = {}
    for service, _ in every:
        counts[service] = counts.get(service, 0) + 1
    told = ", ".join(f"{service} {count}" for service, count in sorted(counts.items()))
    versions = {one.version for _, one in every}
    mixed = f" Versions: {', '.join(sorted(versions))}." if len(versions) > 1 else ""
    return Check("replicas", "ok", f"Processes: {told or 'none'}.{mixed}")


def databases(vitals: Mapping[str, Vitals]) -> Check:
    away = [f"{name}: {one.database}" for name, one in vitals.items() if one.database]
    if away:
        why = "Flows of these services pause; nothing is lost, and they go on by themselves."
        return Check("databases", "wrong", "; ".join(away), why, "Mend the database.", "DatabaseAway")
    slow = [f"{name} {one.database_ms:.0f} ms" for name, one in vitals.items() if one.database_ms > DATABASE_MS]
    if slow:
        why = "An empty statement should take a millisecond: every batch waits that long several times."
        return Check("databases", "look", f"Slow answers: {', '.join(slow)}.", why, "Look at disk and CPU of Postgres.")
    return Check("databases", "ok", f"{len(vitals)} databases answer.")


def durability(vitals: Mapping[str, Vitals]) -> Check:
    found = {name: one.unsafe for name, one in vitals.items() if one.unsafe}
    if not found:
        return Check("durability", "ok", "What is committed is on disk.")
    told = "; ".join(f"{name}: {', '.join(unsafe)}" for name, unsafe in found.items())
    why = "A cut of the power loses documents that were acknowledged, or leaves a database that cannot be read."
    next_step = (
        "SELECT name, setting, source, sourcefile FROM pg_settings WHERE setting = 'off' tells who set it; on again, "
        "then SELECT pg_reload_conf(). A database that ran without fsync is copied to another disk, and its copy used."
    )
    return Check("durability", "wrong", f"Switched off in Postgres, {told}.", why, next_step, "BooksDiffer")


def locks(vitals: Mapping[str, Vitals]) -> Check:
    held = [(name, held_up(name, service.blocked)) for name, service in vitals.items()]
    found = [(name, one) for name, one in held if one is not None and one.waits_seconds > 1]
    if not found:
        return Check("locks", "ok", "No transaction waits for a lock.")
    name, worst = max(found, key=lambda pair: pair[1].waits_seconds)
    return Check(
        "locks",
        "wrong" if worst.waits_seconds > 10 else "look",
        f"{name} waits {worst.waits_seconds:.0f} s for pid {worst.by_pid} ({worst.by_role} {worst.by_application}).",
        "A batch and everything behind it waits until that transaction ends.",
        f"End that session, or SELECT pg_terminate_backend({worst.by_pid})",
        "ConsumerStalled",
    )


def stalls(alarms: Iterable[Alarm]) -> Check:
    found = [alarm for alarm in alarms if alarm.kind == "stall"]
    if not found:
        return Check("flows", "ok", "Every flow that has something to do moves.")
    why = "Documents behind it are neither booked nor lost: they wait."
    told = "; ".join(f"{alarm.about}: {alarm.told}" for alarm in found[:3])
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return Check("flows", "wrong", told + more, why, found[0].next_step, "ConsumerStalled")


def stopped(vitals: Mapping[str, Vitals]) -> Check:
    found = [(flow.durable, flow.trouble) for one in vitals.values() for flow in one.flows if flow.stopped]
    if not found:
        return Check("code", "ok", "No flow had to stop because most of its messages fail.")
    why = "Nearly every message failed in a way that nobody foresaw; the flow holds them instead of giving them up."
    told = "; ".join(f"{durable}: {trouble}" for durable, trouble in found)
    return Check("code", "wrong", told, why, "Deploy a mended version; it probes every 10 s.", "FlowStopped")


def hampered(
    states: Sequence[ServiceStatus], alarms: Iterable[Alarm], vitals: Mapping[str, Vitals], flows: Sequence[FlowState]
) -> set[str]:
    """Services that are away or hang as a whole, and flows that stand still: other checks tell of each."""
    away = {state.service for state in states if not state.up}
    for state in states:
        every = [one for health in state.instances for one in health.replicas]
        if every and all(one.unseen_seconds > UNSEEN_SECONDS_MAX for one in every):
            away.add(state.service)
    still = {flow.durable for one in vitals.values() for flow in one.flows if flow.stopped}
    told = {alarm.about for alarm in alarms if alarm.kind == "stall"}
    return away | still | {flow.durable for flow in flows if flow.durable in told}


def lag(flows: Sequence[FlowState], hampered: Collection[str] = ()) -> Check:
    """`hampered`: services that are away or hang, and flows that stand still: a replica more does not help these."""
    behind = [flow for flow in flows if flow.waiting + flow.unacked]
    if not behind:
        return Check("lag", "ok", "Nothing waits.")
    worst = max(behind, key=lambda flow: flow.waiting + flow.unacked)
    told = f"{worst.durable} has {_counted(worst.waiting + worst.unacked, 'message', 'messages')}; {forecast(worst)}."
    if worst.durable in hampered or worst.durable.partition("-")[0] in hampered:
        why = "Whoever should work it off stands still: another check tells why. Nothing of it is lost."
        return Check("lag", "look", told, why, "Mend what stands still, and it is worked off.", "LagGrows")
    if worst.done_in_seconds < 0:
        why = "More arrives than it works off: the backlog grows until the rush is over."
        return Check("lag", "look", told, why, "Add a replica of the service, or find what slows it down.", "LagGrows")
    state: CheckState = "look" if worst.done_in_seconds > DONE_SECONDS else "ok"
    why = "Whoever asks now sees the state of some time ago." if state == "look" else ""
    return Check("lag", state, told, why, "Wait, or add a replica." if why else "", "LagGrows" if why else "")


def forecast(flow: FlowState) -> str:
    if flow.done_in_seconds > 0:
        return f"done in about {_span(flow.done_in_seconds)} at {flow.drained_per_second:g}/s"
    if flow.done_in_seconds < 0:
        return f"{flow.arriving_per_second:g}/s arrive and {flow.drained_per_second:g}/s are handled"
    return "too young for a forecast"


def outboxes(instances: Iterable[Health]) -> Check:
    old = [one for one in instances if one.outbox_oldest_seconds > OUTBOX_SECONDS]
    if not old:
        return Check("outboxes", "ok", "Nothing committed waits to be published.")
    worst = max(old, key=lambda one: one.outbox_oldest_seconds)
    batches = _counted(worst.outbox_waiting, "batch waits", "batches wait")
    return Check(
        "outboxes",
        "wrong",
        f"Of {worst.service}, {batches} {_span(worst.outbox_oldest_seconds)} to be published.",
        "What was committed there is not known elsewhere yet.",
        "Is the broker there, and its disk not full? The relay publishes by itself once it takes messages again.",
        "OutboxOld",
    )


def dead_letters(total: int, recent: int) -> Check:
    if not total:
        return Check("dead letters", "ok", "No message was given up.")
    return Check(
        "dead letters",
        "wrong" if recent else "look",
        f"{_counted(total, 'message was', 'messages were')} given up, {recent} in the last {RECENT_MINUTES} minutes.",
        "Each is a document that is not booked; nothing runs it again by itself.",
        "./tieout tickets list",
        "DeadLetters",
    )


def tickets(standing: int, urgent: int) -> Check:
    """`urgent`: of these, how many of priority 1 are past their deadline."""
    if not standing:
        return Check("tickets", "ok", "No ticket stands.")
    told = _counted(standing, "ticket stands", "tickets stand")
    if urgent:
        told += f", {urgent} of priority 1 past {'its' if urgent == 1 else 'their'} deadline"
    why = "Each is a cause that a person has to judge; what it hurts stays as it is until then."
    return Check("tickets", "wrong" if urgent else "look", f"{told}.", why, "./tieout tickets list")


def parked(vitals: Mapping[str, Vitals], instances: Iterable[Health]) -> Check:
    count = sum(one.parked for one in instances)
    oldest = max((one.parked_oldest_seconds for one in vitals.values()), default=0.0)
    if oldest < PARKED_SECONDS:
        return Check("parked", "ok", f"{_waiting(count)} for a partner document, none longer than a day.")
    return Check(
        "parked",
        "look",
        f"{_waiting(count)} for a partner document, the oldest {_span(oldest)}.",
        "The order that a payment, cancellation or return names has not come; perhaps its source never sent it.",
        "What never arrived is found by: ./tieout census SATELLITE FILE",
        "Parked",
    )


def agreement(found: Agreement | None, why_not: str, standing: int) -> Check:
    if found is None or found.unanswered:
        told = f"Not proved: {why_not or ', '.join(found.unanswered if found else ()) + ' did not answer'}"
        why = "Nobody knows at this moment whether the books agree."
        return Check("agreement", "unknown", told, why, "See the check of the services.", "BooksDiffer")
    if found.verdict == "differ" or standing:
        why = "Orders, stock and books do not say the same, and nothing in flight explains it."
        return Check("agreement", "wrong", found.sentence, why, "./tieout agreement", "BooksDiffer")
    return Check("agreement", "ok", found.sentence)


def findings(instances: Iterable[Health]) -> Check:
    instances = list(instances)
    found = [one for one in instances if one.findings]
    given_up = sorted({f"{one.service} {rule}" for one in instances for rule in one.unchecked})
    if not found and (failed := [one for one in instances if one.scrub_failed]):
        told = "; ".join(f"{one.service}: {one.scrub_failed}" for one in failed)
        why = "What its last look would have found, nobody knows."
        return Check(
            "by hand", "wrong", f"A scrub failed. {told}", why, f"./tieout logs {failed[0].service}", "BooksDiffer"
        )
    if not found and given_up:
        why = "The check of these rules took too long, or waited for a lock: what it would have found, nobody knows."
        told = f"Not checked: {', '.join(given_up)}."
        return Check("by hand", "wrong", told, why, "./tieout agreement", "BooksDiffer")
    if not found:
        return Check("by hand", "ok", "The services' own scrubs found nothing.")
    told = ", ".join(f"{one.service} {one.findings}" for one in found)
    if given_up:
        told += f"; not checked: {', '.join(given_up)}"
    why = "Somebody edited a fact, a kept balance or a setting behind the service's back, or a guard."
    return Check("by hand", "wrong", f"Findings: {told}.", why, "./tieout agreement; ./tieout settings", "BooksDiffer")


def memory(vitals: Mapping[str, Vitals]) -> Check:
    high = [
        f"{name} {one.memory_bytes >> 20} of {one.memory_limit_bytes >> 20} MB"
        for name, one in vitals.items()
        if one.memory_limit_bytes and one.memory_bytes > one.memory_limit_bytes * MEMORY_SHARE
    ]
    if high:
        why = "The kernel kills it at the limit; the broker delivers again, but it may be killed by the same batch."
        return Check("memory", "look", f"Near its limit: {', '.join(high)}.", why, "Raise the limit.", "OutOfMemory")
    used = ", ".join(f"{name} {one.memory_bytes >> 20}" for name, one in vitals.items())
    return Check("memory", "ok", f"MB: {used}.")


def endings(vitals: Mapping[str, Vitals]) -> Check:
    found = {name: one.endings for name, one in vitals.items() if one.endings}
    if not found:
        return Check("restarts", "ok", "No process was killed within the hour.")
    starved = any(ending.how == "out_of_memory" for all_ in found.values() for ending in all_)
    told = ", ".join(f"{name} {len(all_)}" for name, all_ in found.items())
    return Check(
        "restarts",
        "wrong" if starved or any(len(all_) > 1 for all_ in found.values()) else "look",
        f"Killed within the hour: {told}{', for their memory' if starved else ''}.",
        "Nothing is lost by it, but whoever dies repeatedly gets nothing done.",
        f"./tieout logs {next(iter(found))}",
        "OutOfMemory" if starved else "ServiceAway",
    )


def silences(alarms: Iterable[Alarm]) -> Check:
    found = [alarm for alarm in alarms if alarm.kind == "silence"]
    if not found:
        return Check("satellites", "ok", "Every satellite is heard in its own rhythm.")
    why = "Its documents may be lying somewhere before the door, where nobody here can see them."
    told = "; ".join(alarm.told for alarm in found)
    return Check("satellites", "look", told, why, found[0].next_step, "SatelliteSilent")


def quarantine(waiting: int) -> Check:
    if not waiting:
        return Check("quarantine", "ok", "No document waits for a decision.")
    why = "Each was refused for a reason that a person has to judge; it is not booked."
    told = f"{_counted(waiting, 'document waits', 'documents wait')}."
    return Check("quarantine", "look", told, why, "./tieout quarantine list", "Quarantine")


def approvals(sums: Sequence[StandingSum], oldest_seconds: float) -> Check:
    """Count differences on 1901, by currency."""
    if not sums:
        return Check("approvals", "ok", "No count difference waits for an approval.")
    count, unasked = sum(one.counts for one in sums), sum(one.unasked for one in sums)
    amounts = [
        f"{spelled(amount, one.currency)} {how}"
        for one in sums
        for amount, how in ((one.missing_minor, "missing"), (one.found_minor, "found"))
        if amount
    ]
    told = f"{_counted(count, 'count stands', 'counts stand')} on 1901 ({', '.join(amounts)})"
    told += f", the oldest for {_span(oldest_seconds)}"
    told += f"; for {unasked} of them nobody has asked for an approval." if unasked else "."
    why = "What was counted is no profit or loss before somebody approves it, and its period cannot be closed."
    return Check("approvals", "look", told, why, "./tieout approvals")


def streams(seen: Mapping[str, int | None], since: Mapping[str, str], bytes_max: int) -> Check:
    """Bytes of each stream, None where it does not exist, and `since` when; above `bytes_max` (0: no limit) its
    producer lets go of what all have confirmed."""
    if gone := [name for name, used in seen.items() if used is None]:
        why = "Nothing is announced on it. Its service makes it anew within 20 s and publishes again what it held."
        owner = "control" if gone[0] == DEAD_STREAM else gone[0].lower()
        step = f"Wait a moment. Where it stays away: ./tieout logs {owner}"
        told = ", ".join(f"{name} (since {since[name][:19]}Z)" if name in since else name for name in gone)
        return Check("streams", "wrong", f"Streams that do not exist: {told}.", why, step, "BrokerAway")
    found = {name: used for name, used in seen.items() if used is not None}
    full = [f"{name} {used >> 20} MB" for name, used in found.items() if bytes_max and used > bytes_max * STREAM_SHARE]
    if full:
        why = "It should have let go of its oldest messages; a consumer holds it, or nothing is a day old."
        told = f"Near or above {bytes_max >> 20} MB: {', '.join(full)}."
        return Check("streams", "look", told, why, "Find the consumer that is far behind.", "StreamFull")
    total = sum(found.values())
    return Check("streams", "ok", f"{len(found)} streams hold {total >> 20} MB.")


def tables(vitals: Mapping[str, Vitals]) -> Check:
    bad = [
        (name, table)
        for name, one in vitals.items()
        for table in one.tables
        if table.dead_rows > DEAD_ROWS and table.dead_rows > table.live_rows
    ]
    if bad:
        name, worst = max(bad, key=lambda pair: pair[1].dead_rows)
        told = f"{name}.{worst.table} has {worst.dead_rows:,} dead rows beside {worst.live_rows:,} living ones."
        why = "Something holds vacuum back: an old transaction, a replication slot; statements become slower."
        return Check("tables", "look", told, why, "SELECT * FROM pg_stat_activity ORDER BY xact_start", "TablesGrow")
    largest: list[tuple[str, TableSize]] = [(name, one.tables[0]) for name, one in vitals.items() if one.tables]
    told = ", ".join(f"{name}.{table.table} {table.bytes >> 20} MB" for name, table in largest)
    return Check("tables", "ok", f"Largest: {told}.")


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _waiting(messages: int) -> str:
    return _counted(messages, "message waits", "messages wait")


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def holidays(unpublished: Sequence[int]) -> Check:
    """`unpublished`: years within the next weeks whose holidays nobody has announced."""
    if not unpublished:
        return Check("calendar", "ok", "The holidays of the next weeks are known.")
    years = ", ".join(map(str, unpublished))
    return Check(
        "calendar",
        "look",
        f"The holidays of {years} are not published: deadlines of tickets count weekdays.",
        "A ticket may fall due on a holiday, or a day late where a weekend is worked.",
        f"As soon as they are announced: ./tieout desk year {unpublished[0]} --free … --worked …",
        "HolidaysUnknown",
    )
