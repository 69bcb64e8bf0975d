"""One trace carries one order through every process; metrics and logs tell the same; a dead collector disturbs nobody.

A real OTLP receiver, and a whole stack that reports to it.
"""

import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio
from opentelemetry.semconv import attributes as stable
from opentelemetry.semconv._incubating import attributes as incubating
from opentelemetry.semconv._incubating.attributes import messaging_attributes as published
from tieout.contracts.event import Envelope, order_id
from tieout.contracts.order import OrderLine, SubmitOrder
from tieout.contracts.streams import CORE_SERVICES
from tieout.devstack.collector import Receiver
from tieout.devstack.patience import until_seen
from tieout.devstack.trading_day import shopify
from tieout.devstack.trading_day.catalogue import EU, WEB, Article
from tieout.servicekit.packs import unpacked

OUR_TAGS = ("tieout.", "order.no", "company", "satellite", "ticket", "voucher.no")
CREATED = "orders/create"
SERVER, PRODUCER, CONSUMER = 2, 4, 5


@pytest.fixture(scope="module")
def receiver() -> Any:
    found = Receiver()
    yield found
    found.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def traced(trade_apart: Callable[..., Any], receiver: Receiver) -> AsyncIterator[Any]:
    environment = {
        **receiver.environment,
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "600",  # s; who waits for a silent collector waits until the test has failed.
    }
    async with trade_apart(log="json", sites=(), environment=environment) as trade:
        yield trade


async def sold(trade: Any, *articles: Article) -> Any:
    """An order that has become a voucher; answers its chain."""
    sale = trade.sale(*articles)
    assert (await trade.shop(CREATED, shopify.order(sale))).status == 202
    await trade.until(lambda: trade.vouchers(sale), bool)
    return sale, order_id(EU.code, WEB, sale.number)


async def test_one_order_is_one_trace_from_intake_to_voucher(traced: Any, receiver: Receiver) -> None:
    sale, chain = await sold(traced)
    assert (await traced.journey(sale)).trace_id == chain.hex
    await until_seen(lambda: _settled(receiver, chain))
    spans = receiver.of(chain)
    assert {span.service for span in spans} == {"gateway", "order", "inventory", "finance"}

    root = spans[0]
    (asked,) = receiver.find("gateway", "POST /v1/intake/{satellite}/{channel}", {"satellite": WEB})[-1:]
    assert (asked.trace, asked.id) in root.links
    assert (root.service, root.name, root.parent) == ("gateway", "take in order.submit.v1", "")
    path = _path_to(spans, "finance", "process inventory.shipped.v1")
    assert [(span.service, span.name) for span in path] == [
        ("gateway", "take in order.submit.v1"),
        ("gateway", "publish order.submit.v1"),
        ("order", "process order.submit.v1"),
        ("order", "publish order.placed.v1"),
        ("inventory", "process order.placed.v1"),
        ("inventory", "publish inventory.shipped.v1"),
        ("finance", "process inventory.shipped.v1"),
    ]
    # A collector's map of the services: each step from one to another is a pair of these kinds.
    assert [span.kind for span in path[1:]] == [PRODUCER, CONSUMER] * 3
    (voucher,) = await traced.vouchers(sale)
    (posted,) = receiver.find("finance", "publish finance.receivable_opened.v1", {"order.no": sale.number})
    assert (posted.parent, posted.told["voucher.no"]) == (path[-1].id, voucher.voucher_no)

    known = {span.id: span for span in spans}
    for span in spans:
        assert span.start <= span.end
        assert span is root or span.parent in known, f"{span.service} {span.name} hangs in the air"
        assert span is root or known[span.parent].start <= span.start
        assert span.told["order.no"] == sale.number
        assert span.told["satellite"] == WEB
        assert span.told["company"] == EU.code
        assert not span.failed


async def test_spans_and_batches_speak_the_published_words_for_messaging(traced: Any, receiver: Receiver) -> None:
    _, chain = await sold(traced)
    await until_seen(lambda: _settled(receiver, chain))
    spans = [span for span in receiver.of(chain) if span.name.startswith("process ")]
    batches = {span.id: span for span in receiver.spans if published.MESSAGING_BATCH_MESSAGE_COUNT in span.told}
    assert spans
    for span in spans:
        told = span.told
        assert told[published.MESSAGING_SYSTEM] == "nats"
        assert told[published.MESSAGING_OPERATION_TYPE] == published.MessagingOperationTypeValues.PROCESS.value
        assert told[published.MESSAGING_OPERATION_NAME] == "process"
        assert span.name == f"process {told[published.MESSAGING_DESTINATION_NAME]}"
        assert told[published.MESSAGING_MESSAGE_CONVERSATION_ID] == str(chain)
        assert told[published.MESSAGING_MESSAGE_ID]
        ((_, batch_id),) = span.links
        batch = await until_seen(lambda batch_id=batch_id: batches.get(batch_id) or _find(receiver, batch_id))
        assert batch.name == f"process {told[published.MESSAGING_CONSUMER_GROUP_NAME]}"
        assert batch.told[published.MESSAGING_CONSUMER_GROUP_NAME] == told[published.MESSAGING_CONSUMER_GROUP_NAME]
        assert batch.told[published.MESSAGING_BATCH_MESSAGE_COUNT] >= 1
        assert (chain.hex, span.parent) in batch.links
        assert batch.trace != chain.hex
    (sent,) = [span for span in receiver.of(chain) if span.name == "publish order.submit.v1"]
    assert sent.told[published.MESSAGING_OPERATION_TYPE] == published.MessagingOperationTypeValues.SEND.value


async def test_every_tag_is_one_of_opentelemetrys_published_words_or_told_in_our_documents(
    traced: Any, receiver: Receiver
) -> None:
    _, chain = await sold(traced)
    refused = shopify.order(traced.sale())
    refused["line_items"][0]["sku"] = "NO-SUCH-ARTICLE"
    await traced.shop(CREATED, refused)
    await traced.shop(CREATED, b"{", genuine=False)
    await until_seen(lambda: _settled(receiver, chain) and receiver.find("gateway", error=True))
    page = (Path(__file__).parents[2] / "docs" / "tracing.md").read_text()
    own = set(re.findall(r"`((?:[a-z]\w*)(?:\.[a-z_]\w*)*)`", page))
    for span in list(receiver.spans):
        for tag in (*span.told, *(tag for told in span.events.values() for tag in told)):
            assert tag in published_words() or (tag in own and tag.startswith(OUR_TAGS)), f"{tag} of {span.name}"
    kinds = {span.told.get("db.system.name") for span in receiver.spans if span.name.startswith("TRANSACTION")}
    assert kinds == {"postgresql"}


async def test_requests_are_spans_with_their_route_and_answer(traced: Any, receiver: Receiver) -> None:
    assert (await traced.shop(CREATED, shopify.order(traced.sale()), genuine=False)).status == 401
    (span,) = await until_seen(lambda: receiver.find("gateway", tags={"http.response.status_code": 401})[-1:])
    assert span.name == "POST /v1/intake/{satellite}/{channel}"
    assert span.told["url.path"] == f"/v1/intake/{WEB}/shopify-orders"
    assert (span.told["http.request.method"], span.told["http.route"]) == tuple(span.name.split(" "))
    sale, _ = await sold(traced)
    await traced.journey(sale)
    (asked,) = await until_seen(lambda: receiver.find("gateway", "GET /v1/journeys/{order_no}")[-1:])
    assert (asked.told["http.response.status_code"], asked.kind) == (200, SERVER)


async def test_what_goes_along_with_events_is_small(traced: Any, receiver: Receiver) -> None:
    """A traceparent and the satellite's name; no baggage."""
    await sold(traced)
    client = await traced.stack.operator()
    found = await client.jetstream().get_last_msg("INVENTORY", "inventory.shipped.v1")
    (*_, body) = unpacked(found.data or b"")
    told = msgspec.json.decode(body, type=Envelope)
    assert len(told.traceparent) == 55
    assert told.tracestate == f"tieout={WEB}"
    assert b"baggage" not in body


async def test_metrics_tell_of_lag_batches_latency_and_outbox(traced: Any, receiver: Receiver) -> None:
    await sold(traced)
    flow = ("tieout-finance", "finance-bill-shipments")
    await until_seen(lambda: receiver.metric("tieout.flow.messages").get(flow, 0) >= 1)
    await until_seen(lambda: receiver.metric("tieout.flow.lag").get(flow) == 0)
    await until_seen(lambda: receiver.metric("tieout.flow.batch_size").get(flow, 0) >= 1)
    await until_seen(lambda: receiver.metric("tieout.step.latency.p99").get(flow, 0) > 0)
    mapped = ("tieout-gateway", "gateway-map-documents")
    await until_seen(lambda: receiver.metric("tieout.flow.messages").get(mapped, 0) >= 1)
    everybody = {f"tieout-{name}" for name in CORE_SERVICES}
    await until_seen(lambda: {service for service, _ in receiver.metric("tieout.outbox.age")} == everybody)


async def test_a_message_that_is_given_up_is_found_by_its_order_in_trace_metrics_and_log(
    traced: Any, receiver: Receiver
) -> None:
    chain = order_id(EU.code, WEB, "too-much")
    await _publish(traced, _too_much("too-much"), str(chain))
    flow = ("tieout-order", "order-place-orders")
    await until_seen(lambda: receiver.metric("tieout.flow.dead_letters").get(flow) == 1)
    (span,) = await until_seen(lambda: [span for span in receiver.of(chain) if span.failed and span.service == "order"])
    assert span.name == "give up order.submit.v1"
    assert span.told["error.type"] == "above_range"
    assert span.told["order.no"] == "too-much"
    logged = [msgspec.json.decode(line) for line in (traced.stack.logs / "order.log").read_bytes().splitlines()]
    (entry,) = [entry for entry in logged if entry.get("order_no") == "too-much"]
    assert entry["trace_id"] == chain.hex
    assert (entry["level"], entry["service"], entry["flow"]) == ("warning", "order", flow[1])
    assert (entry["reason"], entry["field"]) == ("above_range", "lines")
    (ticket,) = await until_seen(lambda: receiver.find("control", tags={"order.no": "too-much"}, error=True))
    assert ticket.name == "open ticket of order-place-orders"
    assert (ticket.trace, ticket.told["error.type"]) == (chain.hex, "above_range")
    assert ticket.told["ticket"] >= 1


async def test_a_refused_document_is_found_under_the_order_that_it_would_have_been(
    traced: Any, receiver: Receiver
) -> None:
    sale = traced.sale()
    body = shopify.order(sale)
    body["line_items"][0]["sku"] = "NO-SUCH-ARTICLE"
    await traced.shop(CREATED, body)
    chain = order_id(EU.code, WEB, sale.number)
    (span,) = await until_seen(lambda: receiver.of(chain))
    assert (span.service, span.failed, span.told["error.type"]) == ("gateway", True, "unknown_sku")
    assert span.told["tieout.intake_id"]


async def test_a_collector_that_falls_silent_costs_no_order_and_no_time(traced: Any, receiver: Receiver) -> None:
    await sold(traced)
    receiver.silent.set()
    try:
        await until_seen(receiver.heard.is_set)  # Somebody waits for its answer by now: not the orders.
        sales = [traced.sale() for _ in range(30)]
        for sale in sales:
            assert (await traced.shop(CREATED, shopify.order(sale))).status == 202
        for sale in sales:
            await traced.until(lambda sale=sale: traced.vouchers(sale), bool)
        assert await traced.stack.stop_service("finance", 60), "the silent collector held up the end"
        traced.stack.start_service("finance")
        await traced.stack.wait_until_ready(["finance"])
    finally:
        receiver.silent.clear()
    _, chain = await sold(traced)
    await until_seen(lambda: _settled(receiver, chain))
    assert (await traced.agreement()).verdict == "agree"


@cache
def published_words() -> frozenset[str]:
    """Names of attributes in OpenTelemetry's semantic conventions, without those that were given up."""
    found: set[str] = set()
    constant = re.compile(r'^\w+: Final = \(?\s*"([\w.]+)"\s*\)?\n"""\n(.*)', re.MULTILINE)
    for package in (stable, incubating):
        for path in Path(package.__path__[0]).glob("*_attributes.py"):
            found |= {name for name, note in constant.findall(path.read_text()) if not note.startswith("Deprecated")}
    assert {"messaging.system", "db.system.name", "http.route", "service.peer.name"} <= found
    assert "db.system" not in found
    return frozenset(found)


def _settled(receiver: Receiver, chain: Any) -> bool:
    """The last steps of a sale have arrived, in whatever order: finance has posted, order has noted the shipment."""
    spans = receiver.of(chain)
    known = {span.id for span in spans}
    last = {span.service for span in spans if span.name == "process inventory.shipped.v1"}
    return last == {"order", "finance"} and all(not span.parent or span.parent in known for span in spans)


def _find(receiver: Receiver, span_id: str) -> SimpleNamespace | None:
    return next((span for span in receiver.spans if span.id == span_id), None)


def _path_to(spans: list[SimpleNamespace], service: str, name: str) -> list[SimpleNamespace]:
    """From the root to the named span."""
    known = {span.id: span for span in spans}
    span = next(span for span in spans if (span.service, span.name) == (service, name))
    path = [span]
    while path[0].parent:
        path.insert(0, known[path[0].parent])
    return path


def _too_much(number: str) -> SubmitOrder:
    """More than any book can hold; the gateway would never let it through."""
    now = datetime.now(UTC)
    return SubmitOrder(
        intake_id=uuid4(),
        company=EU.code,
        source=WEB,
        number=number,
        version="1",
        fingerprint="0" * 64,
        customer="c",
        currency=EU.currency,
        occurred_at=now,
        zone=EU.zone,
        business_date=now.date(),
        lines=tuple(OrderLine(line_no, "A", 10**15, 0) for line_no in range(1, 1002)),
    )


async def _publish(trade: Any, command: SubmitOrder, chain: str) -> None:
    """As if the gateway had said it, and not sampled."""
    envelope = Envelope(
        specversion="1.0",
        id=str(uuid4()),
        source="/gateway",
        type=command.SUBJECT,
        time=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        pos=str(2**40),
        chainid=chain,
        orderno=command.number,
        company=command.company,
        data=msgspec.Raw(msgspec.json.encode(command)),
    )
    client = await trade.stack.operator()
    await client.jetstream().publish(command.SUBJECT, msgspec.json.encode(envelope))
