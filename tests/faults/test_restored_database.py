"""A database goes back to an older backup under load, and is brought forward: the books agree again, and the checker
finds nothing lost and nothing twice."""

from tieout.devstack.chaos import seeded


async def test_a_database_restored_from_an_older_backup_is_brought_forward_and_the_books_agree(tmp_path):
    furnished = tmp_path / "furnished"
    await seeded.furnish(furnished, 20)
    result = await seeded.run(furnished, tmp_path / "run", 3, orders=20, seconds=3, only="restore-inventory")
    assert result.findings == []
    assert "events forgotten" in result.faults[0]
    assert "0 not," in result.faults[0]  # Nothing that was announced is missing.
