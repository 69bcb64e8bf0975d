"""What was ever changed in tables of settings, and by whom. The log and triggers are in kit/0004_pre_settings.sql."""

from datetime import UTC

from tieout.contracts.agreement import SettingsChange, SettingsChanges, SettingsChangesRequest
from tieout.servicekit import sql
from tieout.servicekit.database import Database
from tieout.servicekit.instants import instant

statements = sql.load(__file__)

CHANGES_MAX = 500


async def settings_changes(request: SettingsChangesRequest, database: Database) -> SettingsChanges:
    """The newest first."""
    limit = max(1, min(request.limit, CHANGES_MAX))
    async with database.read() as connection:
        rows = await connection.fetch(
            statements.settings_changes,
            instant(request.before, "before") if request.before else None,
            request.table,
            request.by_hand,
            limit,
        )
        tables = await connection.fetch(statements.settings_tables)
    return SettingsChanges(
        tuple(
            SettingsChange(
                database.service,
                row["number"],
                row["at"].astimezone(UTC).isoformat().replace("+00:00", "Z"),
                row["tab"],
                row["op"],
                row["source"],
                row["key"],
                row["before"],
                row["after"],
                row["who"],
                row["actor"],
            )
            for row in rows
        ),
        tuple(row["tab"] for row in tables),
    )
