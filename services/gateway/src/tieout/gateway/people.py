"""Who asks: the actor of the token that a command came with."""

from tieout.servicekit import ACTOR

ADMIN = "admin"  # Whoever runs the stack, by the token that was made with it.


def asking() -> str:
    """The person or service whom this command is done for. Over NATS, past the front door, it may be nobody known."""
    return ACTOR.get() or "staff"
