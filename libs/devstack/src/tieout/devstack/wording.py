"""How numbers of things are said."""


def counted(count: int, one: str, several: str = "") -> str:
    """1 order, 2 orders, 1,000 orders; `several` where that is more than an s: 2 entries."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"
