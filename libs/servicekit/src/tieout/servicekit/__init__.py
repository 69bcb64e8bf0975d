"""What must be identical in every service for safety: transactions with announcements, batch flows, the outbox and its
audit, dead letters, parked messages, operations, migrations, the evidence for the agreement, logs and traces."""

from tieout.servicekit import (
    libraries,  # noqa: F401  # First: all others import them.
    sql,
)
from tieout.servicekit.app import Service
from tieout.servicekit.database import ACTOR, Connection, Database, Transaction
from tieout.servicekit.errors import Misconfigured, Refused, TieoutError, Unprocessable
from tieout.servicekit.flow import BatchFlow, batch_flow
from tieout.servicekit.instants import instant
from tieout.servicekit.letters import Letter
from tieout.servicekit.migrate import migrate
from tieout.servicekit.process import main, migrate_service
from tieout.servicekit.received import Received
from tieout.servicekit.rpc import ACTOR_HEADER, Answers, ask, operation
from tieout.servicekit.settings import Settings, fresh_secret, secret

__all__ = [
    "ACTOR",
    "ACTOR_HEADER",
    "Answers",
    "BatchFlow",
    "Connection",
    "Database",
    "Letter",
    "Misconfigured",
    "Received",
    "Refused",
    "Service",
    "Settings",
    "TieoutError",
    "Transaction",
    "Unprocessable",
    "ask",
    "batch_flow",
    "fresh_secret",
    "instant",
    "main",
    "migrate",
    "migrate_service",
    "operation",
    "secret",
    "sql",
]
