"""Whether a draft may leave as a command. Pure rules; the first that is broken is told."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from hashlib import sha256
from operator import attrgetter, itemgetter
from typing import Any, Literal
from uuid import UUID

import msgspec
from tieout.contracts import finance, inventory, order
from tieout.contracts.currency import EXPONENTS, refused
from tieout.contracts.event import Event, event_id
from tieout.gateway.domain.amounts import MICRO
from tieout.gateway.domain.drafts import Company, Draft, Satellite, Verdict, World
from tieout.gateway.domain.faults import Fault
from tieout.gateway.domain.plausible import looks_plain, seen
from tieout.gateway.domain.pricing import tie_to_header
from tieout.gateway.wording import explained

CONTRACTS: dict[str, type[Event]] = {
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
RATED = ("order", "payment", "refund")  # Kinds that carry a rate where their currency is not the company's.
# The fields of a document's head by which people and other documents name things.
NAMES: dict[str, tuple[str, ...]] = {
    "order": ("number", "customer"),
    "cancel": ("number", "order_number"),
    "credit": ("number", "customer", "order_number"),
    "payment": ("number", "customer"),
    "refund": ("number", "customer", "order_number", "order_source"),
    "receipt": ("number",),
    "adjustment": ("number",),
    "confirmation": ("number", "order_number", "order_source"),
    "delivery": ("number", "order_number", "order_source"),
}
MAIN = "MAIN"  # The warehouse that every company has; others exist once somebody has described them.
_warehouse_of_dict, _warehouse_of_struct = itemgetter("warehouse"), attrgetter("warehouse")
ALLOWANCE = "ALLOWANCE"  # The SKU of a credit by value.
EARLIEST_YEAR = 1990
AHEAD = timedelta(days=1)  # Clocks of satellites may be wrong by hours; a day is a mistake.
RATE_MICRO_MAX = 10**12
DUE_DAYS_MAX = 3650
TOTAL_MAX = 10**17  # What the sums of one document may come to, so that every later sum fits a bigint.
NUMBER_MAX, KEY_MAX, TEXT_MAX = 100, 200, 500

_encode = msgspec.json.Encoder().encode


def wanted_skus(draft: Draft) -> Sequence[tuple[str, str]]:
    """(company, SKU) of all goods that the draft names: inventory must have listed them."""
    if draft.kind not in ("order", "credit", "receipt", "adjustment"):
        return ()
    company = draft.content["company"]
    return [(company, sku) for sku, goods in map(_sku, draft.content["lines"]) if goods]


def wanted_warehouses(draft: Draft) -> set[str]:
    """All warehouses that the draft names: of its company somebody must have described them."""
    content = draft.content
    if draft.kind not in ("order", "credit"):
        return {content["warehouse"]} if "warehouse" in content else set()
    lines = content["lines"]
    if not lines:
        return set()
    return set(map(_warehouse_of_dict if type(lines[0]) is dict else _warehouse_of_struct, lines))


def wanted_rate(draft: Draft, companies: Mapping[str, Company]) -> tuple[str, str, date] | None:
    """(currency, company's currency, business date), where a rate must be found for it."""
    money = draft.content.get("currency")
    company = companies.get(draft.content["company"])
    if company is None or money is None or money == company.currency:
        return None
    if draft.kind not in RATED or draft.content.get("rate_micro", MICRO) != MICRO:
        return None
    return money, company.currency, draft.content["business_date"]


def judge(draft: Draft, satellite: Satellite, world: World, now: datetime, document: UUID, ordinal: int) -> Verdict:
    """The command, or Fault. `ordinal` counts the commands of one document from 1."""
    content = draft.content
    company = _company(content, satellite, world)
    _dates(content, now)
    if (money := content.get("currency")) is not None and money not in EXPONENTS:
        raise Fault("bad_currency", "currency", refused(money))
    _terms(content, money, company.currency)
    # Over the source's own content: what we derive below may be derived otherwise one day.
    fingerprint = draft.fingerprint or sha256(_encode(content)).hexdigest()
    if len(fingerprint) > KEY_MAX or len(draft.version) > KEY_MAX:
        raise Fault("bad_text", "fingerprint or version", f"at most {KEY_MAX} characters are possible")
    if money is not None and money != company.currency:
        _other_currency(draft, money, company.currency, world)
    lines = content.get("lines", ())
    if draft.kind in ("order", "credit", "receipt", "adjustment", "cancel", "confirmation", "delivery"):
        _numbered_apart(lines)
    if draft.kind in ("order", "credit", "receipt", "adjustment"):
        _known_skus(content["company"], lines, draft.lines_field, world)
    if draft.total_minor is not None and draft.kind == "order":
        content["lines"] = lines = tie_to_header(lines, draft.total_minor, draft.total_field)
    command = _command(draft, satellite, company, document, ordinal, fingerprint)
    if world.unknown_warehouses:
        _known_warehouses(draft, command, world)
    _own_rules(draft.kind, command)
    verdict = _verdict(draft.kind, command, _count(draft.kind, command, lines))
    if money is not None and money != company.currency:
        _fits_the_books(verdict.amount_minor, money, company.currency, content.get("rate_micro", MICRO))
    return verdict


def _company(content: dict[str, Any], satellite: Satellite, world: World) -> Any:
    name = content["company"]
    if satellite.companies and name not in satellite.companies:
        raise Fault("foreign_company", "company", f"{satellite.satellite} may not speak for {str(name)[:40]!r}")
    company = world.companies.get(name)
    if company is None:
        raise Fault("unknown_company", "company", f"no company {str(name)[:40]!r} keeps its books here")
    return company


def _dates(content: dict[str, Any], now: datetime) -> None:
    at: datetime = content["occurred_at"]
    if at.year < EARLIEST_YEAR or at > now + AHEAD:
        raise Fault("implausible_date", "occurred_at", _bounds(at.isoformat(), now + AHEAD))
    day = content["business_date"]
    if day.year < EARLIEST_YEAR or day > (now + AHEAD).date() + AHEAD:
        latest = (now + AHEAD).date() + AHEAD
        raise Fault("implausible_date", "business_date", _bounds(day.isoformat(), latest))


def _bounds(told: str, latest: date) -> str:
    last = latest.isoformat(timespec="minutes") if isinstance(latest, datetime) else latest.isoformat()
    return f"{told} is too long ago or in the future: {EARLIEST_YEAR}-01-01 to {last} is taken"


def _terms(content: Mapping[str, Any], money: str | None, functional: str) -> None:
    """A rate of the document's own, and its days to pay."""
    rate = content.get("rate_micro", MICRO)
    if not (isinstance(rate, int) and 1 <= rate <= RATE_MICRO_MAX):
        detail = f"millionths of {functional} for one {money} are expected, from 1 to {RATE_MICRO_MAX}"
        raise Fault("bad_rate", "rate_micro", detail)
    if money == functional and rate != MICRO:
        raise Fault("bad_rate", "rate_micro", f"{money} is the company's own currency: leave the rate out")
    days = content.get("due_days", 0)
    if not (isinstance(days, int) and 0 <= days <= DUE_DAYS_MAX):
        raise Fault("bad_value", "due_days", f"0 to {DUE_DAYS_MAX} days to pay are possible")


def _other_currency(draft: Draft, money: str, functional: str, world: World) -> None:
    """A document without a rate of its own takes the one that people put here; a credit has its order's."""
    if draft.kind == "receipt":
        raise Fault("bad_currency", "currency", f"stock is valued in {functional}, the company's own currency")
    if draft.kind not in RATED or draft.content.get("rate_micro", MICRO) != MICRO:
        return
    day = draft.content["business_date"]
    found = world.rates.get((money, functional, day))
    if found is None:
        detail = f"{money} is not the company's {functional}, and no rate at or shortly before {day} is known"
        raise Fault("missing_rate", "rate_micro", f"{detail}: PUT /v1/exchange-rates, then resubmit this")
    draft.content["rate_micro"] = found[0]
    if draft.kind == "order":
        draft.content["rate_date"] = found[1]


def _fits_the_books(amount: int, money: str, functional: str, rate: int) -> None:
    """The books keep both amounts, and both must fit their sums."""
    booked = amount * rate * 10 ** EXPONENTS[functional]
    if booked > TOTAL_MAX * MICRO * 10 ** EXPONENTS[money]:
        detail = (
            f"at this rate it comes to more than {TOTAL_MAX} minor units of {functional}; correct the rate or split it"
        )
        raise Fault("bad_rate", "rate_micro", detail)


def _numbered_apart(lines: Sequence[Any]) -> None:
    if len(lines) > 1:
        seen = {_get(line, "line_no") for line in lines}
        if len(seen) != len(lines):
            raise Fault("repeated_line", "lines", "two lines have the same number")


def _known_skus(company: str, lines: Sequence[Any], place: str, world: World) -> None:
    if not world.unknown_skus:
        return
    for index, (sku, goods) in enumerate(map(_sku, lines)):
        if goods and (company, sku) in world.unknown_skus:
            raise Fault("unknown_sku", f"{place}[{index}].sku", f"inventory knows no article {str(sku)[:64]!r}")


def _known_warehouses(draft: Draft, command: Any, world: World) -> None:
    """A misspelt warehouse must not be made up: its stock is empty, so that every order would be refused as short."""
    if draft.kind in ("order", "credit"):  # A service has no stock.
        named = [(f"{draft.lines_field}[{index}].warehouse", line) for index, line in enumerate(command.lines)]
        named = [(field, line) for field, line in named if line.kind == "goods" and line.sku != ALLOWANCE]
    else:
        named = [("warehouse", command)] if hasattr(command, "warehouse") else []
    for field, place in named:
        name = place.warehouse
        if (command.company, name) in world.unknown_warehouses:
            detail = f"nobody has described a warehouse {name!r} of {command.company}. Correct it, or describe it with"
            path = f"PUT /v1/companies/{command.company}/warehouses/{name}"
            raise Fault("unknown_warehouse", field, f"{detail} {path} and resubmit this")


def _sku(line: Any) -> tuple[str, bool]:
    """And whether inventory must know it: services and allowances have no stock; receipts and counts are goods."""
    if type(line) is dict:
        return line["sku"], line.get("kind", "goods") == "goods" and line["sku"] != ALLOWANCE
    return line.sku, getattr(line, "kind", "goods") == "goods" and line.sku != ALLOWANCE


def _get(line: Any, name: str) -> Any:
    return line[name] if type(line) is dict else getattr(line, name)


def _command(
    draft: Draft, satellite: Satellite, company: Company, document: UUID, ordinal: int, fingerprint: str
) -> Event:
    contract = CONTRACTS[draft.kind]
    content = draft.content
    own: dict[str, Any] = {
        "intake_id": UUID(int=document.int + ordinal),
        "source": satellite.satellite,
        "version": draft.version,
        "fingerprint": fingerprint,
    }
    if draft.kind == "order":  # Decided here, once; whoever hears of the order repeats it.
        own["control_passes"] = satellite.control_passes or company.control_passes
    lines = content.get("lines") or content.get("allocations") or ()
    try:
        if type(lines[0]) is dict if lines else "lines" not in content:
            return msgspec.convert({**content, **own}, contract)
        # Decoded by the contract's own types already: only the header's few texts are left to look at.
        command = contract(**content, **own)
        if not 0 < len(content["number"]) <= NUMBER_MAX:
            raise Fault("bad_text", "number", f"1 to {NUMBER_MAX} characters are possible")
        return command
    except msgspec.ValidationError as error:
        raise _of_contract(str(error), contract) from None


def _of_contract(message: str, contract: type[Event]) -> Fault:
    field, text = explained(message, contract)
    last = field.rpartition(".")[2]
    reason = "bad_quantity" if last.startswith("quantity") else "bad_amount" if last.endswith("_minor") else "bad_value"
    if "length" in message:
        reason = "bad_text"
    return Fault(reason, field, text)


def _own_rules(kind: str, command: Any) -> None:
    """What only one kind of document has to keep."""
    for name in NAMES[kind]:
        text = getattr(command, name)
        if not looks_plain(text):
            seen(name, text)
    if kind in ("order", "credit"):
        _short_enough("customer", command.customer)
        for index, line in enumerate(command.lines):
            if not line.sku.strip():
                raise Fault("missing", f"lines[{index}].sku", "an SKU is required")
            if not looks_plain(line.sku):
                seen(f"lines[{index}].sku", line.sku)
            if not (line.quantity_micro or line.net_minor or line.tax_minor):
                raise Fault("bad_quantity", f"lines[{index}]", "without quantity and amount it says nothing")
        if kind == "credit":
            _parts_in_turn(command.lines)
            for index, line in enumerate(command.lines):
                seen(f"lines[{index}].order_number", line.order_number)
        elif 2 * sum(abs(line.residual_minor) for line in command.lines) > len(command.lines):
            raise Fault("bad_amount", "lines.residual_minor", "a residual is at most half a minor unit for each line")
    elif kind == "payment":
        _short_enough("customer", command.customer)
        if command.fee_minor > command.received_minor:
            raise Fault("bad_amount", "fee_minor", "the fee is above what was received")
        for index, share in enumerate(command.allocations):
            seen(f"allocations[{index}].order_number", share.order_number)
        shares = [share.amount_minor or 0 for share in command.allocations]
        if any(share < 0 for share in shares):
            raise Fault("bad_amount", "allocations", "an allocation cannot be negative")
        if sum(shares) > command.received_minor:
            raise Fault("bad_amount", "allocations", "more is allocated than was received")
    elif kind == "adjustment":
        if not all(line.quantity_micro for line in command.lines):
            raise Fault("bad_quantity", "lines.quantity_micro", "a count difference of 0 says nothing")
    elif kind in ("confirmation", "delivery"):
        _short_enough("order_source", command.order_source)


def _parts_in_turn(lines: Sequence[order.CreditLine]) -> None:
    """A part that belongs to no line before it would be in no count."""
    before = 0
    for index, line in enumerate(lines):
        if line.part not in (1, before + 1):
            raise Fault("bad_value", f"lines[{index}].part", "parts of one line stand one behind another, from 1")
        before = line.part


def _short_enough(field: str, text: str) -> None:
    if len(text) > TEXT_MAX:
        raise Fault("bad_text", field, f"at most {TEXT_MAX} characters are possible")


def _count(kind: str, command: Any, lines: Sequence[Any]) -> int:
    """Lines of the source: the parts of one line are one."""
    return sum(line.part == 1 for line in command.lines) if kind == "credit" else len(lines)


def verdict_of(kind: str, command: Any) -> Verdict:
    """Of a command that left long ago: what its row said."""
    return _verdict(kind, command, _count(kind, command, getattr(command, "lines", ())))


def _verdict(kind: str, command: Any, count: int) -> Verdict:
    """With the sums that the agreement compares, and the journey that it belongs to."""
    quantity = amount = 0
    if kind in ("order", "credit"):
        for line in command.lines:
            quantity += line.quantity_micro
            amount += line.net_minor + line.tax_minor
    elif kind == "payment":
        amount = command.received_minor
    elif kind == "refund":
        amount = command.paid_minor
    else:
        quantity = sum(line.quantity_micro for line in command.lines)
        if kind == "receipt":
            amount = sum(line.value_minor for line in command.lines)
    if abs(quantity) > TOTAL_MAX or amount > TOTAL_MAX:
        raise Fault("bad_amount", "lines", f"the lines add up to more than {TOTAL_MAX}; split the document")
    source, order_no = _named_order(kind, command)
    if order_no:
        chain = event_id("order", command.company, source, order_no)
    else:
        chain = event_id(kind, command.company, command.source, command.number)
    return Verdict(kind, command, chain, order_no, count, quantity, amount)


def _named_order(kind: Literal["order", "cancel"] | str, command: Any) -> tuple[str, str]:
    """(source, number) of the one order that it belongs to; ("", "") where there is none, or several."""
    if kind == "order":
        return command.source, command.number
    if kind == "cancel":
        return command.source, command.order_number
    if kind == "credit":
        named = {line.order_number or command.order_number for line in command.lines} - {""}
        return (command.source, named.pop()) if len(named) == 1 else ("", "")
    if kind == "payment":
        orders = {(share.order_source, share.order_number) for share in command.allocations}
        return orders.pop() if len(orders) == 1 else ("", "")
    if kind in ("refund", "confirmation", "delivery"):
        return (command.order_source, command.order_number) if command.order_number else ("", "")
    return "", ""
