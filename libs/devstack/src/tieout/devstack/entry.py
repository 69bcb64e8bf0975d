"""The `tieout` program: it imports nothing that takes time before Ctrl-C is listened to."""

import io
import sys

from tieout.devstack import interrupts


def main() -> int:
    interrupts.end_at_once()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # A terminal in GBK or ASCII has no ✓: that must not cost the answer.
    from tieout.devstack import cli

    try:
        return cli.main()
    finally:
        interrupts.end_at_once()  # All is done; what Python still clears up would be told with a traceback.
