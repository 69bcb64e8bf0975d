"""Tokens with which people and services call operations. Without an action it lists them.

    tieout token list [--all]     who may call, without the secrets
    tieout token create NAME --actor A --scopes read,write [--days N]     shown once
    tieout token rotate NAME      a new secret; the old one ends at once
    tieout token revoke NAME      it ends at once, for good

The actor is the person or service whom books, approvals and logs name. Two tokens of one actor are one person.
"""

import argparse
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from tieout.contracts.access import CREATE_TOKEN, REVOKE_TOKEN, ROTATE_TOKEN, TOKENS, TokenMade, Tokens, TokenView
from tieout.devstack import hints, questions, usage
from tieout.devstack.failures import CommandFailed
from tieout.devstack.moments import moment
from tieout.devstack.terminal import Screen

SCOPES = ("read", "write", "admin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="who may call operations, without the secrets")
    listing.add_argument("--all", action="store_true", help="also those that were revoked or have expired")
    create = actions.add_parser("create", help="a new token; its secret is shown once")
    create.add_argument("--actor", required=True, metavar="WHO", help="the person or service that it stands for")
    create.add_argument("--scopes", default="read", metavar="S", help="read, write, admin; several with commas")
    rotate = actions.add_parser("rotate", help="a new secret for a token; the old one ends at once")
    revoke = actions.add_parser("revoke", help="end a token at once, for good")
    for action in (create, rotate, revoke):
        action.add_argument("name", help="the token's name, which is not its secret")
    for action in (create, rotate):
        action.add_argument("--days", type=int, metavar="N", help="it ends after so many days")
    usage.add_json(parser)
    parser.set_defaults(action="list", all=False)


def run(arguments: argparse.Namespace) -> int:
    return {"list": _list, "create": _create, "rotate": _rotate, "revoke": _revoke}[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    told = questions.get(arguments.dir, TOKENS.path, Tokens, {"all": str(arguments.all).lower()})
    if arguments.json:
        _print_json(told)
    else:
        render(told.tokens, Screen())
    return 0


def render(tokens: tuple[TokenView, ...], console: Console) -> None:
    if not tokens:
        create = hints.command("token create --help")
        console.print(f"There are none but the one of whoever runs the stack. See: {create}")
        return
    for token in tokens:
        style = "green" if token.state == "valid" else "dim"
        console.print(
            Text.assemble((token.name, "bold"), "  ", (token.state, style), f"  {token.actor}"), soft_wrap=True
        )
        told = f"{', '.join(token.scopes)}; made {moment(token.created_at)} by {token.created_by}"
        for what, at, who in (
            ("rotated", token.rotated_at, f" by {token.rotated_by}"),
            ("ends", token.expires_at, ""),
            ("revoked", token.revoked_at, f" by {token.revoked_by}"),
        ):
            if at is not None:
                told += f"; {what} {moment(at)}{who}"
        console.print(Padding(Text(told), (0, 0, 0, 4)))


def _create(arguments: argparse.Namespace) -> int:
    scopes = [scope.strip() for scope in arguments.scopes.split(",") if scope.strip()]
    if not scopes or set(scopes) - set(SCOPES):
        raise CommandFailed(f"--scopes takes {', '.join(SCOPES)}, several with commas: --scopes read,write")
    body = {"name": _name(arguments.name), "actor": arguments.actor, "scopes": scopes}
    made = questions.post(arguments.dir, CREATE_TOKEN.path, TokenMade, body | _end(arguments.days))
    return _made(arguments, made)


def _rotate(arguments: argparse.Namespace) -> int:
    path = ROTATE_TOKEN.path.replace("{name}", _name(arguments.name))
    return _made(arguments, questions.post(arguments.dir, path, TokenMade, _end(arguments.days)))


def _revoke(arguments: argparse.Namespace) -> int:
    path = REVOKE_TOKEN.path.replace("{name}", _name(arguments.name))
    token = questions.post(arguments.dir, path, TokenView, {})
    if arguments.json:
        _print_json(token)
    else:
        sys.stdout.write(f"{token.name} of {token.actor} lets nobody in any more.\n")
    return 0


def _made(arguments: argparse.Namespace, made: TokenMade) -> int:
    """The secret alone goes to standard output, so that it can be put into a file without being seen."""
    if arguments.json:
        _print_json(made)
    else:
        token = made.token
        sys.stderr.write(f"{token.name} of {token.actor}: {', '.join(token.scopes)}. Nobody can show it again:\n")
        sys.stdout.write(f"{made.secret}\n")
    return 0


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise CommandFailed(f"{name[:70]!r} is no name of a token: letters, digits, dots and dashes. Not its secret")
    return name


def _end(days: int | None) -> dict[str, str]:
    """Only who names no days gets a token without an end: 0, as a script may have reckoned it, is no wish for that."""
    if days is None:
        return {}
    if not 0 < days <= 3650:
        raise CommandFailed("--days takes 1 to 3650. Leave it out for a token without an end")
    return {"expires_at": (datetime.now(UTC) + timedelta(days=days)).isoformat()}


def _print_json(answer: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
