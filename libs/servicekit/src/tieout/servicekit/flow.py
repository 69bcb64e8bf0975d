"""The declaration of a flow: which events it hears, and the function that handles batches of them."""

from collections.abc import Awaitable, Callable
from typing import Any

from tieout.contracts.streams import FLOW, Hears
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Misconfigured
from tieout.servicekit.received import Received

Function = Callable[[list[Received[Any]], Database], Awaitable[None]]

LINGER_SECONDS = 0.01  # Least spacing of batches that are not full; an idle flow answers at once.


class BatchFlow:
    """What `batch_flow` makes of a function. Call it with a batch and a database: that is how tests run it."""

    def __init__(
        self,
        hears: Hears,
        types: tuple[type[Any], ...],
        size: int,
        linger_seconds: float,
        function: Function,
        retry_seconds: tuple[float, ...] = (),
    ) -> None:
        self.hears = hears
        self.durable = hears.durable
        self.types = types
        self.size = size
        self.linger_seconds = linger_seconds
        self.function = function
        self.retry_seconds = retry_seconds
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", hears.durable)

    async def __call__(self, batch: list[Received[Any]], database: Database) -> None:
        await self.function(batch, database)


def batch_flow(
    durable: str,
    *types: type[Any],
    size: int = 500,
    linger_seconds: float = LINGER_SECONDS,
    retry_seconds: tuple[float, ...] = (),
) -> Callable[[Function], BatchFlow]:
    """A flow of contracts.streams.FLOWS. One call handles one batch in exactly one `database.transaction()`.

    `types` are the events that it hears, one for each subject; a narrower Struct with the same SUBJECT decodes only its
    own fields. A type without SUBJECT (Notice) is decoded from the bare body. `retry_seconds`: the pauses before a
    message that failed unforeseen is tried again, each spread by a quarter; after the last one it is given up. Empty:
    as for all flows (giving_up.RETRY_SECONDS).
    """
    hears = FLOW.get(durable)
    if hears is None:
        raise Misconfigured(f"flow {durable!r} is not declared in tieout.contracts.streams.FLOWS. Add it there.")
    told = {kind.SUBJECT for kind in types if hasattr(kind, "SUBJECT")}
    bare = [kind for kind in types if not hasattr(kind, "SUBJECT")]
    if not bare and told != set(hears.subjects):
        raise Misconfigured(f"flow {durable!r} hears {sorted(hears.subjects)}, but its types have {sorted(told)}.")

    def decorate(function: Function) -> BatchFlow:
        return BatchFlow(hears, types, size, linger_seconds, function, retry_seconds)

    return decorate
