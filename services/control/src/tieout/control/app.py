"""All that control does, on one page."""

from msgspec.structs import replace
from tieout.contracts.control import (
    LIST_DEAD_LETTERS,
    LIST_SETTINGS,
    PROVE_AGREEMENT,
    SHOW_JOURNEY,
    SHOW_STATUS,
    Agreement,
    AgreementRequest,
    DeadLetters,
    DeadLettersRequest,
    JourneyRequest,
    Journeys,
    SettingsRequest,
    Status,
    StatusRequest,
)
from tieout.contracts.control import Settings as SettingsLog
from tieout.contracts.repair import LIST_REPAIRS, PREVIEW_REPAIR, RUN_REPAIR
from tieout.contracts.ticket import (
    CHANGE_TICKET,
    LIST_TICKETS,
    SHOW_DEAD_LETTER,
    SHOW_TICKET,
)
from tieout.control import reads, ticket_reads
from tieout.control.colleagues import Colleagues
from tieout.control.continuous import Continuous
from tieout.control.desk import Desk
from tieout.control.flows import follow_notices, report_facts
from tieout.control.flows.change_ticket import change_ticket
from tieout.control.flows.collect_dead import collect_dead
from tieout.control.notify import channels
from tieout.control.notify.sender import Sender
from tieout.control.proof import Prover
from tieout.control.repairs import Repairs
from tieout.control.settings import Settings
from tieout.control.watch import Watch
from tieout.servicekit import Database, Service, operation, sql


def build(settings: Settings) -> Service:
    colleagues = Colleagues(lambda: service.nats, settings.answer_seconds_max)
    prover = Prover(colleagues)
    watch = Watch(colleagues, settings.watch_seconds)
    prover.stalled = lambda: watch.stalled
    continuous = Continuous(colleagues, prover, settings.proof_seconds)

    @operation(SHOW_JOURNEY)
    async def show_journey(request: JourneyRequest, database: Database) -> Journeys:
        return await reads.show_journey(request, database, colleagues)

    @operation(PROVE_AGREEMENT)
    async def prove_agreement(request: AgreementRequest, database: Database) -> Agreement:
        return await prover.prove(request, database)

    @operation(SHOW_STATUS)
    async def show_status(request: StatusRequest, database: Database) -> Status:
        status = await reads.show_status(request, database, colleagues, await watch.flows())
        return replace(status, proved_at=continuous.proved_at)

    @operation(LIST_DEAD_LETTERS)
    async def list_dead_letters(request: DeadLettersRequest, database: Database) -> DeadLetters:
        return await reads.list_dead_letters(request, database)

    @operation(LIST_SETTINGS)
    async def list_settings(request: SettingsRequest, database: Database) -> SettingsLog:
        return await reads.list_settings(request, colleagues)

    ticketing = (
        operation(LIST_TICKETS)(ticket_reads.list_tickets),
        operation(SHOW_TICKET)(ticket_reads.show_ticket),
        operation(CHANGE_TICKET)(change_ticket),
        operation(SHOW_DEAD_LETTER)(ticket_reads.show_dead_letter),
    )

    repairs = Repairs(colleagues, prover)
    repairing = (
        operation(PREVIEW_REPAIR)(repairs.preview),
        operation(RUN_REPAIR)(repairs.run),
        operation(LIST_REPAIRS)(repairs.list),
    )

    desk = Desk(colleagues, settings.desk_seconds, settings.parked_hours_max)
    sender = Sender(channels.read(settings.notify_file), settings.notify_seconds)

    async def keep_desk(service: Service) -> None:
        await desk.run(service.database)

    async def keep_telling(service: Service) -> None:
        await sender.run(service.database)

    async def keep_watch(service: Service) -> None:
        await watch.run(service.database)

    async def keep_proving(service: Service) -> None:
        await continuous.run(service.database)

    service = Service(
        "control",
        settings,
        migrations=sql.folder(__file__, "migrations"),
        flows=(*follow_notices.flows(), *report_facts.flows(), collect_dead),
        operations=(
            show_journey,
            prove_agreement,
            show_status,
            list_dead_letters,
            list_settings,
            *ticketing,
            *repairing,
        ),
        tasks=(keep_watch, keep_proving, keep_desk, keep_telling),
    )
    return service
