"""What must agree between the books, and how a service shows its side of it.

A measure belongs to the events of one producer and is keyed by that producer's outbox position and a line number, so
all its books compare the same set: rows with `position <= watermark`. See docs/agreement.md for the method.
"""

from msgspec import Struct
from tieout.contracts.reason import Reason

LEAF_BITS = 8  # A leaf is a range of 256 positions.
BRANCH_BITS = 8  # A branch is 256 leaves.
WAITS_FOR_APPROVAL = "waits for approval"  # Reason of a parked message that two people must look at first.
BEFORE_ALL = -(1 << 63)  # Below every position, also those that only a hand writes.
DIGEST_VERSION = 2  # Of hashes and leaves; sides that differ in it must not be compared.


class Book(Struct, frozen=True):
    """One side of a measure. `durables` are the consumers whose acknowledgement fills it; none for the producer."""

    service: str
    name: str  # Unique within the service; what `digest_attach` was given.
    durables: tuple[str, ...] = ()


class Measure(Struct, frozen=True):
    number: int
    name: str
    title: str
    title_zh: str
    producer: str
    values: tuple[str, str]  # What the two compared columns hold; "" where one is unused.
    books: tuple[Book, ...]
    open_state: str  # What may legitimately be in flight.


MEASURES = (
    Measure(
        1,
        "submitted",
        "sales documents handed over",
        "已提交销售单据",
        "gateway",
        ("quantity_micro", "amount_minor"),
        (
            Book("gateway", "command"),
            Book(
                "order",
                "submission",
                ("order-place-orders", "order-request-cancellations", "order-accept-credits"),
            ),
        ),
        "handed over, not yet accepted",
    ),
    Measure(
        2,
        "ordered",
        "ordered quantity and amount",
        "订购数量与金额",
        "order",
        ("quantity_micro", "amount_minor"),
        (Book("order", "order_line"), Book("inventory", "demand", ("inventory-reserve-stock",))),
        "placed, not yet decided by inventory",
    ),
    Measure(
        3,
        "stopped",
        "refused and cancelled quantity",
        "拒绝与取消数量",
        "inventory",
        ("quantity_micro", ""),
        (Book("inventory", "stop"), Book("order", "stop", ("order-note-inventory",))),
        "stopped, not yet noted on the order",
    ),
    Measure(
        4,
        "shipped",
        "shipped quantity, and delivered where control passes then",
        "发货数量,交付时转移控制权的另计交付数量",
        "inventory",
        ("quantity_micro", ""),
        (
            Book("inventory", "shipped_line"),
            Book("order", "shipped_line", ("order-note-inventory",)),
            Book("finance", "billed_quantity", ("finance-bill-shipments",)),
        ),
        "shipped, not yet posted",
    ),
    Measure(
        5,
        "stock_value",
        "stock moves and their value",
        "库存变动与金额",
        "inventory",
        ("quantity_micro", "value_minor"),
        (
            Book("inventory", "move"),
            Book("finance", "stock_value", ("finance-bill-shipments", "finance-post-stock")),
        ),
        "moved, not yet posted",
    ),
    Measure(
        6,
        "billed",
        "billed net and tax",
        "开票净额与税额",
        "inventory",
        ("net_minor", "tax_minor"),
        (
            Book("order", "billed", ("order-note-inventory",)),
            Book("finance", "billed", ("finance-bill-shipments",)),
        ),
        "shipped or delivered, not yet billed",
    ),
    Measure(
        7,
        "credited",
        "credited net and tax",
        "贷项净额与税额",
        "order",
        ("net_minor", "tax_minor"),
        (Book("order", "credit"), Book("finance", "credit", ("finance-credit-returns",))),
        "credited, not yet posted",
    ),
    Measure(
        8,
        "returned",
        "returned quantity",
        "退货数量",
        "order",
        ("quantity_micro", ""),
        (Book("order", "restock"), Book("inventory", "take_back", ("inventory-take-back",))),
        "goods in return",
    ),
    Measure(
        9,
        "settled",
        "money applied to orders",
        "已核销金额",
        "finance",
        ("amount_minor", ""),
        (Book("finance", "settlement"), Book("order", "settlement", ("order-note-settlements",))),
        "applied, not yet noted on the order",
    ),
    Measure(
        10,
        "in_transit",
        "goods on their way and their cost",
        "发出商品数量与成本",
        "inventory",
        ("quantity_micro", "value_minor"),
        (
            Book("inventory", "transit"),
            Book("finance", "transit", ("finance-bill-shipments", "finance-post-stock")),
        ),
        "sent, delivered or stopped, not yet posted",
    ),
    Measure(
        11,
        "money_submitted",
        "payments and refunds handed over",
        "已提交收款与退款",
        "gateway",
        ("amount_minor", ""),
        (Book("gateway", "money_command"), Book("finance", "money_submission", ("finance-book-cash",))),
        "handed over, not yet booked",
    ),
    Measure(
        12,
        "stock_submitted",
        "stock documents handed over",
        "已提交库存单据",
        "gateway",
        ("quantity_micro", "value_minor"),
        (
            Book("gateway", "stock_command"),
            Book(
                "inventory",
                "submission",
                (
                    "inventory-receive-goods",
                    "inventory-adjust-stock",
                    "inventory-confirm-shipments",
                    "inventory-confirm-deliveries",
                ),
            ),
        ),
        "handed over, not yet obeyed",
    ),
)


class Mark(Struct, frozen=True):
    """`rpc.<service>.mark`: how far the service's own positions are closed and published."""

    position: int  # M: every event with pos <= M has been committed and published, for ever.
    sequences: dict[str, int]  # Q per stream: the highest stream sequence among them.
    last_position: int  # The highest number given out, closed or not.
    oldest_writer: str = ""  # The transaction that holds M back, if one is older than a second.
    unpublished: int = 0  # Events in the outbox that the broker has not taken for seconds: committed, but above M.
    unpublished_seconds: float = 0.0  # How long the oldest of them waits.


class BookUpto(Struct, frozen=True, array_like=True):
    measure: int
    book: str
    upto: int  # Rows with position <= upto.


class TotalsRequest(Struct, frozen=True):
    """`rpc.<service>.totals`: of any of its books in one question. A million orders cost what a thousand do."""

    books: tuple[BookUpto, ...]
    version: int = DIGEST_VERSION


class MarkRequest(Struct, frozen=True, omit_defaults=True):
    """`rpc.<service>.mark`: its mark; and, where others' marks are known already, its totals in the same answer."""

    totals: TotalsRequest | None = None


class DigestRequest(Struct, frozen=True):
    """`rpc.<service>.digest`: a total, or one level of the tree below it."""

    measure: int
    book: str
    upto: int  # Rows with position <= upto.
    leaves: bool = False  # One entry per leaf.
    version: int = DIGEST_VERSION
    by_branch: bool = False  # One entry per branch.
    branches: tuple[int, ...] = ()  # Leaves of these branches only; none: of all.


class DigestEntry(Struct, frozen=True, array_like=True):
    leaf: int  # Or branch; -1 for a total.
    rows: int
    a: int
    b: int
    hash: str  # A decimal number of any size.


class Digest(Struct, frozen=True):
    entries: tuple[DigestEntry, ...]  # Totals: in the order of the question.
    highest: tuple[int, ...] = ()  # Totals: the highest position that each book holds at all; BEFORE_ALL: none.


class MarkAnswer(Mark, frozen=True, omit_defaults=True):
    digest: Digest | None = None  # The totals that were asked for.


class PositionsRequest(Struct, frozen=True):
    """`rpc.<service>.positions`: which positions of some leaves hold the same, without their rows."""

    measure: int
    book: str
    upto: int
    leaves: tuple[int, ...]  # At most LEAVES_PER_QUESTION.
    version: int = DIGEST_VERSION


LEAVES_PER_QUESTION = 256


class Positions(Struct, frozen=True):
    """256 hashes of 8 bytes (little endian) per leaf, in the order of the question; 0: no rows."""

    hashes: bytes


class SumsRequest(Struct, frozen=True):
    """`rpc.<service>.sums`: a book's totals per currency, for people; the digests are what is compared."""

    measure: int
    book: str
    upto: int


class CurrencySum(Struct, frozen=True):
    currency: str
    rows: int
    a: int
    b: int


class CurrencySums(Struct, frozen=True):
    sums: tuple[CurrencySum, ...]  # By currency; none where the book does not know its currencies.


class RowsRequest(Struct, frozen=True):
    """`rpc.<service>.rows`: the rows of some positions, at most `limit`."""

    measure: int
    book: str
    upto: int
    positions: tuple[int, ...]
    limit: int = 20_000
    version: int = DIGEST_VERSION
    after: int = BEFORE_ALL  # Rows with position > after: the next page, where the last one was truncated.
    sequences: bool = False  # Of a producer's own events: also where they stand in its stream.


class Row(Struct, frozen=True, array_like=True):
    position: int
    line_no: int
    chain_id: str
    order_no: str
    a: int
    b: int
    currency: str = ""  # Of its money, where the book knows it.


class Waiting(Struct, frozen=True, array_like=True):
    """A parked message: it came, and waits for something."""

    position: int
    flow: str
    key: str
    reason: str
    since: str  # RFC 3339 UTC.


class Touch(Struct, frozen=True, omit_defaults=True):
    """A row that somebody touched; `counted`, `a` and `b` are what it held in the book before."""

    position: int
    line_no: int
    op: str  # Of the first touch: INSERT, UPDATE, DELETE.
    who: str
    at: str
    counted: bool
    a: int = 0
    b: int = 0
    settled: bool = False  # Corrected since.


class Rows(Struct, frozen=True):
    rows: tuple[Row, ...]
    waiting: tuple[Waiting, ...] = ()  # What of the asked positions is parked here,
    touches: tuple[Touch, ...] = ()  # and what of them a hand has touched.
    truncated: bool = False
    sequences: dict[int, int] = {}  # As in Sequences.


class Sequences(Struct, frozen=True):
    """`rpc.<service>.sequences`: stream sequence per position of the producer's own outbox; 0 where unpublished."""

    sequences: dict[int, int]
    lost: tuple[int, ...] = ()  # Positions whose message the stream does not hold as it was published.


class SequencesRequest(Struct, frozen=True):
    positions: tuple[int, ...]
    audit: bool = False  # Compare with the stream as well, at most AUDITED_MAX positions.


AUDITED_MAX = 200


class PublishAgainRequest(Struct, frozen=True):
    """`rpc.<service>.publish_again`: what the broker lost of these positions, out of the service's own outbox."""

    positions: tuple[int, ...]


class PublishedAgain(Struct, frozen=True):
    messages: int  # That were missing and stand in the stream again.
    unknown: tuple[int, ...] = ()  # Positions that the outbox does not hold (any more).


class HeldLine(Struct, frozen=True):
    """What a book held at a place when a repair was previewed; `a` and `b` as its measure names them."""

    position: int
    line_no: int
    present: bool
    a: int = 0
    b: int = 0


class RebookRequest(Struct, frozen=True):
    """`rpc.<service>.rebook`: facts that reverse what hands did to these positions and book again what stood there.

    Of every book that the touched table fills; nothing is edited. May come twice: what is right already is left.
    `held` is compared at the moment of booking: a position whose book holds something else by then is left alone and
    told. `surplus`: these lines are of no event, and are taken out without anything in their place.
    """

    measure: int
    book: str
    positions: tuple[int, ...]
    repair_id: str
    actor: str
    reason: Reason
    held: tuple[HeldLine, ...] = ()  # Empty: nothing is compared.
    surplus: bool = False


class Rebooked(Struct, frozen=True):
    rows: int  # Correcting facts that were booked.
    books: tuple[str, ...] = ()
    changed: tuple[int, ...] = ()  # Positions whose book holds something else than `held`: nothing was booked there.


class Violation(Struct, frozen=True, omit_defaults=True):
    """A balance that a service keeps and that is not the sum of its own facts, or a row touched by hand."""

    rule: str
    key: str  # What is wrong: an SKU, a voucher, an order number.
    kept: str
    facts: str
    detail: str = ""


class ViolationsRequest(Struct, frozen=True):
    """`rpc.<service>.violations`: a whole look that begins now. It goes on, whoever stops waiting for it."""

    wait_seconds: float = 20.0  # Afterwards what the look before this one found is told.


class Unchecked(Struct, frozen=True):
    """A rule of which nobody knows whether it holds: its check did not come to its end."""

    rule: str
    why: str


class Violations(Struct, frozen=True, omit_defaults=True):
    """`rpc.<service>.violations`, `rpc.<service>.findings`"""

    rules: tuple[str, ...]  # All that were checked.
    violations: tuple[Violation, ...]
    at: str = ""  # RFC 3339 UTC: when the last whole look began. Empty: none has ended since the service started.
    under_way: bool = False  # A newer one did not end in the time that was given.
    failed: str = ""  # Why the newest look did not come to its end: nobody knows what it would have found.
    unchecked: tuple[Unchecked, ...] = ()  # Rules that a look gave up; `violations` has what was known of them before.


class SettingsChangesRequest(Struct, frozen=True):
    """`rpc.<service>.settings_changes`: who changed which setting, the newest first."""

    before: str = ""  # RFC 3339: changes that are older, the next page. Empty: from the newest.
    table: str = ""
    by_hand: bool = False  # Only those that did not come from the service itself.
    limit: int = 100


class SettingsChange(Struct, frozen=True):
    """One row of one settings table. Secrets stand there as fingerprints, which only say whether they changed."""

    service: str
    number: int  # Within the service's log.
    at: str  # RFC 3339 UTC.
    table: str
    op: str  # INSERT, UPDATE, DELETE; FIRST: was there when the log began; UNSEEN: its triggers were disabled.
    source: str  # service, migration, hand
    key: str  # JSON.
    before: str  # JSON; empty: was not there.
    after: str
    who: str  # The database role.
    actor: str  # Whom the service did it for, where it said so.


class SettingsChanges(Struct, frozen=True):
    changes: tuple[SettingsChange, ...]
    tables: tuple[str, ...] = ()  # All whose changes the service logs.


class RestartFlowRequest(Struct, frozen=True):
    """`rpc.<service>.restart_flow`: a flow that stands still shall ask for its messages anew."""

    flow: str
    actor: str
    reason: Reason
    give_up_unreadable: bool = False  # What stops it because it cannot be read becomes dead letters.


class RestartedFlow(Struct, frozen=True):
    flow: str
    stopped: bool = False  # Because most of its messages fail; it probes by itself.
