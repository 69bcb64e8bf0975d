"""What a person may do with a ticket, and what its clock says then. Pure: the instant is an argument."""

from collections.abc import Mapping, Set
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace
from tieout.contracts.reason import wrong_reason
from tieout.contracts.ticket import Action
from tieout.control.domain.hours import Clock

MUTED_DAYS_MAX = 90
NEEDS_NO_REASON = ("acknowledge", "assign")


class Refusal(Exception):
    """No, with the field that is wrong and what to do instead."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.field = field
        self.detail = detail


class Standing(Struct, frozen=True):
    """The part of a ticket that people change."""

    state: str
    priority: int
    owner: str
    assignee: str
    opened_at: datetime
    due_at: datetime
    waiting_since: datetime | None = None
    muted_until: datetime | None = None
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    paused_seconds: int = 0  # By its own clock, since it was opened.


class Wish(Struct, frozen=True):
    action: Action
    actor: str
    reason: str = ""
    until: datetime | None = None
    to: str = ""
    priority: int = 0


def change(
    before: Standing, wish: Wish, now: datetime, clocks: Mapping[int, Clock], teams: Set[str] = frozenset()
) -> Standing:
    """How the ticket stands after the wish; equal to `before` where it stood so already. `clocks`: by priority.
    `teams`: those that there are; it may be assigned to no other.

    Raises Refusal.
    """
    if wish.action not in NEEDS_NO_REASON and not wish.reason.strip():
        raise Refusal("invalid", "reason", f"{wish.action} needs a reason: {wrong_reason(wish.reason)}.")
    match wish.action:
        case "comment":
            return before
        case "acknowledge":
            return _acknowledge(before, wish, now, clocks)
        case "wait":
            _must_stand(before, wish)
            if before.state == "waiting":
                return before
            return replace(before, state="waiting", waiting_since=now, muted_until=None)
        case "resolve":
            if before.state == "resolved":
                return before
            return replace(_resumed(before, now, clocks), state="resolved", resolved_at=now)
        case "reopen":
            return _reopen(before, wish, now, clocks)
        case "mute":
            return _mute(before, wish, now, clocks)
        case "assign":
            return _assign(before, wish, teams)
        case "prioritise":
            return _prioritise(before, wish, clocks)


def _acknowledge(before: Standing, wish: Wish, now: datetime, clocks: Mapping[int, Clock]) -> Standing:
    _must_stand(before, wish)
    if before.state == "acknowledged":
        return before
    resumed = _resumed(before, now, clocks)
    return replace(resumed, state="acknowledged", acknowledged_at=now, assignee=before.assignee or wish.actor)


def _reopen(before: Standing, wish: Wish, now: datetime, clocks: Mapping[int, Clock]) -> Standing:
    if before.state == "open":
        return before
    if before.state != "resolved":
        return replace(_resumed(before, now, clocks), state="open")
    due_at = clocks[before.priority].due(now)
    return replace(
        before, state="open", resolved_at=None, acknowledged_at=None, opened_at=now, due_at=due_at, paused_seconds=0
    )


def _mute(before: Standing, wish: Wish, now: datetime, clocks: Mapping[int, Clock]) -> Standing:
    _must_stand(before, wish)
    if wish.until is None or not now < wish.until <= now + timedelta(days=MUTED_DAYS_MAX):
        detail = f"Give an instant that is ahead, by {MUTED_DAYS_MAX} days at most, as 2026-11-30T08:00:00Z."
        raise Refusal("invalid", "until", detail)
    return replace(_resumed(before, now, clocks), state="muted", muted_until=wish.until)


def _assign(before: Standing, wish: Wish, teams: Set[str]) -> Standing:
    to = wish.to.strip()
    if not to or to == "@":
        raise Refusal("invalid", "to", "Say to whom: @finance is a team, everything else a person.")
    if to.startswith("@"):
        if to[1:] not in teams:  # No channel would tell of it any more, and nobody would miss it.
            known = ", ".join(f"@{team}" for team in sorted(teams))
            told = f"There is no team {to[:80]}; there are: {known}. A new one is given a service first: desk team."
            raise Refusal("invalid", "to", told)
        # A team takes it over as a whole: who had it in the old team has it no more.
        return before if before.owner == to[1:] else replace(before, owner=to[1:], assignee="")
    return replace(before, assignee=to)


def _prioritise(before: Standing, wish: Wish, clocks: Mapping[int, Clock]) -> Standing:
    if not wish.priority:
        raise Refusal("invalid", "priority", "Give 1 (at once), 2 (today), 3 (this week) or 4 (when there is time).")
    if wish.priority == before.priority:
        return before
    due_at = clocks[wish.priority].due(before.opened_at, timedelta(seconds=before.paused_seconds))
    return replace(before, priority=wish.priority, due_at=due_at)


def _must_stand(before: Standing, wish: Wish) -> None:
    if before.state == "resolved":
        detail = f"The ticket is resolved; there is nothing to {wish.action}. Open it again first: reopen."
        raise Refusal("conflict", "action", detail)


def _resumed(before: Standing, now: datetime, clocks: Mapping[int, Clock]) -> Standing:
    """Out of waiting or muted. The time that it waited does not count; what was overdue by then stays so."""
    if before.waiting_since is None:
        return replace(before, muted_until=None)
    clock = clocks[before.priority]
    left = clock.between(before.waiting_since, before.due_at)
    due_at = clock.after(now, left) if before.due_at > before.waiting_since else before.due_at
    paused = int(clock.between(before.waiting_since, now).total_seconds())
    paused_seconds = before.paused_seconds + paused
    return replace(before, due_at=due_at, waiting_since=None, muted_until=None, paused_seconds=paused_seconds)
