"""Rules of all services answer in one form: whoever reads a finding can rely on its four columns."""

from pathlib import Path

import asyncpg
import pytest
from tieout.contracts.streams import CORE_SERVICES
from tieout.servicekit import sql

SERVICES = Path(__file__).parents[2] / "services"
RULES = sorted(
    (service, name, statement)
    for service in CORE_SERVICES
    if (path := SERVICES / service / "src/tieout" / service / "violations.sql").exists()
    for name, statement in sql.load_file(str(path), path.name)
)


@pytest.mark.parametrize(("service", "name", "statement"), RULES, ids=[f"{one[0]}-{one[1]}" for one in RULES])
async def test_a_rule_answers_key_kept_facts_and_detail(trade, service, name, statement):
    where = trade.stack.endpoints().databases[service]
    password = Path(where.auditor_password_file).read_text().strip()
    connection = await asyncpg.connect(where.auditor_dsn, password=password)
    try:
        told = [column.name for column in (await connection.prepare(statement)).get_attributes()]
    finally:
        await connection.close()
    assert told == ["key", "kept", "facts", "detail"]
