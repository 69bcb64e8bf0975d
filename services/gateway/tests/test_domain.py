"""Amounts, mappings and the form of bodies: rules without servers."""

import contextlib
import gzip
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from tieout.contracts.currency import EXPONENTS
from tieout.contracts.event import document_id, order_id
from tieout.contracts.order import OrderLine
from tieout.gateway import identifiers
from tieout.gateway.channels.canonical import KINDS
from tieout.gateway.channels.registry import CHANNELS
from tieout.gateway.domain import pricing
from tieout.gateway.domain.amounts import half_up, micro_of_text, round_micro, round_pico
from tieout.gateway.domain.drafts import Company, Satellite, World
from tieout.gateway.domain.faults import Fault
from tieout.gateway.domain.judging import judge
from tieout.gateway.intake.splitting import Caps, Exceeded, Inflater, depth_exceeds, split
from tieout.gateway.known_fields import strict
from tieout.gateway.mapping import SpecError, compile_mapping

# ---------------------------------------------------------------------------------------------------- amounts


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=6))
def test_decimals_become_exact_millionths(value):
    assert micro_of_text(str(value)) == int(value * 1_000_000)


@pytest.mark.parametrize("text", ["", "1,5", "NaN", "Infinity", "1e400", "-1e99", "0.0000001", "1.2.3", "0x10", "十"])
def test_what_is_no_exact_decimal_is_refused(text):
    with pytest.raises(ValueError):
        micro_of_text(text)


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**13))
def test_rounding_is_half_away_from_zero(numerator, denominator):
    assert half_up(5, 10) == 1
    assert half_up(-numerator, denominator) == -half_up(numerator, denominator)
    assert 2 * abs(half_up(numerator, denominator) * denominator - numerator) <= denominator


@given(st.integers(0, 10**12), st.integers(1, 10**10), st.sampled_from([0, 2, 3, 4]))
def test_rounded_and_taken_away_make_the_exact_amount(price_micro, quantity_micro, exponent):
    exact = price_micro * quantity_micro
    amount = round_pico(exact, exponent)
    per_minor = 10 ** (12 - exponent)
    assert 2 * abs(exact - amount.minor * per_minor) <= per_minor
    told = amount.minor * 1_000_000 + amount.rounding_micro
    assert abs(told * per_minor - exact * 1_000_000) <= per_minor


def test_minor_units_follow_the_currency():
    assert [EXPONENTS[code] for code in ("CNY", "JPY", "KWD")] == [2, 0, 3]
    assert [round_micro(1_500_000, EXPONENTS[code]) for code in ("CNY", "JPY", "KWD")] == [150, 2, 1500]


def line(net, tax=0):
    return {"net_minor": net, "tax_minor": tax}


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30), st.integers(-40, 40))
def test_a_header_is_kept_or_refused_and_never_lost(nets, difference):
    lines = [line(net + 100) for net in nets]
    total = sum(entry["net_minor"] for entry in lines) + difference
    try:
        tied = pricing.tie_to_header(lines, total, "total")
    except Fault:
        assert 2 * abs(difference) > len(lines)
        return
    assert 2 * abs(difference) <= len(lines)
    assert sum(entry["net_minor"] for entry in tied) == total
    assert sum(entry.get("rounding_micro", 0) for entry in tied) == -difference * 1_000_000
    assert sum(entry.get("residual_minor", 0) for entry in tied) == difference


WORLD = World({"C1": Company("C1", "CNY", "Asia/Shanghai"), "C2": Company("C2", "EUR", "Europe/Berlin")}, set())
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


# --------------------------------------------------------------------------------------------------- mappings


def mapped(fields, document, satellite=None):
    return compile_mapping(fields)(document, satellite or {})


def test_a_mapping_says_where_things_stand():
    fields = {
        "plain": "a.b",
        "cast": {"from": "price", "cast": "micro"},
        "first": {"from": ["x", "y"], "cast": "text"},
        "default": {"from": "z", "default": "none"},
        "sender": {"from": "z", "default_from": "satellite.zone"},
        "fixed": {"const": 7},
        "joined": {"concat": ["= no. ", "n"]},
        "total": {"sum": "taxes.price", "cast": "micro"},
        "inner": {"fields": {"b": "a.b"}},
        "lines": {
            "each": "items",
            "ordinal": "line_no",
            "unless": {"path": "quantity", "is": [0]},
            "fields": {"sku": {"from": "sku", "cast": "text"}, "currency": "^.currency"},
        },
        "word": {"from": "flag", "map": {"true": "yes", "false": "no"}},
        "kept": {"from": "service", "map": {"manual": ""}, "otherwise": "keep"},
    }
    document = {
        "a": {"b": 1},
        "price": "1.50",
        "y": 12,
        "n": 3,
        "taxes": [{"price": "0.10"}, {}, {"price": 0.2}],
        "items": [{"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 0}, {"sku": "C", "quantity": 2}],
        "currency": "CNY",
        "flag": True,
        "service": "EAST",
    }
    found = mapped(fields, document, {"zone": "UTC"})
    for entry in found["lines"]:
        entry.pop("_at")
    assert found == {
        "plain": 1,
        "cast": 1_500_000,
        "first": "12",
        "default": "none",
        "sender": "UTC",
        "fixed": 7,
        "joined": "no. 3",
        "total": 300_000,
        "inner": {"b": 1},
        "lines": [{"sku": "A", "currency": "CNY", "line_no": 1}, {"sku": "C", "currency": "CNY", "line_no": 2}],
        "word": "yes",
        "kept": "EAST",
    }


@pytest.mark.parametrize(
    ("spec", "document", "reason", "field"),
    [
        ({"from": "a", "required": True}, {}, "missing", "a"),
        ({"from": "a.b", "cast": "text"}, {"a": {"b": []}}, "wrong_type", "a.b"),
        ({"from": "a", "cast": "micro"}, {"a": "x"}, "bad_amount", "a"),
        ({"from": "a", "cast": "micro"}, {"a": True}, "bad_amount", "a"),
        ({"from": "a", "cast": "instant"}, {"a": "2026-02-30T00:00:00Z"}, "implausible_date", "a"),
        ({"from": "a", "cast": "currency"}, {"a": "eur"}, "bad_currency", "a"),
        ({"from": "a", "map": {"x": 1}}, {"a": {"deep": 1}}, "bad_value", "a"),
        ({"sum": "a.b"}, {"a": [{"b": 1}, {"b": "x"}]}, "bad_amount", "a[1].b"),
        ({"sum": "a.b"}, {"a": "x"}, "wrong_type", "a"),
        ({"each": "a", "fields": {"b": {"from": "b", "required": True}}}, {"a": [{"b": 1}, {}]}, "missing", "a[1].b"),
        ({"each": "a", "fields": {"b": "b"}}, {"a": [1]}, "wrong_type", "a[0]"),
        ({"each": "a", "required": True, "fields": {}}, {"a": []}, "missing", "a"),
        ({"each": "a", "fields": {}}, {"a": [{}] * 10_001}, "too_many", "a"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_path(spec, document, reason, field):
    with pytest.raises(Fault) as caught:
        mapped({"f": spec}, document)
    assert (caught.value.reason, caught.value.field) == (reason, field)


@pytest.mark.parametrize(
    "spec", [7, {}, {"from": "a", "cast": "magic"}, {"from": "a", "colour": 1}, {"sum": "a"}, "a..b", {"concat": "a"}]
)
def test_a_wrong_mapping_is_refused_when_it_is_compiled(spec):
    with pytest.raises(SpecError, match=r"mapping\.f"):
        compile_mapping({"f": spec})


TEXT = st.text("aé1.-+eE:T0Z\u0000\ufffd\U0001f600", max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SHOP = {
    "id": 1,
    "name": "#7",
    "created_at": "2026-11-30T10:00:00Z",
    "currency": "CNY",
    "total_price": "12.00",
    "customer": {"id": 1},
    "line_items": [{"id": 1, "sku": "A", "quantity": 1, "price": "10.00", "tax_lines": [{"price": "1.00"}]}],
    "shipping_lines": [{"price": "1.00"}],
}
TILL = {
    "kind": "order",
    "company": "C1",
    "number": "7",
    "occurred_at": "2026-11-30T10:00:00Z",
    "customer": "17",
    "currency": "CNY",
    "lines": [{"line_no": 1, "sku": "A", "quantity_micro": 1_000_000, "net_minor": 5}],
}
SETTINGS = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def places(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(value, path, other):
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], other)
    return copy


@SETTINGS
@given(st.sampled_from([("tieout", TILL), ("shopify-orders", SHOP)]), st.randoms(use_true_random=False), JSON)
def test_whatever_stands_in_one_place_of_a_document_no_channel_stumbles(document, chance, other):
    channel, body = CHANNELS[document[0]], document[1]
    content = msgspec.json.encode(changed(body, chance.choice(list(places(body))), other))
    satellite = Satellite("s", ("C1",))
    with contextlib.suppress(Fault):
        for draft in channel.map(channel.read(content, "orders/create"), satellite, None).drafts:
            verdict = judge(draft, satellite, WORLD, NOW, UUID(int=1 << 20), 1)
            msgspec.json.decode(msgspec.json.encode(verdict.command), type=type(verdict.command))
    channel.summary(content, "orders/create", satellite)


@given(st.binary(max_size=200), st.sampled_from(sorted(CHANNELS)))
def test_no_bytes_make_a_channel_stumble(body, channel):
    satellite = Satellite("s")
    with pytest.raises(Fault):
        CHANNELS[channel].map(CHANNELS[channel].read(body, "orders/create"), satellite, None)
    CHANNELS[channel].summary(body, "orders/create", satellite)


# ---------------------------------------------------------------------------------------------------- judging


def judged(**change):
    body = {
        "kind": "order",
        "company": "C1",
        "number": "7",
        "occurred_at": "2026-11-30T15:59:59Z",
        "customer": "17",
        "currency": "CNY",
        "lines": [{"line_no": 1, "sku": "A", "quantity_micro": 1_000_000, "net_minor": 5}],
        **change,
    }
    channel, satellite = CHANNELS["tieout"], Satellite("till", zone="Asia/Shanghai")
    body = {name: value for name, value in body.items() if value is not UNSET}
    (draft,) = channel.map(channel.read(msgspec.json.encode(body), ""), satellite, None).drafts
    return judge(draft, satellite, WORLD, NOW, UUID(int=1 << 20), 1)


@pytest.mark.parametrize(
    ("channel", "company", "expected"),
    [
        ("", "issue", "issue"),
        ("", "delivery", "delivery"),
        ("issue", "delivery", "issue"),
        ("delivery", "issue", "delivery"),
    ],
)
def test_an_order_is_told_when_its_control_passes_and_no_document_says_otherwise(channel, company, expected):
    with pytest.raises(Fault) as refused:
        CHANNELS["tieout"].read(msgspec.json.encode({**TILL, "control_passes": "issue"}), "")
    assert (refused.value.reason, refused.value.field) == ("unknown_field", "control_passes")
    (draft,) = (
        CHANNELS["tieout"].map(CHANNELS["tieout"].read(msgspec.json.encode(TILL), ""), Satellite("till"), None).drafts
    )
    plain = judge(draft, Satellite("till"), WORLD, NOW, UUID(int=1 << 20), 1).command
    world = World({"C1": Company("C1", "CNY", "Asia/Shanghai", company)}, set())
    told = judge(draft, Satellite("till", control_passes=channel), world, NOW, UUID(int=1 << 20), 1).command
    assert told.control_passes == expected
    assert told.fingerprint == plain.fingerprint  # A policy is no content: the same order again is a repetition.


LINE = {"line_no": 1, "sku": "A", "quantity_micro": 1_000_000, "net_minor": 5}


@pytest.mark.parametrize(
    ("change", "field", "meant"),
    [
        ({"lines": [{**LINE, "tax": 1}]}, "lines[0].tax", "tax_minor"),
        ({"lines": [LINE, {**LINE, "warehous": "EAST"}]}, "lines[1].warehous", "warehouse"),
        ({"custmer": "17"}, "custmer", "customer"),
        ({"kind": "payment", "received_minor": 5, "lines": UNSET, "alocations": []}, "alocations", "allocations"),
        (
            {"kind": "payment", "received_minor": 5, "lines": UNSET, "allocations": [{"order": "7"}]},
            "allocations[0].order",
            "order_source",
        ),
    ],
)
def test_a_field_that_nobody_knows_is_refused_wherever_it_stands(change, field, meant):
    with pytest.raises(Fault) as refused:
        judged(**change)
    assert (refused.value.reason, refused.value.field) == ("unknown_field", field)
    assert f"Did you mean {meant!r}?" in refused.value.detail


def test_what_the_sender_found_itself_goes_before_fields_that_nobody_knows():
    with pytest.raises(Fault) as refused:
        judged(fault={"reason": "theirs"}, colour="red")
    assert refused.value.reason == "theirs"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_read_strictly_has_the_contracts_fields_in_their_order(kind):
    """Fingerprints and commands are over the bytes that they make."""
    names = [field.name for field in msgspec.structs.fields(KINDS[kind])]
    assert [field.name for field in msgspec.structs.fields(strict(KINDS[kind]))] == names


def test_a_line_that_was_read_strictly_is_the_same_bytes():
    body = msgspec.json.encode({**LINE, "uom": "KG", "tax_minor": 3})
    plain = msgspec.json.decode(body, type=OrderLine)
    assert msgspec.json.encode(msgspec.json.decode(body, type=strict(OrderLine))) == msgspec.json.encode(plain)


def test_the_business_day_is_that_of_the_satellites_zone():
    at = "2026-11-29T15:59:59Z"  # 23:59:59 in Shanghai.
    assert str(judged(occurred_at=at).command.business_date) == "2026-11-29"
    assert str(judged(occurred_at="2026-11-29T16:00:00Z").command.business_date) == "2026-11-30"
    assert str(judged(occurred_at=at, zone="Asia/Tokyo").command.business_date) == "2026-11-30"


def test_the_fingerprint_is_of_the_content_and_not_of_the_version_or_the_day_it_came():
    first = judged().command
    assert judged(version="2").command.fingerprint == first.fingerprint
    assert judged(customer="18").command.fingerprint != first.fingerprint
    assert judged(fingerprint="mine").command.fingerprint == "mine"
    assert len(first.fingerprint) == 64


def test_two_companies_keep_two_currencies_apart():
    assert judged(company="C2", currency="EUR").command.currency == "EUR"
    with pytest.raises(Fault, match="missing_rate"):
        judged(company="C2", currency="CNY")
    assert judged(company="C2", currency="CNY", rate_micro=130_000).command.rate_micro == 130_000


def test_a_rate_that_would_burst_the_books_is_refused_at_the_door():
    """Finance would hear of it after the goods have left, and could not post it at all."""
    line = {"line_no": 1, "sku": "A", "quantity_micro": 1_000_000}
    foreign = {"company": "C2", "currency": "CNY", "rate_micro": 10**12}
    with pytest.raises(Fault) as refused:
        judged(**foreign, lines=[{**line, "net_minor": 10**15}])
    assert (refused.value.reason, refused.value.field) == ("bad_rate", "rate_micro")
    assert judged(**foreign, lines=[{**line, "net_minor": 10**11}]).command.rate_micro == 10**12
    payment = {"kind": "payment", "number": "p1", "received_minor": 10**12, "lines": UNSET}
    with pytest.raises(Fault, match="bad_rate"):
        judged(**foreign, **payment)


def test_a_chain_is_the_orders_where_there_is_one():
    order = str(order_id("C1", "till", "7"))
    assert judged().chain == order
    named = {"order_source": "till", "order_number": "7"}
    payment = {"kind": "payment", "number": "p1", "received_minor": 9, "lines": UNSET}
    assert judged(**payment, allocations=[named]).chain == order
    alone = str(document_id("payment", "C1", "till", "p1"))
    assert judged(**payment).chain == alone
    two = judged(**payment, allocations=[named, {**named, "order_number": "8"}])
    assert (two.chain, two.order_no) == (alone, "")


def test_an_allowance_needs_no_article():
    world = World(WORLD.companies, {("C1", "ALLOWANCE"), ("C1", "GHOST")})
    channel, satellite = CHANNELS["tieout"], Satellite("till")
    body = {
        "kind": "credit",
        "company": "C1",
        "number": "c",
        "occurred_at": "2026-11-30T10:00:00Z",
        "customer": "17",
        "currency": "CNY",
        "lines": [{"line_no": 1, "sku": "ALLOWANCE", "quantity_micro": 0, "net_minor": 5, "account": "allowance"}],
    }
    (draft,) = channel.map(channel.read(msgspec.json.encode(body), ""), satellite, None).drafts
    assert judge(draft, satellite, world, NOW, UUID(int=1 << 20), 1).amount_minor == 5


# ----------------------------------------------------------------------------------------------------- bodies

CAPS = Caps(document_bytes_max=10_000, documents_max=100, depth_max=10)


@SETTINGS
@given(st.lists(st.dictionaries(TEXT, TEXT, max_size=3), min_size=1, max_size=20))
def test_an_array_and_lines_give_the_same_documents(documents):
    lines = [msgspec.json.encode(document) for document in documents]
    assert split(b"\n".join(lines), "ndjson", CAPS) == lines
    assert split(msgspec.json.encode(documents), "json", CAPS) == lines


def nested(value):
    if isinstance(value, dict):
        return 1 + max(map(nested, value.values()), default=0)
    return 1 + max(map(nested, value), default=0) if isinstance(value, list) else 0


@SETTINGS
@given(JSON, st.integers(0, 6))
def test_depth_is_counted_outside_of_texts(value, most):
    assert depth_exceeds(msgspec.json.encode(value), most) == (nested(value) > most)


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b'{"a":' * 200_000, b"[[]," * 200_000, b"()" * 500_000])
def test_hostile_nesting_is_measured_without_parsing(body):
    assert depth_exceeds(body, 64) == (not body.startswith(b"("))


def test_a_bomb_is_noticed_before_it_has_grown():
    inflater = Inflater(1000)
    with pytest.raises(Exceeded):
        list(inflater.feed(gzip.compress(b" " * 10_000_000)))


# -------------------------------------------------------------------------------------------------------- ids


def test_ids_ascend_with_time_and_within_a_request_and_name_their_document():
    first = identifiers.first_of_request()
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    ids = [identifiers.nth(first, index) for index in (0, 1, 2, identifiers.LINES_MAX - 1)]
    assert ids == sorted(ids)
    assert all(id.version == 7 for id in ids)
    command = UUID(int=ids[1].int + identifiers.COMMANDS_MAX)
    assert identifiers.document_of(command) == ids[1]
    assert command < ids[2]
    others = {identifiers.first_of_request() for _ in range(1000)}
    assert len(others) == 1000
