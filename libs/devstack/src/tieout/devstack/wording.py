"""How numbers of things are said, and why somebody does not answer."""

import re

_ERRNO = re.compile(r"^\[Errno -?\d+\] ")


def counted(count: int, one: str, several: str = "") -> str:
    """1 order, 2 orders, 1,000 orders; `several` where that is more than an s: 2 entries."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def why_silent(error: BaseException) -> str:
    """The error of a question without an answer in words; nobody is helped by the name of a class."""
    if isinstance(error, TimeoutError) or type(error).__name__.endswith(("Timeout", "TimeoutError")):
        return "no answer in time"
    told = _ERRNO.sub("", str(error)).removeprefix("nats: ").strip()
    return told[:1].lower() + told[1:] if told else "the connection ended"
