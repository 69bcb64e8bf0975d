"""Who asks: what needs a person is not done for nobody."""

from tieout.servicekit import ACTOR, Refused


def asking() -> str:
    """The name that belongs to the caller's token; the gateway hands it on, no request can claim it."""
    actor = ACTOR.get().strip()
    if not actor or "," in actor:  # A comma parts the names of reviewers.
        detail = "Nobody knows who asks. Call it through the gateway, with a token of your own."
        raise Refused("unauthorized", detail, status=401)
    return actor
