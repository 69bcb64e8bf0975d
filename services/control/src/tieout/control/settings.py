"""What a deployment may set: TIEOUT_<FIELD>. Every field has a safe default."""

from tieout import servicekit


class Settings(servicekit.Settings, frozen=True, kw_only=True):
    watch_seconds: float = 10.0  # Between two looks at all consumers, and two proofs without violations. 0: never.
    answer_seconds_max: float = 5.0  # How long a service may take to answer control.
    lookout_seconds: float = 4.0  # Between two looks for what stands still. 0: never.
    stall_seconds: float = 8.0  # Without movement are an alarm. With the look and the questions: within 15 s.
