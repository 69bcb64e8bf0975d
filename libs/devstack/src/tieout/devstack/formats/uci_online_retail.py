"""The format `uci-online-retail`: CSV files (also .gz) of the UCI "Online Retail" data as documents for the gateway.

The data is public: "Online Retail" (https://archive.ics.uci.edu/dataset/352/online+retail) and its longer successor
"Online Retail II" (https://archive.ics.uci.edu/dataset/502/online+retail+ii), a spreadsheet each: save its sheets as
CSV. Columns: InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice (GBP, without VAT), CustomerID,
Country; the second one calls three of them Invoice, Price and Customer ID. Dates are like 2010-12-01 08:26:00.
Invoices are grouped over all files of a run (some are interleaved), ordered by time and number, classified and linked
by `uci_rules`. There are no payments in the data: orders end billed and unpaid.
"""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from tieout.devstack.formats import Article, Document, FormatError, Measured, Run, Setup, lines_of
from tieout.devstack.formats.uci_rules import (
    NO_CUSTOMER,
    Fault,
    Invoice,
    Kind,
    Line,
    Linker,
    Opening,
    classify,
    split_amount,
)

COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
COLUMNS_II = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"]
SOURCE = (
    "The data is public, https://archive.ics.uci.edu/dataset/352/online+retail (or 502/online+retail+ii): "
    "save the sheets of its spreadsheet as CSV"
)
ZONE = "Europe/London"
COMPANY = "UCI"
SATELLITE = "uci"
MICRO = 1_000_000
OPENING_LINES = 5_000  # Per opening receipt; one document has to fit into one message.

_encode = msgspec.json.Encoder().encode
_zone = ZoneInfo(ZONE)


def read(files: Sequence[Path], opening: str) -> Run:
    """All documents of these files in business order. `opening`: "auto" or "none" (then sales find no stock)."""
    rows, content_hash = _rows(files)
    invoices = sorted(_invoices(rows), key=_business_order)
    if not invoices:
        raise FormatError("The files hold no invoice. Name at least one file with rows below its heading.")
    kinds = [classify(invoice) for invoice in invoices]
    stock = Opening()
    for invoice, (kind, _) in zip(invoices, kinds, strict=True):
        if kind in ("sale", "credit", "adjustment"):
            stock.note(invoice, kind)
    setup = Setup(
        company=COMPANY,
        company_name="UCI Online Retail",
        currency="GBP",
        zone=ZONE,
        satellite=SATELLITE,
        articles=tuple(Article(sku, name, stock.cost(sku)) for sku, name in sorted(stock.names.items())),
    )
    first_day = invoices[0].at.date() - timedelta(days=1)
    receipts = tuple(_opening_receipts(stock, first_day, content_hash)) if opening == "auto" else ()
    documents = _documents(invoices, kinds)
    return Run(setup=setup, opening=receipts, documents=documents, input=_measure(invoices))


def _rows(files: Sequence[Path]) -> tuple[Iterator[list[str]], str]:
    """The rows of all files, and a hash of their content: the same files have the same opening stock."""
    content = hashlib.sha256()
    rows: list[list[str]] = []
    for file in files:
        if not file.exists():
            raise FormatError(f"{file} does not exist. {SOURCE}.")
        digest = hashlib.sha256()

        def text(file: Path = file, digest: "hashlib._Hash" = digest) -> Iterator[str]:
            for line in lines_of(file):
                digest.update(line.encode())
                yield line

        reader = csv.reader(text())
        if next(reader, None) not in (COLUMNS, COLUMNS_II):
            raise FormatError(f"{file}: the first line must be {','.join(COLUMNS)}. {SOURCE}.")
        for row in reader:
            if len(row) != len(COLUMNS):
                raise FormatError(f"{file}, line {reader.line_num}: {len(row)} fields instead of {len(COLUMNS)}.")
            rows.append(row)
        content.update(digest.digest())
    return iter(rows), content.hexdigest()


def _invoices(rows: Iterator[list[str]]) -> Iterator[Invoice]:
    grouped: dict[str, list[list[str]]] = defaultdict(list)
    for row in rows:
        grouped[row[0].strip().upper()].append(row)
    for number, group in grouped.items():
        lines = tuple(_line(line_no, row) for line_no, row in enumerate(group, 1))
        yield Invoice(
            number=number,
            at=min(_minute(row) for row in group),
            customer=_customer(group[0][6]),
            same_header=len({(row[6], row[7]) for row in group}) == 1,
            lines=lines,
            fingerprint=hashlib.sha256("\x1e".join("\x1f".join(row) for row in group).encode()).hexdigest(),
        )


def _business_order(invoice: Invoice) -> tuple[datetime, str, str]:
    """By time, then by number: sales and credits share one numbering, and the C in front is no part of it."""
    return invoice.at, invoice.number.lstrip("AC"), invoice.number


def _line(line_no: int, row: list[str]) -> Line:
    quantity, price = _number(row[3]), _number(row[5], MICRO)
    return Line(
        line_no,
        row[1].strip().upper(),
        row[2].strip(),
        quantity,
        price,
        quantity_text=row[3],
        price_text=row[5],
    )


def _number(text: str, scale: int = 1) -> int | None:
    """The number in units of 1/scale; None where the text is none, or finer than that."""
    try:
        scaled = Decimal(text.strip()) * scale
        return int(scaled) if scaled.is_finite() and scaled == int(scaled) and abs(scaled) < 10**15 else None
    except (InvalidOperation, OverflowError):
        return None


def _minute(row: list[str]) -> datetime:
    try:
        return datetime.fromisoformat(row[4].strip())
    except ValueError:
        raise FormatError(f"Invoice {row[0]}: InvoiceDate {row[4]!r} is not like 2010-12-01 08:26:00.") from None


def _customer(text: str) -> str:
    """Ids came through a spreadsheet: 17850.0 is customer 17850."""
    return text.strip().removesuffix(".0") or NO_CUSTOMER


def _measure(invoices: Sequence[Invoice]) -> dict[str, Measured]:
    months: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for invoice in invoices:
        month = months[f"{invoice.at:%Y-%m}"]
        month[0] += 1
        for line in invoice.lines:
            month[1] += 1
            month[2] += (line.quantity or 0) * MICRO
            month[3] += line.amount
            month[4] += line.rounding_micro
    return {name: Measured(*values) for name, values in sorted(months.items())}


def _opening_receipts(stock: Opening, day: date, content_hash: str) -> Iterator[Document]:
    skus = sorted(sku for sku, quantity in stock.outflow.items() if quantity)
    for part, start in enumerate(range(0, len(skus), OPENING_LINES), 1):
        number = f"OPENING-{content_hash[:16]}-{part}"
        lines = [
            {
                "line_no": line_no,
                "sku": sku,
                "quantity_micro": stock.outflow[sku] * MICRO,
                "value_minor": stock.outflow[sku] * stock.cost(sku),
            }
            for line_no, sku in enumerate(skus[start : start + OPENING_LINES], 1)
        ]
        head = _head("receipt", number, datetime(day.year, day.month, day.day, 12), "")
        body = {**head, "receipt_kind": "opening", "warehouse": "MAIN", "currency": "GBP", "lines": lines}
        yield Document("receipt", number, _encode(body))


def _documents(invoices: Sequence[Invoice], kinds: Sequence[tuple[Kind, Fault | None]]) -> list[Document]:
    """Canonical documents in business order."""
    linker = Linker()
    documents: list[Document] = []
    for invoice, (kind, fault) in zip(invoices, kinds, strict=True):
        if kind == "sale":
            linker.note_sale(invoice)
            document = _order(invoice)
        elif kind == "credit":
            document = _credit(invoice, linker)
        elif kind == "adjustment":
            document = _adjustment(invoice)
        else:
            document = _refused(invoice, kind, fault)
        documents.append(document)
    return documents


def _head(kind: str, number: str, at: datetime, fingerprint: str) -> dict[str, object]:
    instant = at.replace(tzinfo=_zone).astimezone(UTC)
    head: dict[str, object] = {
        "kind": kind,
        "company": COMPANY,
        "number": number,
        "version": "1",
        "occurred_at": f"{instant:%Y-%m-%dT%H:%M:%SZ}",
        "zone": ZONE,
        "business_date": f"{at:%Y-%m-%d}",
    }
    if fingerprint:
        head["fingerprint"] = fingerprint  # Links are derived, not content: a later run may link the same credit.
    return head


def _order(invoice: Invoice) -> Document:
    lines = []
    for line in invoice.lines:
        entry = _priced(line)
        entry["unit_price_micro"] = line.price_micro
        lines.append(entry)
    head = _head("order", invoice.number, invoice.at, invoice.fingerprint)
    body = {**head, "customer": invoice.customer, "currency": "GBP", "lines": lines}
    return Document("order", invoice.number, _encode(body))


def _priced(line: Line) -> dict[str, object]:
    entry: dict[str, object] = {
        "line_no": line.line_no,
        "sku": line.sku,
        "quantity_micro": abs(line.quantity or 0) * MICRO,
        "net_minor": abs(line.amount),
    }
    if not line.is_goods:
        entry["kind"] = "service"
        entry["account"] = line.account
    if line.rounding_micro:
        entry["rounding_micro"] = line.rounding_micro
    return entry


def _credit(invoice: Invoice, linker: Linker) -> Document:
    """A credit note. A line that takes from several sales is sent in parts: each of them a line, together one."""
    lines = []
    next_no = len(invoice.lines) + 1
    for line in invoice.lines:
        links = linker.link(invoice.customer, line).links
        entry = _priced(line)
        if line.is_goods:
            entry["restock"] = "yes"
        if not links:
            lines.append(entry)
            continue
        quantity = abs(line.quantity or 0)
        shares = split_amount(abs(line.amount), quantity, [link.quantity for link in links])
        for ordinal, (link, share) in enumerate(zip(links, shares, strict=True), 1):
            part = dict(entry)
            if ordinal > 1:
                part["part"] = ordinal
                part["line_no"], next_no = next_no, next_no + 1  # Numbered behind the source's own lines.
                part.pop("rounding_micro", None)
            part["quantity_micro"] = link.quantity * MICRO
            part["net_minor"] = share
            part["order_number"] = link.order_number
            part["order_line_no"] = link.order_line_no
            lines.append(part)
    head = _head("credit", invoice.number, invoice.at, invoice.fingerprint)
    body = {**head, "customer": invoice.customer, "currency": "GBP", "lines": lines}
    return Document("credit", invoice.number, _encode(body))


def _adjustment(invoice: Invoice) -> Document:
    head = _head("adjustment", invoice.number, invoice.at, invoice.fingerprint)
    lines = [
        {"line_no": line.line_no, "sku": line.sku, "quantity_micro": (line.quantity or 0) * MICRO}
        for line in invoice.lines
    ]
    reason = invoice.lines[0].name[:100]
    body = {**head, "warehouse": "MAIN", "reason": reason, "lines": lines}
    return Document("adjustment", invoice.number, _encode(body))


def _refused(invoice: Invoice, kind: Kind, fault: Fault | None) -> Document:
    """As it stands, signs and all, so that the gateway refuses it and keeps it with the reason."""
    lines = [
        {
            "line_no": line.line_no,
            "sku": line.sku,
            "quantity_micro": line.quantity_text if line.quantity is None else line.quantity * MICRO,
            "net_minor": line.amount,
            "unit_price_micro": line.price_text if line.price_micro is None else line.price_micro,
        }
        for line in invoice.lines
    ]
    sent_as = "write_off" if kind == "write_off" else "credit" if invoice.number.startswith("C") else "order"
    head = _head(sent_as, invoice.number, invoice.at, invoice.fingerprint)
    body = {**head, "customer": invoice.customer, "currency": "GBP", "lines": lines}
    if fault is not None:
        body["fault"] = {"reason": fault.reason, "field": fault.field, "detail": fault.detail}
    return Document(sent_as, invoice.number, _encode(body))
