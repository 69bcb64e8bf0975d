"""Ctrl-C while the command still reads its own code ends it at once and without a word, with exit code 130.

Python would show where in which import it was. Nothing is begun by then, so there is nothing to end in order.
"""

import os
import signal
from types import FrameType


def end_at_once() -> None:
    """Until `end_in_order`. Where Ctrl-C is ignored, as behind a shell's `&`, it stays so."""
    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, _end)


def end_in_order() -> None:
    """From here on it is a KeyboardInterrupt, as everywhere. Nothing where `end_at_once` was not called."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(130)
