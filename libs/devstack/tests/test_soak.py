"""What a soak calls flat: the last quarter of a run beside the second."""

import pytest
from tieout.devstack.bench.soak import Sample, courses
from tieout.devstack.failures import CommandFailed

MB = 1 << 20


def run(**late: float) -> dict[str, bool]:
    """Sixteen samples; `late` is what the last quarter of them has otherwise."""
    samples = []
    for ordinal in range(16):
        told = {"memory": 100.0, "p95": 80.0, "dead": 50_000, "unposted": 0}
        if ordinal >= 12:
            told |= late
        memory = {"order": int(told["memory"] * MB), "postgres": ordinal * 100 * MB}
        dead = int(told["dead"])
        samples.append(Sample(ordinal * 5.0, memory, 40.0, told["p95"], int(told["unposted"]), dead, "", 0, 0))
    return {course.name: course.flat for course in courses(samples)}


def test_a_run_in_which_nothing_grows_is_flat_whatever_postgres_shares() -> None:
    assert all(run().values())


@pytest.mark.parametrize(
    ("late", "grows"),
    [
        ({"memory": 130.0}, "memory of order"),
        ({"p95": 130.0}, "latency p95"),
        ({"dead": 150_000}, "dead rows"),
        ({"unposted": 5}, "orders not posted after 2 s, per sample"),
    ],
)
def test_what_grows_is_named(late: dict[str, float], grows: str) -> None:
    assert [name for name, flat in run(**late).items() if not flat] == [grows]


def test_noise_is_no_growth() -> None:
    assert all(run(memory=120.0, p95=110.0, dead=99_000, unposted=2).values())


def test_a_run_that_is_too_short_says_so() -> None:
    with pytest.raises(CommandFailed, match="minutes"):
        courses([])
