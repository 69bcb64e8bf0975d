"""How a command fails: with a sentence for the person who typed it."""


class CommandFailed(Exception):
    """The command cannot do what it was asked. The message says why, and what to do next; no traceback is shown."""
