"""The gateway as one page: what it takes in, what it hears, what it answers, what it proves."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from tieout.contracts.watch import SITES, LeafSites, SitesRequest
from tieout.gateway import census, reads
from tieout.gateway.flows.decide_quarantined import (
    correct_document,
    dismiss_document,
    dismiss_many,
    resubmit_document,
    resubmit_many,
)
from tieout.gateway.flows.forget_deliveries import forget_deliveries, forget_deliveries_once
from tieout.gateway.flows.forget_documents import forget_documents, forget_once
from tieout.gateway.flows.map_again import choose_documents, mapping_again
from tieout.gateway.flows.map_documents import Mapper
from tieout.gateway.flows.note_articles import note_articles
from tieout.gateway.flows.note_companies import note_companies
from tieout.gateway.flows.note_rhythm import rhythms
from tieout.gateway.flows.put_rates import put_rates
from tieout.gateway.flows.put_satellite import hold_satellite, put_satellite
from tieout.gateway.flows.put_tokens import create_token, list_tokens, revoke_token, rotate_token
from tieout.gateway.flows.take_in_sites import Sites
from tieout.gateway.http.callers import Callers
from tieout.gateway.http.intake import Intake
from tieout.gateway.http.operations import Routes, application
from tieout.gateway.http.server import front, serve
from tieout.gateway.http.traced import traced
from tieout.gateway.intake.keeping import Keeper
from tieout.gateway.papers import Paper
from tieout.gateway.rebuilding import Rebuilding
from tieout.gateway.satellites import Satellites
from tieout.gateway.settings import Settings
from tieout.servicekit import Database, Service, fresh_secret, operation, sql

OPERATIONS = (
    put_satellite,
    hold_satellite,
    reads.list_satellites,
    reads.satellite_commands,
    reads.show_document,
    reads.list_documents,
    reads.list_quarantine,
    correct_document,
    resubmit_document,
    resubmit_many,
    dismiss_document,
    dismiss_many,
    reads.outcomes,
    reads.progress,
    reads.list_audit,
    reads.list_rates,
    create_token,
    rotate_token,
    revoke_token,
    list_tokens,
    put_rates,
    census.census,
    census.census_ours,
    rhythms,
)


class Gateway:
    """What the tasks share; made when the database is there."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.service = service
        self.settings = settings
        self.satellites = Satellites(service.database)
        self.keeper = Keeper(service.database)
        self.sites = Sites(service, self.keeper, settings)

    def after_change(self) -> None:
        """Somebody changed a satellite or put documents back into the queue."""
        self.satellites.forget()
        self.keeper.kept.set()

    async def is_ready(self) -> str:
        """Documents can be taken in while the broker is away, so it is not asked."""
        try:
            async with self.service.database.pool.acquire(timeout=2) as connection:
                await connection.execute("SELECT 1", timeout=2)
        except Exception:
            return "The database does not answer."
        return ""


def build(settings: Settings) -> Service:
    made: list[Gateway] = []

    def gateway(service: Service) -> Gateway:
        if not made:
            made.append(Gateway(service, settings))
        return made[0]

    async def keep_documents(service: Service) -> None:
        await gateway(service).keeper.run()

    def mapper(service: Service) -> Mapper:
        own = gateway(service)
        waiting_max = timedelta(minutes=settings.waiting_minutes_max)
        return Mapper(
            service.database,
            own.satellites,
            own.keeper.kept,
            waiting_max,
            settings.rate_days_max,
            settings.depth_max,
            settings.document_bytes_max,
        )

    async def map_documents(service: Service) -> None:
        await mapper(service).run()

    async def rehearse_mapping(documents: Sequence[UUID]) -> list[Paper]:
        return await mapper(service).rehearse(documents)

    def queued() -> None:
        gateway(service).keeper.kept.set()

    async def take_in_sites(service: Service) -> None:
        await gateway(service).sites.run()

    @operation(SITES)
    async def show_sites(request: SitesRequest, database: Database) -> LeafSites:
        return LeafSites(gateway(service).sites.told())

    async def serve_http(service: Service) -> None:
        own = gateway(service)
        callers = Callers(service.database, fresh_secret(settings.admin_token_file, "TIEOUT_ADMIN_TOKEN_FILE"))
        routes = Routes(service.nats, service.database, callers, (*OPERATIONS, show_sites), own.after_change)
        intake = Intake(own.satellites, own.keeper, settings)
        await serve(traced(front(intake, application(routes, own.is_ready)), service.tracing), settings)

    async def forget(service: Service) -> None:
        await forget_deliveries(service.database, settings.delivery_days)

    async def note_rhythm(service: Service) -> None:
        await gateway(service).keeper.rhythm.run(service.database)

    async def forget_raw(service: Service) -> None:
        await forget_documents(service.database, settings.raw_days, settings.raw_bytes_max)

    async def forget_all(database: Database) -> dict[str, int]:
        weeks = await forget_once(database, settings.raw_days, settings.raw_bytes_max)
        return {"deliveries": await forget_deliveries_once(database, settings.delivery_days), "raw_weeks": len(weeks)}

    tasks = [keep_documents, map_documents, take_in_sites, forget, forget_raw, note_rhythm]
    if settings.http_port:
        tasks.append(serve_http)
    service = Service(
        "gateway",
        settings,
        migrations=sql.folder(__file__, "migrations"),
        flows=(note_articles, note_companies),
        operations=(*OPERATIONS, show_sites, choose_documents, mapping_again(rehearse_mapping, queued)),
        trail=reads.trail,
        violations=sql.load_file(__file__, "violations.sql"),
        tasks=tasks,
        forgets=(forget_all,),
        works_without_broker=True,  # Documents can be taken in while it is away.
        rebuilding=Rebuilding,
    )
    return service
