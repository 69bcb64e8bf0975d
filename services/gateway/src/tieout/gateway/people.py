"""Who asks: the actor of the token that a command came with."""

import unicodedata

from tieout.servicekit import ACTOR

ADMIN = "admin"  # Whoever runs the stack, by the token that was made with it.


def asking() -> str:
    """The person or service whom this command is done for. Over NATS, past the front door, it may be nobody known."""
    return ACTOR.get() or "staff"


def same_name(name: str) -> str:
    """Names that people would take for one another are the same: case, width and spaces do not make two people."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
