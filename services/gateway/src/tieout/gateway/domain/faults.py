"""Why a document stays in the gateway. The codes are part of the promise: reports and people group by them."""

from typing import Literal

Reason = Literal[
    "unreadable",  # No JSON, or not of the declared encoding.
    "unknown_kind",
    "unknown_topic",
    "unknown_channel",
    "unknown_satellite",
    "missing",  # A required field.
    "unknown_field",  # Misspelt, most of the time: nothing that somebody wrote is dropped.
    "wrong_type",
    "bad_value",  # Not among the allowed ones, or badly formed.
    "bad_quantity",
    "bad_amount",
    "bad_currency",
    "bad_text",  # A character that no database keeps, or too long.
    "too_many",  # Lines, or commands of one document.
    "too_deep",  # Nested.
    "too_large",  # One message cannot carry it.
    "document_too_large",  # It has more bytes than are read; a single one is refused at the door.
    "repeated_line",
    "repeated_field",  # Twice in one JSON object.
    "total_differs",  # The header's total and the lines.
    "implausible_date",
    "unknown_company",
    "foreign_company",  # The satellite may not speak for it.
    "unknown_sku",
    "unknown_warehouse",  # Nobody has described it; misspelt, most of the time.
    "unknown_line",
    "unknown_order",
    "missing_rate",
    "bad_rate",
    "needs_approval",
    "test_document",
    "mapping_failed",  # A mistake of ours; the detail has a reference into the log.
]


class Fault(Exception):
    """This document cannot leave as it stands. `field` is a path in the document: line_items[2].price.

    `reason` is one of Reason, or what the sender's own checks said.
    """

    def __init__(self, reason: str, field: str = "", detail: str = "") -> None:
        super().__init__(f"{reason} {field}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail

    def inside(self, place: str) -> "Fault":
        """The same, seen from further out: `price` of `line_items[2]` is line_items[2].price."""
        if not self.field:
            self.field = place
        elif self.field.startswith("["):
            self.field = place + self.field
        else:
            self.field = f"{place}.{self.field}"
        return self
