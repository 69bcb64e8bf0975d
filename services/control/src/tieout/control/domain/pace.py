"""How fast a consumer works and how fast work arrives, from looks at its floor; and so when it will be done."""

from collections import deque

from msgspec import Struct

SPAN_SECONDS = 60.0
SPAN_SECONDS_MIN = 5.0  # Below it two looks say nothing.
NEVER = -1.0


class Pace(Struct, frozen=True):
    """In messages of the stream. `done_in_seconds` is NEVER where the backlog does not shrink."""

    drained_per_second: float = 0.0
    arriving_per_second: float = 0.0
    done_in_seconds: float = 0.0


class Track:
    """The looks of the last minute at one consumer: (seconds, what it has handled so far, what is behind it)."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int, int]] = deque()

    def look(self, now: float, handled: int, behind: int) -> Pace:
        looks = self._looks
        if looks and handled < looks[-1][1]:  # A consumer that was made anew counts anew.
            looks.clear()
        looks.append((now, handled, behind))
        while now - looks[0][0] > SPAN_SECONDS:
            looks.popleft()
        began, handled_then, behind_then = looks[0]
        span = now - began
        if not behind or span < SPAN_SECONDS_MIN:
            return Pace()
        shrunk = behind_then - behind
        drained = (handled - handled_then) / span
        arriving = max(0.0, drained - shrunk / span)
        done = behind / (shrunk / span) if shrunk > 0 else NEVER
        return Pace(round(drained, 2), round(arriving, 2), round(done, 1))
