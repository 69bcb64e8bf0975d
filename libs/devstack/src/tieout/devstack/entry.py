"""The `tieout` program: it imports nothing that takes time before Ctrl-C is listened to."""

from tieout.devstack import interrupts


def main() -> int:
    interrupts.end_at_once()
    from tieout.devstack import cli

    try:
        return cli.main()
    finally:
        interrupts.end_at_once()  # All is done; what Python still clears up would be told with a traceback.
