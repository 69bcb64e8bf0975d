"""A service from its first moment to its last: start, serve until told, stop within ten seconds."""

import asyncio
import signal
from collections.abc import Callable

import structlog
from tieout.servicekit.app import Service
from tieout.servicekit.housekeeping import calm_the_collector
from tieout.servicekit.lifetime import cancel

log = structlog.get_logger(__name__)


async def serve(service: Service, at_last: Callable[[float], None] = lambda seconds: None) -> None:
    """Until SIGTERM or SIGINT. Raises what killed a task, so that the process ends with an error.

    `at_last` is called once the end has begun: after so many seconds nothing orderly is to be expected any more.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.lifetime.ending.set)
    settings = service.settings
    if settings.health_port:
        await service.probes.start(settings.health_host, settings.health_port)
    try:
        await _serve_until_told(service, at_last)
    finally:
        service.probes.close()


async def _serve_until_told(service: Service, at_last: Callable[[float], None]) -> None:
    lifetime = service.lifetime
    starting = asyncio.create_task(service.start())
    stopping = asyncio.create_task(lifetime.ending.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    limit = service.settings.stop_seconds_max
    if not starting.done() or starting.exception() is not None:
        at_last(limit)
        await _end_the_start(service, starting)
        return
    calm_the_collector()
    await stopping
    at_last(limit * 1.5)  # The event loop waits for its tasks, the interpreter for threads.
    try:
        async with asyncio.timeout(limit):
            await service.stop()
    except TimeoutError:
        log.error("stop took too long; what was not acknowledged will be delivered again")
    if lifetime.failure is not None:
        raise lifetime.failure


async def _end_the_start(service: Service, starting: "asyncio.Task[None]") -> None:
    """Asked to stop while database or broker were still away; or it refuses to start, which is raised."""
    service.lifetime.ending.set()
    if not starting.done():
        await cancel([starting])
    await service.sign_out()
    failure = service.lifetime.failure or (None if starting.cancelled() else starting.exception())
    if failure is not None:
        raise failure
