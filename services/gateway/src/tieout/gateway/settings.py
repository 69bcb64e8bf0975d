"""What the gateway can be told from outside."""

from tieout import servicekit
from tieout.contracts.gateway import DOCUMENT_BYTES_MAX
from tieout.servicekit.settings import Bytes, BytesMin, Count, Days, DaysMin, Port, SecondsMin


class Settings(servicekit.Settings, frozen=True, kw_only=True):
    http_host: str = "127.0.0.1"
    http_port: Port = 8080  # 0: no HTTP at all.
    admin_token_file: str = ""  # Bearer token of those who may call every operation; "": none can.
    sites: str = ""  # Leaf sites that the hub sources, separated by commas.
    body_bytes_max: BytesMin = 32 << 20  # Of one request, after unpacking.
    document_bytes_max: BytesMin = DOCUMENT_BYTES_MAX
    documents_max: Count = 50_000  # In one request.
    depth_max: Count = 64  # Nesting of JSON.
    requests_max: Count = 256  # Under way at once; more are told to come again.
    requests_per_satellite_max: Count = 64
    unproved_max: Count = 256  # Bodies that are read to prove a signature, at once; the slowest give way to others.
    unproved_bytes_max: BytesMin = 64 << 20  # And of these together.
    body_seconds_max: SecondsMin = 30.0  # How long a client may take to send its body.
    head_seconds_max: SecondsMin = 10.0  # And its request line and headers.
    connections_max: Count = 2000
    delivery_days: DaysMin = 30  # How long a delivery's name is remembered.
    raw_days: Days = (
        3653  # How long raw documents are kept, by whole weeks; the law asks for up to ten years. 0: for ever.
    )
    raw_bytes_max: Bytes = 0  # Above it the oldest weeks go earlier, never younger than a month. 0: no limit.
    rate_days_max: Days = 7  # An exchange rate that is older than this on a document's business date is not taken.
    waiting_minutes_max: Count = 1440  # How long a document waits for the order that it names.
