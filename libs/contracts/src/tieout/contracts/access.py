"""Who may call operations, and who asked for which change. Answered by the gateway."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct
from tieout.contracts.operation import Operation, Scope

TokenName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
# A person or a service, as books, approvals and logs name them. A comma parts the names of several.
Actor = Annotated[str, Meta(pattern=r"^[^\s,][^,\x00-\x1f]{0,99}$")]


class CreateToken(Struct, frozen=True, kw_only=True):
    """A token for one person or one service. It is answered once; the gateway keeps its hash only.

    Where two people must decide, two tokens of one actor are one person.
    """

    name: TokenName  # Never used again, not even after the token has ended: logs name it.
    actor: Actor
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=3)] = ("read",)  # Each on its own: name all.
    expires_at: datetime | None = None  # With its offset; None: until it is revoked.


class TokenView(Struct, frozen=True, omit_defaults=True):
    name: str
    actor: str
    scopes: tuple[Scope, ...]
    state: Literal["valid", "expired", "revoked"]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    rotated_at: datetime | None = None  # The secret is of then.
    rotated_by: str = ""
    revoked_at: datetime | None = None
    revoked_by: str = ""


class TokenMade(Struct, frozen=True):
    token: TokenView
    secret: str  # Write it down now; nobody can show it again.


class ListTokens(Struct, frozen=True):
    actor: str = ""
    all: bool = False  # Also those that were revoked or have expired.


class Tokens(Struct, frozen=True):
    tokens: tuple[TokenView, ...]


class RevokeToken(Struct, frozen=True):
    """It ends at once, and for good. The same again changes nothing."""

    name: TokenName


class RotateToken(Struct, frozen=True):
    """The same token with a new secret; the old one ends at once. `expires_at` where given is its new end."""

    name: TokenName
    expires_at: datetime | None = None


class ListAudit(Struct, frozen=True):
    """Newest first. `before` is the `next` of the page before."""

    who: str = ""
    operation: str = ""
    path: str = ""  # Begins so: /v1/companies/C1
    before: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class Asked(Struct, frozen=True):
    """A change that somebody asked for over HTTP, whatever the answer was."""

    entry: int
    at: datetime
    who: str
    token: str  # Its name; "" is the one of whoever runs the stack.
    operation: str
    path: str
    status: int
    digest: str  # SHA-256 of the request, hex: proves what was asked without keeping it.


class AuditPage(Struct, frozen=True):
    entries: tuple[Asked, ...]
    next: int = 0  # 0: this was the last page.


CREATE_TOKEN = Operation(
    "gateway.create_token",
    "POST",
    "/v1/tokens",
    CreateToken,
    TokenMade,
    "Make a token for a person or a service; it is shown once",
    scope="admin",
)
TOKENS = Operation(
    "gateway.tokens", "GET", "/v1/tokens", ListTokens, Tokens, "Who may call operations, without the secrets", "admin"
)
REVOKE_TOKEN = Operation(
    "gateway.revoke_token",
    "POST",
    "/v1/tokens/{name}/revoke",
    RevokeToken,
    TokenView,
    "End a token at once",
    scope="admin",
)
ROTATE_TOKEN = Operation(
    "gateway.rotate_token",
    "POST",
    "/v1/tokens/{name}/rotate",
    RotateToken,
    TokenMade,
    "A new secret for a token; the old one ends at once",
    scope="admin",
)
AUDIT = Operation(
    "gateway.audit",
    "GET",
    "/v1/audit",
    ListAudit,
    AuditPage,
    "Who asked for which change over HTTP, and with what answer",
    scope="admin",
)

OPERATIONS = (CREATE_TOKEN, TOKENS, REVOKE_TOKEN, ROTATE_TOKEN, AUDIT)
