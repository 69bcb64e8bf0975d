"""Databases of the chain go back to older backups under load and are brought forward, although one recovery is killed
again and again: the books agree, and the checker finds nothing lost and nothing twice.

A file of its own, so that another worker takes the backups of gateway and control meanwhile.
"""

from tieout.devstack.chaos import seeded


async def test_databases_restored_from_older_backups_are_brought_forward_and_the_books_agree(tmp_path, furnished):
    faults = "restore-order,restore-interrupted,restore-finance"
    result = await seeded.run(furnished, tmp_path / "run", 3, orders=20, seconds=3, only=faults)
    assert result.findings == []
    assert all("0 not," in told for told in result.faults), result.faults  # Nothing that was announced is missing.
    interrupted = next(told for told in result.faults if "inventory" in told)
    assert "killed" in interrupted
    assert "killed 0 times" not in interrupted
