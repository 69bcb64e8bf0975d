"""Every Secret that the charts look for, for a first installation without a secret store.

    python -m tieout.devstack.kubernetes_secrets --words ~/tieout-words --sites store-1 | kubectl apply -n tieout -f -

Words are made at the first use and kept in `--words`, each in a file that only its owner can read: run it again after a
site was added, or after the file of a word to be changed was removed. That folder is the installation's whole secret.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from tieout.contracts.streams import CORE_SERVICES
from tieout.devstack import databases, permissions
from tieout.devstack.secrets import Secrets

RESERVED = (*CORE_SERVICES, permissions.OPERATOR, permissions.SYSTEM, permissions.TILL, permissions.STANDBY, "hub")
Secret = dict[str, object]


def for_the_hub(words: Secrets, sites: Iterable[str] = ()) -> list[Secret]:
    """What charts/platform, charts/tieout and the services' own charts name."""
    users = [*CORE_SERVICES, permissions.OPERATOR, permissions.SYSTEM, permissions.STANDBY, *sites]
    # A fragment of configuration for each, not a bare word: so any password can be quoted, and a hash of it will do.
    fragments = {f"{user}.conf": f"password: {json.dumps(words.of(f'nats_{user}'))}\n" for user in users}
    found = [
        _secret("tieout-nats-users", fragments),
        _secret("tieout-nats-operator", {"nats-password": words.of(f"nats_{permissions.OPERATOR}")}),
    ]
    for service in CORE_SERVICES:
        content = {
            "database-password": words.of(databases.secret_of(service, "app")),
            "nats-password": words.of(f"nats_{service}"),
        }
        if service == "gateway":
            content["admin-token"] = words.of("admin_token")
        found.append(_secret(f"tieout-{service}", content))
        owner = words.of(databases.secret_of(service, "owner"))
        found.append(_secret(f"tieout-{service}-owner", {"owner-password": owner}))
        for role in databases.ROLES:
            login = {
                "username": databases.role_of(service, role),
                "password": words.of(databases.secret_of(service, role)),
            }
            found.append(_secret(f"tieout-postgres-{service}-{role}", login, kind="kubernetes.io/basic-auth"))
    return found


def for_a_site(words: Secrets, site: str) -> list[Secret]:
    """What charts/satellite names, in the site's own cluster."""
    content = {
        "hub-password": words.of(f"nats_{site}"),
        "till-password": words.of(f"nats_{site}-{permissions.TILL}"),
        "operator-password": words.of(f"nats_{site}-{permissions.OPERATOR}"),
    }
    return [_secret("tieout-satellite", content)]


def _secret(name: str, content: dict[str, str], *, kind: str = "Opaque") -> Secret:
    labels = {"app.kubernetes.io/part-of": "tieout"}
    if kind == "kubernetes.io/basic-auth":
        labels["cnpg.io/reload"] = "true"  # A changed password is set in Postgres without a restart.
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "stringData": content}


def _site(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name in RESERVED:
        raise argparse.ArgumentTypeError(
            f"{name!r} is no name for a site: use small letters, digits and -, and none of {', '.join(RESERVED)}"
        )
    return name


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tieout.devstack.kubernetes_secrets")
    parser.add_argument("--words", type=Path, required=True, help="folder of the words, outside the repository")
    parser.add_argument("--sites", type=lambda text: [_site(name) for name in text.split(",") if name], default=[],
                        help="leaf sites that the hub lets in, separated by commas")  # fmt: skip
    parser.add_argument("--site", type=_site, help="print the Secret of this site's own cluster instead")
    asked = parser.parse_args(arguments)
    words = Secrets(asked.words)
    items = for_a_site(words, asked.site) if asked.site else for_the_hub(words, asked.sites)
    print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
