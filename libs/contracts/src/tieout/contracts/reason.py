"""Why a person does something: kept with what was done, for whoever looks at it later.

One rule wherever somebody says why: replays, repairs, tickets, the quarantine, corrections, approvals, periods, what is
given up. A reason has at least one character that is no blank, and at most 2,000.
"""

from typing import Annotated, Any

from msgspec import Meta

REASON_CHARACTERS_MAX = 2_000

Reason = Annotated[str, Meta(min_length=1, max_length=REASON_CHARACTERS_MAX, extra={"reason": "needed"})]
# Where nobody has to say why: a retry, an approval, a close. "" is none.
ReasonIfAny = Annotated[str, Meta(max_length=REASON_CHARACTERS_MAX, extra={"reason": "welcome"})]


def wrong_reason(text: str) -> str:
    """What is wrong with a reason and what to do, a sentence without its full stop; "" where nothing is."""
    if not text.strip():
        return "say why in a few words, for whoever looks at this later"
    if len(text) > REASON_CHARACTERS_MAX:
        return f"say it in at most {REASON_CHARACTERS_MAX:,} characters; these are {len(text):,}"
    return ""


def wrong_reason_of(kind: Any, told: Any) -> str:
    """The same of what stands in a field of this annotation; "" also where the field is no reason, or told no text.

    `told` is None where the field is missing.
    """
    extra = next((one.extra for one in getattr(kind, "__metadata__", ()) if isinstance(one, Meta)), None) or {}
    match extra.get("reason"), told:
        case "needed", (str() | None):
            return wrong_reason(told or "")
        case "welcome", str() if told.strip():
            return wrong_reason(told)
    return ""
