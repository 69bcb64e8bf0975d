"""What cannot be taken back is asked for once more, after it was shown."""

import sys

from tieout.devstack.failures import CommandFailed
from tieout.devstack.languages import told


def make_sure(*, yes: bool) -> None:
    """Raises CommandFailed where the answer is not yes, or nobody is there who could give it."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(told("nobody can be asked here. Look at what it would do, then give --yes"))
    try:
        answer = input(told("Do this? [y/N]") + " ")
    except EOFError:  # Ctrl-D
        answer = ""
    if answer.strip().lower() not in ("y", "yes", "是"):
        raise CommandFailed(told("nothing was done"))
