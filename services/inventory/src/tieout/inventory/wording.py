"""Quantities in sentences for people."""

from decimal import Decimal


def pieces(quantity_micro: int) -> str:
    """As people count: 1_500_000 is 1.5."""
    return f"{Decimal(quantity_micro) / 1_000_000:f}"
