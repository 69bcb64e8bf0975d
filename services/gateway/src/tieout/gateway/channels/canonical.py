"""The channel `tieout`: documents in the contracts' own words, one JSON object each, told apart by `kind`.

    {"kind": "order", "company": "C1", "number": "1001", "occurred_at": "2026-11-23T08:00:00Z", "customer": "17",
     "currency": "CNY", "lines": [{"line_no": 1, "sku": "A", "quantity_micro": 1000000, "net_minor": 1250}]}

The fields are those of contracts.order.SubmitOrder and its like, without what the gateway adds (intake id, source, when
control passes).
May be left out: `version` ("1"), `zone` (the satellite's), `business_date` (the day of `occurred_at` there) and
`fingerprint`. A field that nobody knows here is refused, wherever it stands: it was written for a reason.
A receipt's own kind is `receipt_kind`. A `delivery` says that goods of an order have reached their customer: its
`lines`, all of its `shipment`, or without both all that is on its way. `total_minor` of an order is checked against its
lines; a tax above its net amount and a net amount above price x quantity are refused. `fault` is what the sender's own
checks found: such a document is kept and refused with that reason.
"""

from datetime import date
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from tieout.contracts import finance, inventory, order
from tieout.contracts.event import Event
from tieout.gateway.channels.reading import UNREADABLE, business_day, decode, inspect, read_object, zone_of
from tieout.gateway.domain.drafts import Draft, KnownOrder, Mapped, Satellite, Summary
from tieout.gateway.domain.faults import Fault
from tieout.gateway.domain.plausible import check_lines
from tieout.gateway.known_fields import strict_type, told_unknown, unknown_field
from tieout.gateway.wording import explained

NAME = "tieout"
_convert = msgspec.convert
KINDS: dict[str, type[Event]] = {
    "order": order.SubmitOrder,
    "cancel": order.SubmitCancel,
    "credit": order.SubmitCredit,
    "payment": finance.SubmitPayment,
    "refund": finance.SubmitRefund,
    "receipt": inventory.SubmitReceipt,
    "adjustment": inventory.SubmitAdjustment,
    "confirmation": inventory.SubmitConfirmation,
    "delivery": inventory.SubmitDelivery,
}
NEEDS_APPROVAL = {"write_off": "a write-off takes value out of the books; people approve it first"}
_ADDED_HERE = ("intake_id", "source", "fingerprint", "version", "zone", "business_date", "control_passes")


class SendersFault(Struct, forbid_unknown_fields=True):
    reason: str
    field: str = ""
    detail: str = ""


class _Kind(Struct):
    kind: str


class Form:
    """One kind: how its documents are decoded. Made from the contract, so the two cannot drift apart."""

    def __init__(self, kind: str, contract: type[Event]) -> None:
        self.kind = kind
        self.contract = contract
        fields: list[Any] = [("kind", Literal[kind])]
        for field in msgspec.structs.fields(contract):
            if field.name in _ADDED_HERE:
                continue
            name = "receipt_kind" if field.name == "kind" else field.name
            if field.required:
                fields.append((name, strict_type(field.type)))
            else:
                fields.append((name, strict_type(field.type), field.default))
        self.names = [(entry[0], "kind" if entry[0] == "receipt_kind" else entry[0]) for entry in fields[1:]]
        fields += [
            ("version", str, "1"),
            ("zone", str, ""),
            ("business_date", date | None, None),
            ("fingerprint", str, ""),
            ("total_minor", int | UnsetType, UNSET),
            ("fault", SendersFault | UnsetType, UNSET),
        ]
        self.document: Any = msgspec.defstruct(
            f"{kind.capitalize()}Document",
            fields,
            namespace={"__doc__": (contract.__doc__ or "").partition(": ")[2]},
            kw_only=True,
            forbid_unknown_fields=True,
        )


FORMS = {kind: Form(kind, contract) for kind, contract in KINDS.items()}


class Canonical:
    name = NAME

    def read(self, body: bytes, topic: str) -> tuple[Form, Any]:
        """Decoded once without types and then converted: so it is seen what a typed decoder passes over, a field that
        stands twice."""
        try:
            content = decode(body)
        except UNREADABLE as error:
            raise Fault("unreadable", "", f"no JSON: {str(error) or type(error).__name__}") from None
        try:
            kind = _convert(content, _Kind).kind
        except msgspec.ValidationError as error:
            raise _fault(error, body) from None
        if kind in NEEDS_APPROVAL:
            raise Fault("needs_approval", "kind", NEEDS_APPROVAL[kind])
        form = FORMS.get(kind)
        if form is None:
            raise Fault("unknown_kind", "kind", f"{kind[:60]!r} is none of {', '.join(FORMS)}")
        try:
            document = _convert(content, form.document)
        except msgspec.ValidationError as error:
            raise _fault(error, body, form.document) from None
        if document.fault is not UNSET:
            raise _told(document.fault)
        inspect(body, content)
        return form, document

    def lookup(self, document: tuple[Form, Any]) -> str | None:
        return None

    def map(self, document: tuple[Form, Any], satellite: Satellite, known: KnownOrder | None) -> Mapped:
        form, read = document
        content = {name: getattr(read, own) for own, name in form.names}
        zone = content["zone"] = read.zone or satellite.zone
        at = read.occurred_at
        if at.tzinfo is None:
            raise Fault("implausible_date", "occurred_at", "a time with its offset is expected, 2026-11-23T08:00:00Z")
        zone_of(zone)
        content["business_date"] = read.business_date or business_day(at, zone)
        if content.get("customer") == "":
            raise Fault("missing", "customer", "an id is expected; for sales over the counter any fixed one, CASH")
        if form.kind in ("order", "credit"):
            check_lines(content["lines"], content["currency"])
        total = None if read.total_minor is UNSET else read.total_minor
        draft = Draft(form.kind, content, version=read.version, fingerprint=read.fingerprint, total_minor=total)
        draft.total_field = "total_minor"
        return Mapped([draft])

    def summary(self, body: bytes, topic: str, satellite: Satellite) -> Summary:
        """Signed as the document is written; a credit in positive numbers counts as negative."""
        try:
            content = read_object(body)
        except Fault:
            return Summary(company=satellite.company)
        summary = Summary(
            kind=_text(content.get("kind"), 32),
            company=_text(content.get("company"), 64),
            number=_text(content.get("number"), 100),
            business_date=_text(content.get("business_date") or content.get("occurred_at"), 10),
        )
        lines = content.get("lines")
        for line in lines if isinstance(lines, list) else ():
            if not (summary.kind == "credit" and _continues(line)):
                summary.lines += 1
            if isinstance(line, dict):
                summary.quantity_micro += _integer(line.get("quantity_micro"))
                summary.amount_minor += _integer(line.get("net_minor")) + _integer(line.get("tax_minor"))
        if summary.kind == "credit" and "fault" not in content:
            summary.quantity_micro, summary.amount_minor = -summary.quantity_micro, -summary.amount_minor
        for name in ("received_minor", "paid_minor"):
            summary.amount_minor += _integer(content.get(name))
        return summary


def _continues(line: Any) -> bool:
    """A second or later part of one line of the source, which counts once; as far as it can be read."""
    part = line.get("part") if isinstance(line, dict) else None
    return type(part) is int and part > 1


def _fault(error: Exception, body: bytes, kind: Any = None) -> Fault:
    """What msgspec found, in the words of our reasons. What the sender found itself goes first."""
    try:
        content = read_object(body)
        if isinstance(told := content.get("fault"), dict) and isinstance(told.get("reason"), str):
            return _told(SendersFault(told["reason"], _text(told.get("field"), 200), _text(told.get("detail"), 500)))
    except Fault as fault:
        return fault
    message = str(error) or type(error).__name__
    if "unknown field" in message and (unknown := unknown_field(content, kind)) is not None:
        return Fault("unknown_field", unknown[0][:200], told_unknown(*unknown))
    field, detail = explained(message, kind)
    if "missing required field" in message:
        return Fault("missing", field, detail)
    last = field.rpartition(".")[2]
    if last.startswith("quantity"):
        return Fault("bad_quantity", field, detail)
    if last.endswith(("_minor", "_price_micro")):
        return Fault("bad_amount", field, detail)
    if last == "currency":
        return Fault("bad_currency", field, detail)
    if last in ("occurred_at", "business_date", "rate_date"):
        return Fault("implausible_date", field, detail)
    if last == "company":
        return Fault("unknown_company", field, detail)
    if last == "lines" and "length" in message:
        return Fault("missing" if ">= 1" in message else "too_many", field, detail)
    if "length" in message:
        return Fault("bad_text", field, detail)
    return Fault("wrong_type" if ", got " in message else "bad_value", field, detail)


def _told(fault: SendersFault) -> Fault:
    return Fault(fault.reason[:60], fault.field[:200], fault.detail[:500])


def _text(value: Any, most: int) -> str:
    return value[:most].replace("\0", "") if isinstance(value, str) else ""


def _integer(value: Any) -> int:
    return value if type(value) is int and abs(value) < 10**18 else 0
