"""One seeded run on real processes in each run of the tests; `tieout chaos --minutes 60` plays more."""

from tieout.devstack.chaos import seeded


async def test_processes_that_die_at_the_worst_moments_lose_and_double_nothing(tmp_path, furnished):
    faults = "die-between,kill-service,lose-tail,poison-messages"
    result = await seeded.run(furnished, tmp_path / "run", 1, orders=20, seconds=3, only=faults)
    assert result.findings == []
    assert (result.lost, result.doubled) == (0, 0)
    assert len(result.faults) == 4
    assert result.acknowledged > 40
