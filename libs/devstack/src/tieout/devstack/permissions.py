"""Who may say and hear what on NATS, derived from the contracts, so that a new flow needs no line here.

A service publishes its own subjects and its own dead letters, manages its own stream and its own durables, answers its
own operations, and nothing else. No service reads another's inbox: each has a prefix of its own.
"""

from collections.abc import Iterable

from msgspec import Struct
from tieout.contracts import streams

OPERATOR = "operator"  # The command line and the tests: everything.
SYSTEM = "system"  # The system account: connections and leaf nodes come and go there.
TILL = "till"  # At a site: may sell, and nothing else.
STANDBY = "standby"  # The leaf node of another region, which mirrors the hub's streams.
ASKERS = ("gateway", "control", OPERATOR)  # Who may call operations.
CLIENT_CONNECTED = (
    "$SYS.ACCOUNT.TIEOUT.CONNECT"  # Its `client.kind` says whether it is a leaf node; `client.user` is the site.
)
SITE_STREAM = "SAT"  # The name of each site's own stream, in the site's own JetStream domain.
SITE_SUBJECT = "sale.>"


class Permissions(Struct, frozen=True):
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    def as_config(self) -> dict[str, object]:
        return {"publish": {"allow": list(self.publish)}, "subscribe": {"allow": list(self.subscribe)}}

    def as_lists(self) -> dict[str, list[str]]:
        return {"publish": list(self.publish), "subscribe": list(self.subscribe)}


def inbox_of(user: str) -> str:
    """Prefix of a user's inboxes; its client must be told (`inbox_prefix`), else no answer reaches it."""
    return f"_INBOX_{user}"


def of_service(service: str, sites: Iterable[str] = ()) -> Permissions:
    """All that `service` may do on the hub. `sites` matter to the gateway, which takes in what they sold."""
    publish = {"$JS.API.INFO", "$JS.API.STREAM.NAMES", f"dead.{service}.>", *streams.subjects_of(service)}
    # Answers go to the askers' inboxes. `allow_responses` would be narrower, but the server then remembers each
    # delivered message of a consumer for as long as an answer is allowed.
    publish |= {"_INBOX.>", *(f"{inbox_of(asker)}.>" for asker in ASKERS)}
    publish |= _manages(streams.stream_of(service))
    publish.add(f"$JS.API.STREAM.INFO.{streams.DEAD_STREAM}")
    publish.add(f"$JS.API.DIRECT.GET.{streams.DEAD_STREAM}.dead.{service}.>")  # The last of its own letters.
    for flow in streams.FLOWS:
        if flow.service == service:
            publish |= _consumes(flow.stream, flow.durable)
            # To look at what it confirmed, once its database was moved. Who may set its durable's filter may read the
            # stream already.
            publish.add(f"$JS.API.DIRECT.GET.{flow.stream}")
    subscribe = {f"{inbox_of(service)}.>", f"rpc.{service}.>", "$SRV.>"}
    if service == "gateway":
        publish |= {"rpc.>", "$SRV.PING.*"}  # Asks for people, and looks whether who was asked still lives.
        subscribe.add(CLIENT_CONNECTED)
        for site in sites:
            stream = streams.site_stream(site)
            publish |= _manages(stream) | _consumes(stream, "*")
            publish.add(f"$JS.{site}.API.STREAM.INFO.{SITE_STREAM}")  # Whether the site still has what is copied.
    if service == "control":
        # Reads how far every consumer is, and asks every service for its side of the books.
        publish |= {"rpc.>", "$JS.API.CONSUMER.INFO.*.*", "$JS.API.CONSUMER.LIST.*", "$JS.API.STREAM.INFO.*"}
        publish |= {"$JS.API.STREAM.LIST", *_manages(streams.DEAD_STREAM), *_consumes(streams.DEAD_STREAM, "*")}
        subscribe |= {"$JS.EVENT.ADVISORY.>", CLIENT_CONNECTED}
    return Permissions(tuple(sorted(publish)), tuple(sorted(subscribe)))


def of_site(site: str) -> Permissions:
    """What a leaf node's connection may carry: the hub's sourcing of the site's stream and its looks at it, and the
    downlink of the hub.

    Nothing that a till publishes crosses by itself; the hub fetches. A miss here is silent, so tests prove it works.
    """
    return Permissions(
        publish=(
            "$JSC.R.>",
            "$JS.S.>",
            "$JS.FC.>",
            f"$JS.hub.API.CONSUMER.CREATE.DOWN.*.down.{site}.>",
            f"{inbox_of('gateway')}.site.{site}.>",  # Answers about its own stream; no other inbox of the gateway.
        ),
        subscribe=(
            f"$JS.{site}.API.STREAM.INFO.{SITE_STREAM}",
            f"$JS.{site}.API.CONSUMER.CREATE.{SITE_STREAM}",
            f"$JS.{site}.API.CONSUMER.CREATE.{SITE_STREAM}.>",
            "$JSC.R.>",
            "$JS.S.>",
            "$JS.M.>",
            "$JS.FC.>",
        ),
    )


def of_standby(sites: Iterable[str] = ()) -> Permissions:
    """What the other region's leaf node may carry: its mirrors' questions to the hub, and what they are sent."""
    streams_mirrored = [*map(streams.stream_of, streams.CORE_SERVICES), streams.DEAD_STREAM]
    streams_mirrored += [streams.site_stream(site) for site in sites]
    asks = {f"$JS.hub.API.CONSUMER.CREATE.{stream}" for stream in streams_mirrored}
    return Permissions(
        publish=tuple(sorted({*asks, *(f"{ask}.>" for ask in asks), "$JSC.R.>", "$JS.FC.>"})),
        subscribe=("$JS.FC.>", "$JS.M.>", "$JSC.R.>"),
    )


def of_till() -> Permissions:
    return Permissions(publish=(SITE_SUBJECT,), subscribe=("_INBOX.>", f"{inbox_of(TILL)}.>"))


def _manages(stream: str) -> set[str]:
    """Everything on one's own stream except deleting it: what is lost is filled up again, never dropped."""
    calls = ("CREATE", "UPDATE", "INFO", "PURGE", "MSG.GET")
    about = {*(f"$JS.API.STREAM.{call}.{stream}" for call in calls), *_reads(stream)}
    return about | {f"$JS.API.CONSUMER.LIST.{stream}", f"$JS.API.CONSUMER.NAMES.{stream}"}  # Whose floor is where.


def _reads(stream: str) -> set[str]:
    return {f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.>"}


def _consumes(stream: str, durable: str) -> set[str]:
    return {
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.{durable}",
        f"$JS.API.CONSUMER.CREATE.{stream}.{durable}.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{durable}",
        f"$JS.API.CONSUMER.INFO.{stream}.{durable}",
        f"$JS.API.CONSUMER.DELETE.{stream}.{durable}",
        f"$JS.API.CONSUMER.PAUSE.{stream}.{durable}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
        f"$JS.ACK.{stream}.{durable}.>",
        f"$JS.ACK.*.*.{stream}.{durable}.>",  # Later servers put domain and account first.
    }
