"""A database goes back to an older backup under load, and is brought forward: the books agree again, and the checker
finds nothing lost and nothing twice."""

import pytest
from tieout.devstack.chaos import seeded

SERVICES = ("order", "inventory", "finance")


@pytest.fixture(scope="module")
async def furnished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restored") / "furnished"
    await seeded.furnish(folder, 20)
    return folder


@pytest.mark.parametrize("service", SERVICES)
async def test_a_database_restored_from_an_older_backup_is_brought_forward_and_the_books_agree(
    furnished, tmp_path, service
):
    result = await seeded.run(furnished, tmp_path / "run", 3, orders=20, seconds=3, only=f"restore-{service}")
    assert result.findings == []
    assert "events forgotten" in result.faults[0]
    assert "0 not," in result.faults[0]  # Nothing that was announced is missing.
