"""Who asks: operations that need a person refuse to work for nobody."""

from tieout.servicekit import Refused


def named(actor: str) -> str:
    """The gateway fills in the name that belongs to the caller's token."""
    if not actor.strip() or "," in actor:
        detail = "Nobody knows who asks. Call it through the gateway, with a token of your own."
        raise Refused("unauthorized", detail, field="actor", status=401)
    return actor
