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
from tieout.contracts.period import PERIOD_AGREEMENT, PeriodAgreement, PeriodAgreementRequest
from tieout.contracts.repair import LIST_REPAIRS, PREVIEW_REPAIR, RUN_REPAIR
from tieout.contracts.ticket import (
    CHANGE_TICKET,
    LIST_TICKETS,
    SHOW_DEAD_LETTER,
    SHOW_TICKET,
    ChangeTicket,
    TicketChanged,
)
from tieout.contracts.watch import CHECKUP, LIST_ALARMS, Alarms, AlarmsRequest, Checkup, CheckupRequest
from tieout.control import alarms, checkup, office, periods, reads, ticket_reads
from tieout.control.alarms import Lookout
from tieout.control.colleagues import Colleagues
from tieout.control.continuous import Continuous
from tieout.control.desk import Desk
from tieout.control.domain.objective import Objective
from tieout.control.flows import follow_notices, report_facts
from tieout.control.flows.change_ticket import change_ticket
from tieout.control.flows.collect_dead import collect_dead
from tieout.control.forgetting import forget, forget_once
from tieout.control.notify import channels
from tieout.control.notify.sender import Sender
from tieout.control.proof import Prover
from tieout.control.rebuilding import Rebuilding
from tieout.control.repairs import Repairs
from tieout.control.replay.asking import Asking
from tieout.control.replay.mending import Mending
from tieout.control.replay.running import Runner
from tieout.control.retelling import Retelling
from tieout.control.settings import Settings
from tieout.control.watch import Watch
from tieout.servicekit import Database, Service, operation, sql


def build(settings: Settings) -> Service:
    colleagues = Colleagues(lambda: service.nats, settings.answer_seconds_max)
    prover = Prover(colleagues)
    runner = Runner(colleagues, prover)
    replays = Asking(colleagues, runner)
    watch = Watch(colleagues, settings.watch_seconds)
    prover.stalled = lambda: watch.stalled
    prover.missing_streams = watch.missing_streams
    continuous = Continuous(colleagues, prover, settings.proof_seconds)

    lookout = Lookout(colleagues, watch, settings.lookout_seconds, settings.stall_seconds)

    @operation(SHOW_JOURNEY)
    async def show_journey(request: JourneyRequest, database: Database) -> Journeys:
        return await reads.show_journey(request, database, colleagues)

    @operation(PROVE_AGREEMENT)
    async def prove_agreement(request: AgreementRequest, database: Database) -> Agreement:
        return await prover.prove(request, database)

    @operation(SHOW_STATUS)
    async def show_status(request: StatusRequest, database: Database) -> Status:
        status = await reads.show_status(request, database, colleagues, await watch.flows())
        return replace(status, proved_at=continuous.proved_at, missing_streams=await watch.missing_streams())

    @operation(LIST_DEAD_LETTERS)
    async def list_dead_letters(request: DeadLettersRequest, database: Database) -> DeadLetters:
        return await reads.list_dead_letters(request, database)

    @operation(LIST_SETTINGS)
    async def list_settings(request: SettingsRequest, database: Database) -> SettingsLog:
        return await reads.list_settings(request, colleagues)

    sender = Sender(lambda: channels.read(settings.notify_file), settings.notify_seconds)

    @operation(CHANGE_TICKET)
    async def change(request: ChangeTicket, database: Database) -> TicketChanged:
        return await change_ticket(request, database, sender.owners())

    ticketing = (
        operation(LIST_TICKETS)(ticket_reads.list_tickets),
        operation(SHOW_TICKET)(ticket_reads.show_ticket),
        change,
        operation(SHOW_DEAD_LETTER)(ticket_reads.show_dead_letter),
    )

    @operation(PERIOD_AGREEMENT)
    async def period_agreement(request: PeriodAgreementRequest, database: Database) -> PeriodAgreement:
        return await periods.period_agreement(request, colleagues)

    repairs = Repairs(colleagues, prover, Mending(colleagues, replays))
    repairing = (
        operation(PREVIEW_REPAIR)(repairs.preview),
        operation(RUN_REPAIR)(repairs.run),
        operation(LIST_REPAIRS)(repairs.list),
    )

    desk = Desk(colleagues, settings.desk_seconds, settings.parked_hours_max)

    async def keep_desk(service: Service) -> None:
        await desk.run(service.database)

    async def keep_telling(service: Service) -> None:
        await sender.run(service.database)

    @operation(LIST_ALARMS)
    async def list_alarms(request: AlarmsRequest, database: Database) -> Alarms:
        return await alarms.list_alarms(request, database)

    @operation(CHECKUP)
    async def check_up(request: CheckupRequest, database: Database) -> Checkup:
        return await checkup.check_up(request, database, colleagues, watch, prover, settings.stream_bytes_max)

    objective = Objective(settings.objective_seconds)
    retelling = Retelling(objective)

    async def tell_afterwards(service: Service) -> None:
        await retelling.run(service.database)

    async def look_out(service: Service) -> None:
        await lookout.run(service.database)

    async def forget_old(service: Service) -> None:
        await forget(service.database, settings)

    async def forget_old_once(database: Database) -> dict[str, int]:
        return await forget_once(database, settings)

    async def keep_watch(service: Service) -> None:
        await watch.run(service.database)

    async def run_replays(service: Service) -> None:
        await runner.run(service.database)

    async def keep_proving(service: Service) -> None:
        await continuous.run(service.database)

    service = Service(
        "control",
        settings,
        migrations=sql.folder(__file__, "migrations"),
        flows=(*follow_notices.flows(objective), *report_facts.flows(), collect_dead),
        operations=(
            show_journey,
            prove_agreement,
            show_status,
            list_dead_letters,
            list_settings,
            list_alarms,
            check_up,
            period_agreement,
            *ticketing,
            *office.OPERATIONS,
            *repairing,
            *replays.operations(),
        ),
        forgets=(forget_old_once,),
        tasks=(keep_watch, keep_proving, look_out, forget_old, keep_desk, keep_telling, run_replays, tell_afterwards),
        rebuilding=Rebuilding,
    )
    return service
