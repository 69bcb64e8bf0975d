"""What a deployment may set: TIEOUT_<FIELD>. Every field has a safe default."""

from tieout import servicekit
from tieout.servicekit.settings import Days, HoursMin, Seconds, SecondsMin


class Settings(servicekit.Settings, frozen=True, kw_only=True):
    watch_seconds: Seconds = 10.0  # Between two looks at all consumers. 0: never.
    proof_seconds: Seconds = 2.0  # Between two proofs that nobody asked for. 0: never.
    objective_seconds: SecondsMin = 30.0  # From a document to the voucher that it leads to; longer is late.
    desk_seconds: Seconds = 3.0  # Between two looks for stopped flows and overdue tickets. 0: never.
    parked_hours_max: HoursMin = 24.0  # So long a message may wait for its partner document before a ticket opens.
    notify_file: str = ""  # TOML: which channels are told of tickets. Empty: nobody.
    notify_seconds: Seconds = 1.0  # Between two looks for what has to be told. 0: never.
    answer_seconds_max: SecondsMin = 5.0  # How long a service may take to answer control.
    lookout_seconds: Seconds = 2.5  # Between two looks for what stands still. 0: never.
    stall_seconds: SecondsMin = 6.0  # Without movement are an alarm. With the look and the questions: within 15 s.
    journey_days: Days = (
        400  # How long the steps of an order are kept. 0: for ever; the services' own books stay anyway.
    )
    counts_days: Days = 2  # Latencies and rates.
    letters_days: Days = 400  # Dead letters whose ticket is resolved; others stay.
    tickets_days: Days = 400  # Resolved tickets with their history; others stay.
    replays_days: Days = 400  # Replays that ended or were never run, with their items and log; others stay.
    alarms_days: Days = 400  # Alarms that are over.
