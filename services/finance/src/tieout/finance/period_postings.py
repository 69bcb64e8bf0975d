"""finance.period_postings: what a period's vouchers hold for inventory's events, and what was deferred or waits."""

from datetime import UTC

from tieout.contracts.period import (
    DEFERRED_MAX,
    PERIOD_POSTINGS,
    Deferred,
    OpenCount,
    PeriodPostings,
    PeriodRequest,
)
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(PERIOD_POSTINGS)
async def period_postings(request: PeriodRequest, database: Database) -> PeriodPostings:
    key = (request.company, request.period, request.upto)
    async with database.read() as connection:
        company = await connection.fetchrow(statements.company, request.company)
        if company is None:
            raise Refused("not_found", f"There is no company {request.company}.", field="company", status=404)
        posted = await connection.fetchval(statements.posted, *key)
        deferred = await connection.fetch(statements.deferred, *key, DEFERRED_MAX)
        counts = await connection.fetch(statements.counts, *key)
    return PeriodPostings(
        value_minor=posted,
        counted_minor=sum(row["found"] - row["left"] for row in counts),
        deferred_out_minor=(deferred[0]["gone"] or 0) if deferred else 0,
        deferred_in_minor=(deferred[0]["came"] or 0) if deferred else 0,
        deferred=tuple(
            Deferred(
                row["position"],
                row["document_no"],
                row["chain_id"],
                row["value"],
                row["deferred_from"],
                row["period"],
                row["voucher_no"],
            )
            for row in deferred
        ),
        open_counts=tuple(
            OpenCount(
                document_no=row["document_no"],
                source=row["source"],
                chain_id=row["chain_id"],
                left_minor=row["left"],
                asked_by=row["asked_by"],
                asked_at=row["requested_at"].astimezone(UTC).isoformat(timespec="seconds")
                if row["requested_at"]
                else "",
                approvals=row["given"],
                approvals_needed=row["needed"],
                rejected=row["rejected"],
            )
            for row in counts
            if row["left"]
        ),
        closed_through=company["closed_through"],
        zone=company["zone"],
    )
