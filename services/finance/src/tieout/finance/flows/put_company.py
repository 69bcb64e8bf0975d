"""PUT /v1/companies/{company} -> company_opened; whatever waited for the company runs again

A new company gets the default chart of accounts. Name and policies may change later, currency and zone may not: the
books are written in them.
"""

from typing import Any
from uuid import UUID

from msgspec import UNSET
from tieout.contracts.event import event_id
from tieout.contracts.finance import PUT_COMPANY, CompanyOpened, CompanyView, PutCompany
from tieout.contracts.zones import zone_named
from tieout.finance.domain.chart import CHART, ROLES
from tieout.finance.ledger import company_key
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)

POLICIES = {"tax_point": "goods_issue", "voucher_words": "one", "control_passes": "issue"}  # Of a new company.


@operation(PUT_COMPANY)
async def put_company(request: PutCompany, database: Database) -> CompanyView:
    check(request)
    async with database.transaction() as tx:
        await tx.execute(statements.hold_name, request.company)
        before = await tx.fetchrow(statements.company, request.company)
        name, currency, zone = head_of(before, request)
        policies = policies_of(before, request)
        await tx.execute(statements.put_company, request.company, name, currency, zone, *policies.values())
        codes = {account.code: account for account in CHART}
        await tx.execute(
            statements.put_accounts,
            request.company,
            [account.code for account in CHART],
            [account.name for account in CHART],
            [account.name_zh for account in CHART],
            [account.kind for account in CHART],
        )
        unknown = sorted({code for code in request.roles.values() if code not in codes})
        if unknown:
            detail = f"The chart has no account {', '.join(unknown)}. Choose one of {', '.join(sorted(codes))}."
            raise Refused("unknown_account", detail, field="roles")
        had = {row[0]: row[1] for row in await tx.fetch(statements.roles, request.company)}
        roles = {**ROLES, **had, **request.roles}
        await tx.execute(statements.put_roles, request.company, list(roles), list(roles.values()))
        row = await tx.fetchrow(statements.company, request.company)
        assert row is not None
        if before is None or before["name"] != name or changed(before, policies) or had != roles:
            row = await tx.fetchrow(statements.count_revision, request.company, before is not None)
            assert row is not None
            revision = row["revision"]
            (position,) = await tx.positions(1)
            tx.announce(
                CompanyOpened(request.company, name, currency, zone, revision, row["control_passes"]),
                position=position,
                key=(request.company, revision),
                chain=UUID(event_id("company", request.company)),
                company=request.company,
            )
            tx.wake([company_key(request.company)])
    return view(row, roles)


def check(request: PutCompany) -> None:
    try:
        if request.zone is not UNSET:
            zone_named(request.zone)
    except ValueError:
        detail = f"{request.zone!r} is no time zone. Name one like Asia/Shanghai or Europe/London."
        raise Refused("unknown_zone", detail, field="zone") from None
    unknown = sorted(role for role in request.roles if role not in ROLES and not role.startswith("wallet:"))
    if unknown:
        detail = f"No voucher template knows the role {', '.join(unknown)}. Known: {', '.join(ROLES)}, wallet:<method>."
        raise Refused("unknown_role", detail, field="roles")


def head_of(before: Any, request: PutCompany) -> tuple[str, str, str]:
    """Name, currency and zone: as they were named, else as they stand; a new company must name all three."""
    told = {field: getattr(request, field) for field in ("name", "currency", "zone")}
    if before is None:
        missing = [field for field, value in told.items() if value is UNSET]
        if missing:
            detail = (
                f"There is no company {request.company} yet, and a new one needs {', '.join(missing)}. "
                f"Send them, or correct the name of the company."
            )
            raise Refused("missing", detail, field=missing[0], status=422)
        return told["name"], told["currency"], told["zone"]
    for field in ("currency", "zone"):
        if told[field] is not UNSET and told[field] != before[field]:
            detail = (
                f"The books of {request.company} are kept with {field} {before[field]}, which cannot change. "
                f"Leave it, or open another company."
            )
            raise Refused("conflict", detail, field=field, status=409)
    return before["name"] if told["name"] is UNSET else told["name"], before["currency"], before["zone"]


def policies_of(before: Any, request: PutCompany) -> dict[str, str]:
    """Each as it was named, else as it stands, else as it is of a new company."""
    told = {policy: getattr(request, policy) for policy in POLICIES}
    known = POLICIES if before is None else before
    return {policy: known[policy] if value is UNSET else value for policy, value in told.items()}


def changed(before: Any, policies: dict[str, str]) -> bool:
    return any(before[policy] != value for policy, value in policies.items())


def view(row: Any, roles: dict[str, str]) -> CompanyView:
    return CompanyView(
        row["company"],
        row["name"],
        row["currency"],
        row["zone"],
        row["tax_point"],
        row["voucher_words"],
        row["closed_through"],
        row["revision"],
        row["opened_at"],
        roles,
        row["control_passes"],
    )
